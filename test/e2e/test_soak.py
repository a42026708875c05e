# SPDX-License-Identifier: BSD-2-Clause
"""scripts/soak, short: it runs, brings what it promises, and no request fails. Whether anything grows takes half an hour."""
import csv
import subprocess

from stack import REPO


def test_a_short_soak(scratch):
    out = scratch / "soak"
    done = subprocess.run([REPO / "scripts/soak", "--minutes", "0.5", "--requests", "2000", "--out", out],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    with open(out / "samples.csv") as f:
        samples = list(csv.DictReader(f))
    last = samples[-1]
    assert len(samples) > 20 and float(last["requests"]) > 1500 and float(last["failed"]) == 0
    assert all(float(last[field]) > 0 for field in ("memory_mb", "descriptors", "originals_mb", "evictions", "revalidations"))
    # Groups restarted.
    assert float(last["starts"]) > float(samples[0]["starts"])
    assert (out / "plot.svg").read_text().count("<polyline") == 6
