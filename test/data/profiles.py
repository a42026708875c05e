# SPDX-License-Identifier: BSD-2-Clause
"""ICC profiles written by hand (ICC.1:2001-04): a grid over the colours of a device, and a curve for gray."""
import itertools
import struct

import numpy as np

GRID = 9


def s15(value):
    return struct.pack(">i", round(value * 65536))


def assemble(space, pcs, kind, tags):
    offset, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        data += b"\0" * (-len(data) % 4)
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data
    head = struct.pack(">I4sI4s4s4s", offset + len(body), b"none", 0x02400000, kind, space, pcs)
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28 + s15(0.9642) + s15(1) + s15(0.8249)
    return head + b"\0" * (128 - len(head)) + struct.pack(">I", len(tags)) + table + body


def common(name):
    text = b"desc\0\0\0\0" + struct.pack(">I", len(name) + 1) + name + b"\0" + b"\0" * 78
    return {b"desc": text, b"wtpt": b"XYZ \0\0\0\0" + s15(0.9642) + s15(1) + s15(0.8249), b"cprt": b"text\0\0\0\0none\0"}


def lut_profile(space, channels, lab_of):
    """lab_of takes the channels, 0 to 1, and gives L, a, b; between the grid's points programs interpolate."""
    straight = struct.pack(">HH", 0, 65535)
    lut = b"mft2\0\0\0\0" + bytes([channels, 3, GRID, 0])
    lut += b"".join(s15(v) for v in (1, 0, 0, 0, 1, 0, 0, 0, 1)) + struct.pack(">HH", 2, 2) + straight * channels
    for point in itertools.product(range(GRID), repeat=channels):
        lightness, a, b = lab_of(*(p / (GRID - 1) for p in point))
        lut += struct.pack(">HHH", *(int(np.clip(round(v), 0, 65535))
                                     for v in (lightness / 100 * 0xFF00, (a + 128) * 256, (b + 128) * 256)))
    lut += straight * 3
    tags = {**common(space), b"A2B0": lut, b"A2B1": lut}
    return assemble(space, b"Lab ", b"prtr" if channels == 4 else b"scnr", tags)


def ink_profile():
    """A pale press."""
    def lab(c, m, y, k):
        light = (1 - k) * (1 - (c + m + y) / 3.2)
        return 5 + 93 * light, 55 * (m - c) * (1 - k), 55 * (y - (c + m) / 2) * (1 - k)
    return lut_profile(b"CMYK", 4, lab)


def scanner_profile():
    """RGB by a grid; warm, and soft in the shadows."""
    def lab(r, g, b):
        return 100 * (0.3 * r + 0.6 * g + 0.1 * b) ** 0.8, 60 * (r - g) + 4, 60 * (g - b) + 6
    return lut_profile(b"RGB ", 3, lab)


def gray_profile(gamma):
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    return assemble(b"GRAY", b"XYZ ", b"mntr", {**common(b"gray"), b"kTRC": curve})
