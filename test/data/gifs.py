# SPDX-License-Identifier: BSD-2-Clause
"""GIF written by hand: frames anywhere, tables of any size, interlacing."""
import struct

import numpy as np


def coded(index, bits):
    """LZW without words: a clear code comes before the codes would get wider."""
    clear, width = 1 << bits, bits + 1
    codes = []
    for i, v in enumerate(index.reshape(-1).tolist()):
        codes += [clear, v] if i % (clear - 2) == 0 else [v]
    digits = (np.array([*codes, clear + 1])[:, None] >> np.arange(width)) & 1
    data = np.packbits(digits.astype(np.uint8).reshape(-1), bitorder="little").tobytes()
    return bytes([bits]) + b"".join(bytes([len(data[i:i + 255])]) + data[i:i + 255] for i in range(0, len(data), 255)) + b"\0"


def size_of(table):
    return max(1, (len(table) - 1).bit_length()) - 1


def padded(table):
    return table.astype(np.uint8).tobytes() + bytes(3 * (2 << size_of(table)) - table.size)


def frame(index, x=0, y=0, table=None, clear=None, disposal=0, interlaced=False, control=True):
    """A graphic control, unless control is not wanted, and the frame; index is h x w, table n x 3 its own colours."""
    h, w = index.shape
    out = b""
    if control:
        out += b"\x21\xf9\x04" + struct.pack("<BHBB", disposal << 2 | (clear is not None), 10, clear or 0, 0)
    flags = (0x80 | size_of(table) if table is not None else 0) | 0x40 * interlaced
    out += b"\x2c" + struct.pack("<4HB", x, y, w, h, flags) + (padded(table) if table is not None else b"")
    if interlaced:
        index = np.concatenate([index[0::8], index[4::8], index[2::4], index[1::2]])
    return out + coded(index, max(2, int(index.max()).bit_length()))


def gif(w, h, frames, table=None, version=b"GIF89a", background=0):
    flags = 0x80 | size_of(table) if table is not None else 0
    return (version + struct.pack("<HHBBB", w, h, flags, background, 0) + (padded(table) if table is not None else b"") +
            b"".join(frames) + b";")
