# SPDX-License-Identifier: BSD-2-Clause
"""The course of scripts/bench: images, contestants, rounds, pictures, report."""
import hashlib
from pathlib import Path

import contestants
import images
import quality
import workloads
from report import Results
from servers import Servers
from stack import StackError

SIZES = {"24": (6000, 4000), "96": (12000, 8000)}
QUICK_SIZES = {"6": (3000, 2100)}
ROUND_MS, MOST = 200, 100                # how long, and how often at most, one works on a workload in a round
# Megabytes resident that Lorikeet may have: with pictures of so many megapixels, of kinds that it need not hold whole.
MOST_MB, MOST_MB_LARGE, LARGE = 60, 120, 30e6
SLOW_MS, SLOW_ROUNDS = 1000, 3           # whoever takes so long has fewer rounds


class BenchError(Exception):
    pass


def start_all(found, field):
    """{(workload, contestant): (run, its first Figures)}"""
    runs = {}
    for w in found:
        for c in field:
            run = c.start(w)
            if run:
                runs[w.name, c.name] = run, run.measure(1)
    return runs


def measure(runs, requests, rounds):
    """{(workload, contestant): [Figures of each round]}; the contestants take turns. Peaks are those of fresh processes."""
    figures = {key: [] for key in runs}
    for number in range(1, rounds + 1):
        print(f"round {number} of {rounds}", flush=True)
        for key, (run, first) in runs.items():
            ms = first.wall_ms * requests[key[0]]
            if ms < SLOW_MS or number <= SLOW_ROUNDS:
                got = run.measure(min(max(int(ROUND_MS / ms), 1), MOST))
                figures[key].append(got._replace(peak_mb=first.peak_mb))
    return figures


def memory_faults(found, runs):
    faults = []
    for w in found:
        most = MOST_MB_LARGE if w.master.width * w.master.height > LARGE else MOST_MB
        _, first = runs[w.name, "lorikeet"]
        if w.kind.endswith((".tif", ".jp2", "flat.jpg")) and first.peak_mb > most:
            faults.append(f"{w.name}: Lorikeet's worker has {first.peak_mb:.0f} MB, and may have {most}")
    return faults


def answers_to(workload, runs, field):
    """{contestant: body}, without those of the floor that were cut out of larger decodes, and of decoders alone."""
    found = {}
    for c in field:
        run, _ = runs.get((workload.name, c.name), (None, None))
        if run and (c.name not in ("floor", "library") or workload.shows_same) and (body := run.answer):
            found[c.name] = body
    return found


def judge_all(found, runs, field, pictures):
    """({workload: {contestant: PSNR}}, faults); the pictures are kept to be looked at."""
    judged, faults = {}, []
    pictures.mkdir(parents=True, exist_ok=True)
    for w in (w for w in found if w.single):
        answers = answers_to(w, runs, field)
        for name, body in answers.items():
            Path(pictures, f"{w.name.replace('/', '-')}-{name}.{w.ask.format}").write_bytes(body)
        judged[w.name] = quality.judge(w, answers)
        faults += quality.faults(w, judged[w.name])
    return judged, faults


def take_images(words):
    if words.images:
        name = "own-" + hashlib.sha256(str(Path(words.images).resolve()).encode()).hexdigest()[:12]
        return images.ready(name, {}, words.images)
    return images.ready("quick", QUICK_SIZES) if words.quick else images.ready("made", SIZES)


def run(words, folder):
    """The exit status."""
    programs = []
    try:
        found = workloads.all_of(take_images(words), [w for w in words.only.split(",") if w])
        if not found:
            raise BenchError(f"no workload is called {words.only}")
        programs = contestants.programs(folder)
        with Servers(folder, found[0].master.folder) as servers:
            idle_mb = contestants.resident_kb(servers.worker(), "VmRSS") / 1024
            field = programs + servers.all
            runs = start_all(found, field)
            lacking = [w.name for w in found if (w.name, "lorikeet") not in runs]
            if lacking:
                raise BenchError(f"Lorikeet does not answer {', '.join(lacking)}")
            figures = {key: [first] for key, (_, first) in runs.items()}
            if not words.quick:
                figures = measure(runs, {w.name: len(w.asks or [None]) for w in found}, words.rounds)
            print("looking at the pictures", flush=True)
            judged, faults = judge_all(found, runs, field, words.out / "pictures")
            # A person's own may be progressive, of which all coefficients are held.
            faults += [] if words.images else memory_faults(found, runs)
        notes = [f"- {note}" for note in (servers.absent, *faults) if note]
        results = Results(found, figures, judged, 0 if words.quick else words.rounds, idle_mb, notes)
        results.write(words.out)
        print(*results.text(), *notes, f"table.md, results.csv, results.json, plot.svg and pictures are in {words.out}", sep="\n")
        return 1 if faults else 0
    except (StackError, images.ImagesError, contestants.ContestantError) as e:
        raise BenchError(e) from None
    finally:
        for program in programs:
            program.end()
