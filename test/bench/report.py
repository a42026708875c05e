# SPDX-License-Identifier: BSD-2-Clause
"""What scripts/bench writes: table.md, results.csv, results.json and plot.svg."""
import csv
import io
import json
import math
import os
import platform
import statistics
import subprocess
from datetime import datetime, timezone
from html import escape

NAMES = ["floor", "library", "lorikeet", "iipimage", "MagickWand"]
COLOURS = {"floor": "#777777", "library": "#bbbbbb", "lorikeet": "#d02030", "iipimage": "#2060c0", "MagickWand": "#e0a000"}
HEADS = ["workload", *NAMES, "lorikeet : floor", "iipimage : lorikeet", "MagickWand : lorikeet", "dB: best", "lorikeet", "iipimage",
         "MagickWand"]
ABOUT = """\
CPU ms / wall ms / peak MB of one request, {how}. Wall of lorikeet and iipimage is through nginx; the peak
is that of a fresh process. An idle worker of lorikeet holds {idle} MB.
- floor: the least that the codecs' libraries need to get the samples and to encode as many as the answer has.
- library: libtiff to RGB, and encoded; for JP2, OpenJPEG's decode alone.
- dB: PSNR of luma against a float reference; best is the reference itself in the answer's encoding.
"""


def number(v):
    return f"{v:.0f}" if v >= 100 else f"{v:.1f}" if v >= 10 else f"{v:.2f}" if v >= 0.1 else f"{v:.3f}"


class Results:
    """figures: {(workload, contestant): [Figures]}; judged: {workload: {contestant: (luma, chroma)}}."""

    def __init__(self, found, figures, judged, rounds, idle_mb, notes):
        self.found, self.figures, self.judged, self.rounds, self.notes = found, figures, judged, rounds, notes
        self.idle_mb = idle_mb

    def median(self, workload, name, field):
        got = self.figures.get((workload.name, name))
        return statistics.median(getattr(f, field) for f in got) if got else None

    def ratio(self, workload, over, under):
        a, b = self.median(workload, over, "cpu_ms"), self.median(workload, under, "cpu_ms")
        return f"{a / b:.2f}" if a and b else "-"

    def cell(self, workload, name):
        values = [self.median(workload, name, field) for field in ("cpu_ms", "wall_ms", "peak_mb")]
        return " / ".join(map(number, values)) if values[0] is not None else "-"

    def db(self, workload, name):
        found = self.judged.get(workload.name, {}).get(name)
        return f"{found[0]:.2f}" if found else "-"

    def rows(self):
        for w in self.found:
            yield [f"{w.name} {w.title}", *(self.cell(w, name) for name in NAMES), self.ratio(w, "lorikeet", "floor"),
                   self.ratio(w, "iipimage", "lorikeet"), self.ratio(w, "MagickWand", "lorikeet"),
                   *(self.db(w, name) for name in ("best", "lorikeet", "iipimage", "MagickWand"))]

    def markdown(self):
        how = f"medians of {self.rounds} rounds" if self.rounds else "of the very first one each: no measurement"
        lines = [machine(), "", ABOUT.format(how=how, idle=number(self.idle_mb)), *self.notes, ""]
        lines += ["| " + " | ".join(row) + " |" for row in (HEADS, ["---"] + ["---:"] * (len(HEADS) - 1), *self.rows())]
        return "\n".join(lines) + "\n"

    def text(self):
        """CPU ms and what follows from it, for a terminal."""
        heads = ["CPU ms", *NAMES, ":floor", "iip:", "wand:", "dB best", "lorikeet"]
        yield f"{heads[0]:60}" + "".join(f"{head:>11}" for head in heads[1:6]) + "".join(f"{head:>9}" for head in heads[6:])
        for w, row in zip(self.found, self.rows()):
            cells = [row[i].split(" / ")[0] for i in range(1, 6)]
            yield f"{row[0][:59]:60}" + "".join(f"{v:>11}" for v in cells) + "".join(f"{v:>9}" for v in row[6:11])

    def csv(self):
        out = io.StringIO()
        to = csv.writer(out)
        to.writerow("workload title contestant cpu_ms cpu_least cpu_most wall_ms peak_mb bytes db_luma db_chroma".split())
        for w in self.found:
            for name in NAMES:
                got = self.figures.get((w.name, name))
                if got:
                    cpu = [f.cpu_ms for f in got]
                    rest = [round(self.median(w, name, field), 3) for field in ("wall_ms", "peak_mb", "bytes")]
                    to.writerow([w.name, w.title, name, *(round(v, 4) for v in (statistics.median(cpu), min(cpu), max(cpu))),
                                 *rest, *(round(v, 2) for v in self.judged.get(w.name, {}).get(name) or ())])
        return out.getvalue()

    def json(self):
        rows = [{"workload": w.name, "title": w.title, "contestant": name,
                 "rounds": [f._asdict() for f in self.figures[w.name, name]],
                 "db": self.judged.get(w.name, {}).get(name)} for w in self.found for name in NAMES
                if (w.name, name) in self.figures]
        best = {name: found["best"] for name, found in self.judged.items()}
        return json.dumps({"machine": machine(), "notes": self.notes, "idle_mb": self.idle_mb, "best_db": best,
                           "results": rows}, indent=1)

    def svg(self):
        return plot(self.found, {(w.name, n): self.median(w, n, "cpu_ms") for w in self.found for n in NAMES})

    def write(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in (("table.md", self.markdown()), ("results.csv", self.csv()), ("results.json", self.json()),
                           ("plot.svg", self.svg())):
            (folder / name).write_text(text)


def machine():
    with open("/proc/cpuinfo") as f:
        models = [line.split(":")[1].strip() for line in f if line.startswith("model name")]
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True,
                            cwd=os.path.dirname(__file__)).stdout.strip()
    when = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    return f"{when}, {commit or 'no commit'}, {os.cpu_count()} x {models[0] if models else platform.machine()}"


