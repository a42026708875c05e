# SPDX-License-Identifier: BSD-2-Clause
"""Pages of TIFFs of every sample layout and of the compressions that are short to write."""
import lzma
import zlib

import numpy as np

from writers import SHORT, page

CODE = {"none": 1, "lzw": 5, "old-lzw": 5, "deflate": 8, "old-deflate": 32946, "packbits": 32773, "lzma": 34925}
UNSIGNED, SIGNED, FLOAT = 1, 2, 3
REVERSED = bytes(int(f"{i:08b}"[::-1], 2) for i in range(256))


def lzw(data, low_first=False):
    """A clear code, literals, and another clear code before codes would grow beyond 9 bits; low_first: the bit order of
    before TIFF 6."""
    codes, seen = [256], 0
    for byte in data:
        if seen == 200:
            codes.append(256)
            seen = 0
        codes.append(byte)
        seen += 1
    codes.append(257)
    if low_first:
        bits = sum(code << 9 * i for i, code in enumerate(codes))
        return bits.to_bytes(-(-9 * len(codes) // 8), "little")
    text = "".join(f"{code:09b}" for code in codes)
    return int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big")


def packbits(data):
    """Runs of literals, and a repetition where the first two bytes are equal, so that both kinds are there."""
    out = b""
    if len(data) > 1 and data[0] == data[1]:
        out, data = bytes([255, data[0]]), data[2:]
    return out + b"".join(bytes([len(data[i:i + 100]) - 1]) + data[i:i + 100] for i in range(0, len(data), 100))


COMPRESS = {"none": bytes, "lzw": lzw, "old-lzw": lambda d: lzw(d, True), "deflate": zlib.compress,
            "old-deflate": zlib.compress, "lzma": lzma.compress}


def packed(rows, bits):
    """Rows of samples as bits, the highest first, each row from a whole byte on."""
    digits = (rows.astype(np.uint64)[..., None] >> np.arange(bits - 1, -1, -1, dtype=np.uint64)) & 1
    return np.packbits(digits.astype(np.uint8).reshape(len(rows), -1), axis=1)


def sample_bytes(rows, bits, order):
    """Rows of samples (of any type that has these bits, or of integers) as bytes of a file."""
    h = len(rows)
    if bits == 24:
        words = (rows.astype(np.int64) & 0xffffff).astype(">u4" if order == ">" else "<u4")
        quads = words.view(np.uint8).reshape(h, -1, 4)
        return (quads[..., 1:] if order == ">" else quads[..., :3]).reshape(h, -1)
    if bits in (8, 16, 32, 64):
        return np.ascontiguousarray(rows.astype(rows.dtype.newbyteorder(order))).view(np.uint8).reshape(h, -1)
    return packed(rows, bits)


def differences(rows, n):
    """Predictor 2: n samples a pixel."""
    out = rows.copy()
    out[:, n:] = rows[:, n:] - rows[:, :-n]
    return out


def float_differences(rows, n):
    """Predictor 3: each row's first bytes, then its second ones..., as differences."""
    size = rows.dtype.itemsize
    split = np.ascontiguousarray(rows.astype(rows.dtype.newbyteorder(">"))).view(np.uint8).reshape(len(rows), -1, size)
    split = np.ascontiguousarray(split.transpose(0, 2, 1)).reshape(len(rows), -1)
    return differences(split, n)


def layout(samples, bits=None, format=UNSIGNED, compression="none", predictor=1, order="<", fill=1, separate=False,
           tags=None,
           **others):
    """A page() whose samples are laid out as told; tags and others as page has them."""
    n = samples.shape[2] if samples.ndim == 3 else 1
    bits = bits or samples.dtype.itemsize * 8
    together = 1 if separate else n

    def encode(tile):
        rows = tile.reshape(len(tile), -1)
        if predictor == 2:
            rows = differences(rows, together)
        data = float_differences(rows, together) if predictor == 3 else sample_bytes(rows, bits, order)
        # PackBits never runs across rows.
        data = b"".join(packbits(row.tobytes()) for row in data) if compression == "packbits" else \
            COMPRESS[compression](data.tobytes())
        return data.translate(REVERSED) if fill == 2 else data

    all_tags = {258: (SHORT, [bits] * n), 259: (SHORT, [CODE[compression]]), 339: (SHORT, [format] * n)}
    if predictor > 1:
        all_tags[317] = (SHORT, [predictor])
    if fill > 1:
        all_tags[266] = (SHORT, [fill])
    return page(samples, encode=encode, separate=separate, tags={**all_tags, **(tags or {})}, **others)


def palette_of(colours, bits):
    """The tag of a palette: colours of 8 bits, n x 3."""
    table = np.zeros((2 ** bits, 3), np.uint16)
    table[:len(colours)] = colours.astype(np.uint16) * 257
    return {320: (SHORT, table.T.ravel().tolist())}
