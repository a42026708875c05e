# SPDX-License-Identifier: BSD-2-Clause
"""PSD and PSB written by hand: the merged picture."""
import struct

import numpy as np

BITMAP, GRAY, INDEXED, RGB, CMYK, MULTICHANNEL, DUOTONE, LAB = 0, 1, 2, 3, 4, 7, 8, 9


def packbits(row):
    """Runs where there are any, else up to 128 bytes as they are."""
    out, at = bytearray(), 0
    while at < len(row):
        n = 1
        while n < 128 and at + n < len(row) and row[at + n] == row[at]:
            n += 1
        if n > 2:
            out += bytes([257 - n, row[at]])
        else:
            n = min(128, len(row) - at)
            out += bytes([n - 1]) + row[at:at + n]
        at += n
    return bytes(out)


def resource(number, data):
    return b"8BIM" + struct.pack(">H2xI", number, len(data)) + data + b"\0" * (len(data) & 1)


def transparent(large=False):
    """The section of layers that says: the first further channel is the picture's transparency. The layers' own records are
    rubbish: nobody may look at them."""
    return struct.pack(">Q" if large else ">I", 2000) + struct.pack(">h", -1) + b"\xff" * 2000


def psd(array, compression, layers=b"", resources=b"", mode=None, table=b"", large=False):
    """h x w x channels, of 8 or 16 bits, or for BITMAP of 0 and 1; compression 0, or 1 (PackBits)."""
    h, w, channels = array.shape
    mode = (RGB if channels >= 3 else GRAY) if mode is None else mode
    depth = 1 if mode == BITMAP else array.dtype.itemsize * 8
    size, count = (">Q", ">I") if large else (">I", ">H")
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1 + large, channels, h, w, depth, mode) + struct.pack(">I", len(table)) + table
    head += struct.pack(">I", len(resources)) + resources + struct.pack(size, len(layers)) + layers
    if mode == BITMAP:
        rows = [np.packbits(array[y, :, 0].astype(np.uint8)).tobytes() for y in range(h)]
    else:
        rows = [array[y, :, c].astype(array.dtype.newbyteorder(">")).tobytes() for c in range(channels) for y in range(h)]
    if compression == 1:
        rows = [packbits(row) for row in rows]
        head += struct.pack(">H", 1) + b"".join(struct.pack(count, len(row)) for row in rows)
    else:
        head += struct.pack(">H", compression)
    return head + b"".join(rows)