ROW, LEFT, WIDTH, TOP = 18, 400, 620, 60


def plot(found, cpu_ms):
    """A line a workload, a dot a contestant, CPU milliseconds on a logarithmic axis."""
    values = [v for v in cpu_ms.values() if v]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    high = max(high, low + 1)

    def x(v):
        return LEFT + (math.log10(v) - low) / (high - low) * WIDTH

    height = TOP + ROW * len(found) + 20
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 40}" height="{height}" '
           'font-family="sans-serif" font-size="12">', '<rect width="100%" height="100%" fill="white"/>']
    for i, name in enumerate(NAMES):
        out.append(f'<circle cx="{LEFT + 110 * i}" cy="18" r="5" fill="{COLOURS[name]}"/>'
                   f'<text x="{LEFT + 110 * i + 10}" y="22">{name}</text>')
    for decade in range(low, high + 1):
        at = x(10 ** decade)
        out.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP - 8}" y2="{height - 16}" stroke="#dddddd"/>'
                   f'<text x="{at:.1f}" y="{TOP - 12}" text-anchor="middle">{10 ** decade:g} ms</text>')
    for row, w in enumerate(found):
        y = TOP + ROW * (row + 0.5)
        out.append(f'<text x="{LEFT - 14}" y="{y + 4:.1f}" text-anchor="end">{escape(w.title)} ({escape(w.name)})</text>')
        mine = [(name, x(cpu_ms[w.name, name])) for name in NAMES if cpu_ms.get((w.name, name))]
        places = [at for _, at in mine] or [LEFT]
        out.append(f'<line x1="{min(places):.1f}" x2="{max(places):.1f}" y1="{y:.1f}" y2="{y:.1f}" stroke="#bbbbbb"/>')
        out += [f'<circle cx="{at:.1f}" cy="{y:.1f}" r="4.5" fill="{COLOURS[name]}" fill-opacity="0.85"/>' for name, at in mine]
    return "\n".join(out + ["</svg>"]) + "\n"
