# SPDX-License-Identifier: BSD-2-Clause
"""PNG written by hand: every kind and depth."""
import struct
import zlib

import numpy as np

GRAY, RGB, PALETTE, GRAY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def packed(samples, bits):
    """Rows of samples, h x w x channels, as PNG lays them, each behind filter type 0."""
    h, w, channels = samples.shape
    rows = samples.reshape(h, w * channels)
    if bits == 16:
        rows = rows.astype(">u2").view(np.uint8).reshape(h, -1)
    elif bits < 8:
        digits = (rows[..., None] >> np.arange(bits - 1, -1, -1)) & 1
        rows = np.packbits(digits.astype(np.uint8).reshape(h, -1), axis=1)
    return b"".join(b"\0" + row.astype(np.uint8).tobytes() for row in rows)


def png(samples, kind, bits, before=b"", interlaced=False, after=b""):
    samples = samples if samples.ndim == 3 else samples[..., None]
    h, w = samples.shape[:2]
    body = b"".join(packed(samples[y::dy, x::dx], bits) for x, y, dx, dy in ADAM7 if x < w and y < h) if interlaced \
        else packed(samples, bits)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, bits, kind, 0, 0, interlaced)) + before +
            chunk(b"IDAT", zlib.compress(body)) + after + chunk(b"IEND", b""))


def icc_chunk(icc):
    return chunk(b"iCCP", b"profile\0\0" + zlib.compress(icc))
