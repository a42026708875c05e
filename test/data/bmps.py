# SPDX-License-Identifier: BSD-2-Clause
"""BMP written by hand: every header and depth, from the bottom upwards unless it is top_down."""
import struct

import numpy as np

CORE, V1, V2, V3, OS2, V4, V5 = 12, 40, 52, 56, 64, 108, 124
RGB, RLE8, RLE4, BITFIELDS, ALPHA_BITFIELDS = 0, 1, 2, 3, 6


def packed(samples, bits):
    """Indexes (h x w), or pixels as numbers, in rows of four bytes each."""
    if bits <= 8:
        digits = (samples[..., None] >> np.arange(bits - 1, -1, -1)) & 1
        rows = np.packbits(digits.astype(np.uint8).reshape(len(samples), -1), axis=1)
    else:
        rows = samples.astype("<u4")[..., None].view(np.uint8)[..., :bits // 8].reshape(len(samples), -1)
    return np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4))).tobytes()


def numbers(colours, shifts, bits):
    """Pixels as numbers, of 8-bit colours: each with so many bits at its place."""
    out = np.zeros(colours.shape[:2], np.int64)
    for c, (shift, n) in enumerate(zip(shifts, bits)):
        out |= np.rint(colours[..., c] / 255 * (2 ** n - 1)).astype(np.int64) << shift
    return out


def bmp(samples, bits, header=V1, compression=RGB, table=None, colours=0, masks=(), top_down=False, data=None, icc=b""):
    """data is what stands for samples when they are coded. masks belong to the header where it has room for them."""
    h, w = samples.shape[:2]
    if data is None:
        data = packed(samples if top_down else samples[::-1], bits)
    entries = b""
    if table is not None:
        entries = b"".join(bytes([b, g, r]) + b"\0" * (header > CORE) for r, g, b in table.tolist())
    if header == CORE:
        head = struct.pack("<IHHHH", CORE, w, h, 1, bits)
    else:
        head = struct.pack("<IiiHHIIiiII", header, w, -h if top_down else h, 1, bits, compression, len(data), 2835, 2835, colours, 0)
        words = struct.pack(f"<{len(masks)}I", *masks)
        if header == V1:
            entries = words + entries
        elif header > V1 and header != OS2:
            head += words
        if header == V4 or header == V5:
            head = head.ljust(56, b"\0") + (b"DEBM" if icc else b"BGRs")
        if icc:
            head = head.ljust(112, b"\0") + struct.pack("<II", header + len(entries) + len(data), len(icc))
        head = head[:header].ljust(header, b"\0")
    start = 14 + len(head) + len(entries)
    return b"BM" + struct.pack("<IHHI", start + len(data) + len(icc), 0, 0, start) + head + entries + data + icc


def run_lengths(index, bits):
    """All kinds of code: runs, literals of odd lengths, ends of lines, and the end."""
    out = bytearray()
    for row in index[::-1].tolist():
        x = 0
        while x < len(row):
            n = 1
            while x + n < len(row) and n < 255 and row[x + n] == row[x]:
                n += 1
            literal = row[x:x + 7]
            if n < 3 and len(literal) >= 3:
                body = bytes(literal) if bits == 8 else bytes(a << 4 | b for a, b in zip(literal[::2], [*literal[1::2], 0]))
                out += bytes([0, len(literal)]) + body + b"\0" * (len(body) & 1)
                x += len(literal)
            else:
                out += bytes([n, row[x] if bits == 8 else row[x] * 17])
                x += n
        out += b"\0\0"
    return bytes(out) + b"\0\1"
