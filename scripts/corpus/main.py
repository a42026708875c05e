# SPDX-License-Identifier: BSD-2-Clause
"""The command line of scripts/corpus-check."""
import argparse
import os
import re
import signal
import sys
import urllib.parse
from pathlib import Path

from . import report
from .journal import Journal, JournalError, is_bad
from .progress import Progress
from .s3 import S3Error
from .workers import Workers

REPO = Path(__file__).resolve().parent.parent.parent
# What may change between a kill and the same words again: it has no part in the outcomes.
FREE = ("out", "parallel", "tolerate", "uncompared", "fresh", "again")


def address(text):
    parts = urllib.parse.urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc or not text.isascii() or not text.isprintable() or " " in text:
        raise argparse.ArgumentTypeError(f"{text!r} is no http or https address")
    return text.rstrip("/")


def ratio(text):
    value = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    if not 0 <= value <= 1:
        raise ValueError
    return value


def positive(text):
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def seconds(text):
    value = float(text)
    if not 0 < value < 1e6:
        raise ValueError
    return value


def colour(text):
    if not re.fullmatch("[0-9a-fA-F]{6}", text):
        raise ValueError
    return list(bytes.fromhex(text))


def parse(words, description):
    parser = argparse.ArgumentParser(prog="scripts/corpus-check", description=description)
    add, named = parser.add_argument, parser.add_argument_group
    add("bases", nargs="+", type=address, metavar="URL", help="as http://127.0.0.1/iiif/3; several share the images")
    add("--identifiers", required=True, metavar="FROM",
        help="a file (one a line, or what `aws s3 ls --recursive` prints), a folder of originals, s3://bucket/prefix, or - for "
        "standard input")
    add("--prefix", default="", help="put before each identifier, as rules.prefix")
    add("--api", type=int, choices=(2, 3), default=3)
    add("--originals", metavar="DIR|s3://...", help="compare with the originals there, by their identifiers without the prefix")
    add("--against", type=address, metavar="URL", help="compare with another version's answers")
    add("--public-url", type=address, metavar="URL", help="ids in info.json begin so, where not with the URL that is asked")
    add("--against-public-url", type=address, metavar="URL", help="the same of the other version")
    add("--parallel", type=positive, default=8, metavar="N", help="images at a time (8)")
    add("--tolerate", type=ratio, default=0.0, metavar="RATIO",
        help="exit status 0 with so many images not good, as 0.001 or 0.1%%")
    add("--uncompared", type=ratio, default=0.0, metavar="RATIO", help="and with so many not compared with an original")
    add("--out", type=Path, default=REPO / "build/corpus-check", metavar="DIR", help="default build/corpus-check")
    add("--fresh", action="store_true", help="begin anew, though the run in DIR is not finished")
    add("--again", action="store_true", help="of the finished run in DIR, ask for those not good or not compared once more")
    limits = named("limits").add_argument
    limits("--timeout", type=seconds, default=60, metavar="S", help="for one answer (60)")
    limits("--image-timeout", type=seconds, metavar="S", help="for an image with all its answers (by --timeout)")
    limits("--max-bytes", type=positive, default=512 << 20, metavar="N", help="of an answer or original (512 MiB)")
    limits("--max-pixels", type=positive, default=250_000_000, metavar="N",
           help="larger pictures are not asked for or decoded (250 million)")
    judgement = named("judgement (README.md says more)").add_argument
    judgement("--psnr", type=float, default=24, metavar="DB", help="at least, to the original (24)")
    judgement("--cell", type=float, default=40, metavar="N", help="at most, difference of 255 in one of 8 x 8 parts (40)")
    judgement("--unlike", type=ratio, default=0.05, metavar="RATIO", help="at most, of the parts with contrast (0.05)")
    judgement("--against-psnr", type=float, default=40, metavar="DB", help="below, an answer has changed (40)")
    judgement("--background", type=colour, default=[255, 255, 255], metavar="RRGGBB", help="as images.background (ffffff)")
    return parser.parse_args(words)


def kept_settings(words):
    """What the journal holds, and a later run must have as well."""
    kept = {k: v for k, v in vars(words).items() if k not in FREE}
    for name in ("identifiers", "originals"):
        if kept[name] and kept[name] != "-" and not kept[name].startswith("s3://"):
            kept[name] = os.path.realpath(kept[name])
    return kept


def run(words, journal):
    out = sys.stdout
    if journal.is_resumed:
        print(f"going on: {journal.done} of {journal.total} images are done")
    progress, interrupts = Progress(out, journal.total, journal.done, journal.bad), []
    # Noted, and heeded within half a second: what is raised while a process forks may be lost.
    raising = signal.signal(signal.SIGINT, lambda *_: interrupts.append(True))
    try:
        with Workers(words, [journal.file]) as workers:
            for result in workers.results(journal.jobs()):
                if result:
                    journal.add(result[1])
                    progress.add(is_bad(result[1]))
                progress.show()
                if interrupts:
                    raise KeyboardInterrupt
    finally:
        signal.signal(signal.SIGINT, raising)
    progress.show(is_last=True)
    journal.end()


def finish(words, journal):
    summary = report.write(words.out, journal)
    print(f"{summary.line()}\n{words.out / 'report.html'}\n{words.out / 'results.csv'}")
    return summary


def exceeded(words, summary):
    """Says what is more than tolerated."""
    found = {"tolerate": summary.bad, "uncompared": sum(summary.uncompared.values())}
    over = [f"--{name} {getattr(words, name):g}" for name, n in found.items() if n > getattr(words, name) * summary.images]
    if over:
        print(f"more than {' and '.join(over)}")
    return over


def main(description):
    words = parse(sys.argv[1:], description)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        with Journal(words.out, kept_settings(words), words.fresh, words.again) as journal:
            if not journal.total:
                raise JournalError(f"{words.identifiers} has no identifiers")
            try:
                run(words, journal)
            except KeyboardInterrupt:
                finish(words, journal)
                print("interrupted; the same words again go on from here")
                return 130
            summary = finish(words, journal)
            return 1 if exceeded(words, summary) else 0
    except (JournalError, S3Error, OSError) as e:
        print(f"scripts/corpus-check: {e}", file=sys.stderr)
        return 2
