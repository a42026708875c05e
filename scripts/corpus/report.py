# SPDX-License-Identifier: BSD-2-Clause
"""results.csv, a line for each request, and report.html, one file that needs no other: both out of the journal, an outcome
at a time. All that came from identifiers and servers is escaped, and the page may load and run nothing."""
import csv
import shutil
import tempfile
import time
from collections import Counter
from html import escape
from math import ceil, log

from .check import plain
from .journal import is_bad

LISTED = 1000                # of each list in the report; results.csv has all
WHYS = 100                   # different reasons are told apart
STEP = log(1.03)             # of the times' classes: percentiles are right to 3 %
PERCENTILES = (50, 90, 99, 99.9)
FIELDS = ["identifier", "kind", "verdict", "reason", "changed", "status", "ms", "bytes", "width", "height", "psnr", "other_psnr",
          "fallback", "retried", "url"]
VERDICTS = {"reason": "failed", "changed": "changed", "skipped": "skipped", "uncompared": "not compared"}

HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="referrer" content="no-referrer"><title>Corpus check</title>
<style>
body { font: 15px/1.4 sans-serif; margin: 2em auto; max-width: 70em; padding: 0 1em; color: #222; background: #fff }
table { border-collapse: collapse; margin: 1em 0 } td, th { padding: .2em .8em; border-bottom: 1px solid #ddd; text-align: right }
td:first-child, th:first-child { text-align: left }
article { border-top: 1px solid #ccc; padding: .6em 0 } h3 { font-size: 1em; margin: 0; overflow-wrap: anywhere }
p, li { margin: .2em 0; overflow-wrap: anywhere } ul { padding-left: 1.2em }
figure { display: inline-block; margin: .4em .8em .4em 0; vertical-align: top } figcaption { font-size: .8em; color: #555 }
</style></head><body>
"""


class Times:
    """Any number of times in a few hundred counts."""

    def __init__(self):
        self.counts, self.n, self.most = Counter(), 0, 0

    def add(self, ms):
        self.counts[ceil(log(max(ms, .1)) / STEP)] += 1
        self.n += 1
        self.most = max(self.most, ms)

    def percentile(self, share):
        wanted, seen = self.n * share / 100, 0
        for step in sorted(self.counts):
            seen += self.counts[step]
            if seen >= wanted:
                return min(self.most, 2.718281828459045 ** (step * STEP))
        return 0


class Summary:
    """What all outcomes together say."""

    def __init__(self, against):
        self.against = against
        self.images = self.failed = self.bad = self.changed = self.retried = self.fallbacks = self.bytes = 0
        self.times, self.kinds, self.uncompared = {}, {}, Counter()

    def add(self, outcome):
        self.images += 1
        self.failed += outcome["faults"] > 0
        self.changed += outcome["changes"] > 0
        self.bad += is_bad(outcome)
        self.fallbacks += any("fallback" in e for e in outcome["asked"])
        for entry in outcome["asked"]:
            if why := entry.get("uncompared"):
                self.uncompared[why if why in self.uncompared or len(self.uncompared) < WHYS else "for other reasons"] += 1
            else:
                self.add_entry(entry)

    def add_entry(self, entry):
        counts = self.kinds.setdefault(entry["kind"], Counter())
        counts["asked"] += "status" in entry
        counts["failed"] += "reason" in entry
        counts["skipped"] += "skipped" in entry
        counts["changed"] += "changed" in entry
        counts["alike"] += "other_psnr" in entry and "changed" not in entry
        self.retried += "retried" in entry
        self.bytes += entry.get("bytes", 0)
        if "ms" in entry:
            self.times.setdefault(entry["kind"], Times()).add(entry["ms"])

    def line(self):
        changed = f", {self.changed} changed" if self.against else ""
        return (f"{self.images} images, {self.failed} failed{changed}, {self.fallbacks} from fallbacks, {self.retried} requests "
                f"tried twice, {sum(self.uncompared.values())} not compared with an original")


def cell(value):
    """Spreadsheets run what begins like a formula."""
    text = str(value)
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def csv_rows(outcome):
    for entry in outcome["asked"]:
        size = entry.get("size", ("", ""))
        verdict = next((word for key, word in VERDICTS.items() if key in entry), "good")
        row = {**entry, "identifier": outcome["id"], "verdict": verdict, "width": size[0], "height": size[1],
               "reason": entry.get("reason", entry.get("skipped", entry.get("uncompared", "")))}
        yield [cell(row.get(field, "")) for field in FIELDS]


def article(outcome, keys):
    lines = [f"<article><h3>{escape(plain(outcome['id']))}</h3><ul>"]
    for entry in outcome["asked"]:
        for key in keys:
            if key in entry:
                ps = f" <small>{escape(plain(entry['url'], 2000))}</small>" if "url" in entry else ""
                words = entry[key] if isinstance(entry[key], str) else f"{entry.get('status', '')}"
                lines.append(f"<li><b>{escape(entry['kind'])}</b> {escape(plain(words))}{ps}</li>")
    lines.append("</ul>")
    for why, caption, address in outcome.get("pictures", []):
        if why in keys:
            lines.append(f'<figure><img alt="" src="{escape(address)}"><figcaption>{escape(plain(caption))}</figcaption></figure>')
    return "".join(lines) + "</article>\n"


class Part:
    """A list of the report, that grows in a file of its own while others do."""

    def __init__(self, title, keys):
        self.title, self.keys, self.n = title, keys, 0
        self.file = tempfile.TemporaryFile("w+", encoding="utf-8", errors="backslashreplace")

    def add(self, outcome):
        if any(key in entry for entry in outcome["asked"] for key in self.keys):
            self.n += 1
            if self.n <= LISTED:
                self.file.write(article(outcome, self.keys))

    def copy_to(self, out):
        if self.n:
            more = f", the first {LISTED} of them; all are in results.csv" if self.n > LISTED else ""
            out.write(f"<h2>{escape(self.title)}: {self.n} images{more}</h2>\n")
            self.file.seek(0)
            shutil.copyfileobj(self.file, out)
        self.file.close()


def table(head, rows):
    lines = ["<table><tr>", *(f"<th>{escape(str(c))}</th>" for c in head), "</tr>"]
    for row in rows:
        lines += ["<tr>", *(f"<td>{escape(str(c))}</td>" for c in row), "</tr>"]
    return "".join(lines) + "</table>\n"


def head_of(summary, settings, total):
    yield f"<h1>Corpus check: {summary.failed} of {summary.images} images failed</h1>\n"
    rest = "" if summary.images == total else f" The run is not finished: {total - summary.images} images are left."
    against = f", against {settings['against']}" if settings["against"] else ""
    asked = plain(", ".join(settings["bases"]) + against, 4000)
    yield f"<p>{escape(asked)}, {time.strftime('%Y-%m-%d %H:%M')}.{escape(rest)}</p>\n"
    yield f"<p>{escape(summary.line())}.</p>\n"


def tables_of(summary):
    if summary.uncompared:
        yield "<h2>Why images were not compared</h2>\n" + table(["why", "images"], summary.uncompared.most_common())
    yield "<h2>Requests, and their times in ms</h2>\n" + table(
        ["kind", "asked", "failed", "skipped", "changed", "alike, not the same bytes", *(f"{p} %" for p in PERCENTILES), "most"],
        ([kind, counts["asked"], counts["failed"], counts["skipped"], counts["changed"], counts["alike"],
          *(f"{times.percentile(p):.0f}" for p in PERCENTILES), f"{times.most:.0f}"]
         for kind, counts in summary.kinds.items() for times in [summary.times.get(kind, Times())]))


def write(folder, journal):
    """Both files; the summary."""
    settings = journal.settings
    summary = Summary(settings["against"])
    parts = [Part("Failed", ("reason",)), Part("Changed", ("changed",)), Part("From a fallback", ("fallback",)),
             Part("Not compared with an original", ("uncompared",))]
    with open(folder / "results.csv", "w", encoding="utf-8", errors="backslashreplace", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(FIELDS)
        for outcome in journal.outcomes():
            summary.add(outcome)
            rows.writerows(csv_rows(outcome))
            for part in parts:
                part.add(outcome)
    with open(folder / "report.html", "w", encoding="utf-8", errors="backslashreplace") as out:
        out.write(HEAD)
        out.writelines(head_of(summary, settings, journal.total))
        for part in parts:
            part.copy_to(out)
        out.writelines(tables_of(summary))
        out.write("</body></html>\n")
    return summary
