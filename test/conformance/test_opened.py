# SPDX-License-Identifier: BSD-2-Clause
"""What a worker keeps of opened pictures: bounded, and the same answers whoever asked before."""
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest

from harness import Client, boot, config_text
from writers import LONG, SHORT, page, tiff

SIDE = 300       # tiles a side: more than are read at once
PICTURES = 25    # an odd number: the workers take turns, and each sees all in two rounds


def many_tiles(path):
    """All of them the same few bytes."""
    one = zlib.compress(np.full((16, 16), 77, np.uint8).tobytes())
    whole = page(np.zeros((16, 16), np.uint8), tile=(16, 16), compression="deflate", encode=lambda tile: one)
    whole["entries"].update({256: (LONG, [SIDE * 16]), 257: (LONG, [SIDE * 16]), 324: (LONG, [8] * SIDE ** 2),
                             325: (LONG, [len(one)] * SIDE ** 2)})
    path.write_bytes(tiff([whole]))


def damaged_floats(path):
    """0 to 1000, but for the last tile, which cannot be read."""
    values, count = np.linspace(0, 1000, 256 * 256, dtype=np.float32).reshape(256, 256), iter(range(1, 17))

    def encode(tile):
        data = bytearray(zlib.compress(tile.tobytes()))
        if next(count) == 16:
            data[len(data) // 2:len(data) // 2 + 20] = b"\x55" * 20
        return bytes(data)
    path.write_bytes(tiff([page(values, tile=(64, 64), compression="deflate", encode=encode, tags={339: (SHORT, [3])})]))


@pytest.fixture(scope="module")
def folder(scratch):
    root = scratch / "opened"
    root.mkdir()
    many_tiles(root / "0.tif")
    for i in range(1, PICTURES):
        shutil.copyfile(root / "0.tif", root / f"{i}.tif")
    damaged_floats(root / "floats.tif")
    return root


@pytest.fixture(scope="module")
def stack(binary, scratch, folder):
    config = config_text([("recover/", folder, {"recover": True}), ("", folder, {})])
    with boot(scratch, binary, "opened-server", config) as running:
        yield running


def resident_mb(stack):
    rows = [Path(f"/proc/{pid}/status").read_text() for pid in stack.worker_pids()]
    return sum(int(text.split("VmRSS:")[1].split()[0]) for text in rows) / 1024


@pytest.mark.release_only
def test_places_of_tiles_count(stack):
    """1.4 MB of each picture: the bound is 8 MiB a worker."""
    server, last = Client(stack.port), SIDE * 16 - 16
    before = resident_mb(stack)
    for _ in range(2):
        for i in range(PICTURES):
            assert server.get(f"/iiif/3/{i}.tif/{last},{last},16,16/max/0/default.png").status == 200
    assert resident_mb(stack) < before + 2 * (8 + 6)


def test_who_recovers_changes_nothing_for_who_does_not(stack):
    server = Client(stack.port)
    for i, (prefix, status) in enumerate(4 * [("", 500), ("recover%2F", 200), ("", 500)]):
        # Each time another part, which no cache has.
        assert server.get(f"/iiif/3/{prefix}floats.tif/0,0,64,{50 + i}/max/0/default.png").status == status
