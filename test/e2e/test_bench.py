# SPDX-License-Identifier: BSD-2-Clause
"""scripts/bench --quick: all workloads are answered, the pictures are right, the report is whole. No times are judged."""
import csv
import json
import os
import subprocess
import xml.etree.ElementTree
from pathlib import Path

import pytest
from stack import REPO

WORKLOADS = ("W1 W2 W3 W4 W5 W5x4 W5r W5rx4 W6 W6x4 W7 W7d W8t W8tx4 W8tfull W8u W8ux4 W8ufull T256 T256r edge edgex4 unaligned "
             "session sessionr info webp png fromwebp frompng fromgif rotate gray").split()


@pytest.fixture(scope="module")
def temporary(scratch):
    """Where the run has its own temporary files."""
    path = scratch / "bench-tmp"
    path.mkdir()
    path.chmod(0o755)
    return path


@pytest.fixture(scope="module")
def report(scratch, temporary):
    folder = scratch / "bench-report"
    done = subprocess.run([REPO / "scripts/bench", "--quick", "--out", folder], capture_output=True, text=True, timeout=280,
                          env={**os.environ, "TMPDIR": str(temporary)})
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_all_workloads_are_in_the_table(report):
    rows = [line for line in (report / "table.md").read_text().splitlines() if line.startswith("| ")]
    assert [row.split()[1] for row in rows[2:]] == [f"{name}/6" for name in WORKLOADS]


def test_lorikeet_and_the_programs_did_all_that_they_can(report):
    with open(report / "results.csv", newline="") as f:
        done = {(row["workload"], row["contestant"]) for row in csv.DictReader(f)}
    assert {name for name, who in done if who == "lorikeet"} == {f"{name}/6" for name in WORKLOADS}
    assert {name for name, who in done if who == "floor"} == {f"{name}/6" for name in WORKLOADS if name != "info"}
    alone = ("info", "session", "sessionr")
    assert {name for name, who in done if who == "MagickWand"} == {f"{name}/6" for name in WORKLOADS if name not in alone}


def test_the_peer_answered_or_it_is_said_why_not(report):
    results = json.loads((report / "results.json").read_text())
    answered = any(row["contestant"] == "iipimage" for row in results["results"])
    assert answered or any("iipimage-server" in note for note in results["notes"])


def test_the_plot_has_a_line_for_each(report):
    texts = [t.text for t in xml.etree.ElementTree.parse(report / "plot.svg").iter("{http://www.w3.org/2000/svg}text")]
    assert all(any(t.endswith(f"({name}/6)") for t in texts) for name in WORKLOADS)


def command_line(process):
    try:
        return (process / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def test_nothing_is_left(report, temporary):
    assert not list(temporary.iterdir())
    assert not [p for p in Path("/proc").glob("[0-9]*") if os.fsencode(temporary) in command_line(p)]
