# SPDX-License-Identifier: BSD-2-Clause
"""JPEG and TIFF written by hand: kinds that no tool at hand writes, and kinds that nobody should."""
import struct
import zlib

import numpy as np

ZIGZAG = sorted(range(64), key=lambda i: (i // 8 + i % 8, i // 8 if (i // 8 + i % 8) % 2 else i % 8))
DCT = np.array([[(0.5 if k else 0.125 ** 0.5) * np.cos((2 * n + 1) * k * np.pi / 16) for n in range(8)]
                for k in range(8)])
# Codes of one length each: 12 of 4 bits for DC, 162 of 8 bits for AC.
AC_SYMBOLS = [0x00, 0xF0] + [run << 4 | size for run in range(16) for size in range(1, 11)]
AC_CODE = {symbol: code for code, symbol in enumerate(AC_SYMBOLS)}


def segment(marker, body):
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def jpeg_tables(quant):
    dc = bytes([0, 0, 0, 0, 12] + [0] * 12) + bytes(range(12))
    ac = bytes([0x10] + [0] * 7 + [len(AC_SYMBOLS)] + [0] * 8) + bytes(AC_SYMBOLS)
    return segment(0xDB, b"\0" + bytes([quant] * 64)) + segment(0xC4, dc) + segment(0xC4, ac)


class Bits:
    def __init__(self):
        self.out, self.value, self.n = bytearray(), 0, 0

    def put(self, value, n):
        self.value, self.n = self.value << n | value, self.n + n
        while self.n >= 8:
            self.n -= 8
            byte = self.value >> self.n
            self.out.append(byte)
            if byte == 0xFF:
                self.out.append(0)
            self.value &= (1 << self.n) - 1

    def end(self):
        if self.n:
            self.put((1 << (8 - self.n)) - 1, 8 - self.n)


def quantised(plane, h, v, mcus_x, mcus_y, quant):
    """The blocks of a component, padded to whole MCUs, in zigzag order."""
    high, wide = mcus_y * v * 8, mcus_x * h * 8
    padded = np.pad(plane.astype(float), ((0, high - plane.shape[0]), (0, wide - plane.shape[1])), "edge") - 128
    blocks = padded.reshape(high // 8, 8, wide // 8, 8).transpose(0, 2, 1, 3)
    values = np.rint(DCT @ blocks @ DCT.T / quant).astype(int)
    return values.reshape(high // 8, wide // 8, 64)[:, :, ZIGZAG]


def put_value(bits, code, code_bits, value, size):
    bits.put(code, code_bits)
    if size:
        bits.put(value if value > 0 else value + (1 << size) - 1, size)


def put_block(bits, block, before):
    size = int(abs(block[0] - before)).bit_length()
    put_value(bits, size, 4, int(block[0] - before), size)
    run = 0
    last = int(np.max(np.nonzero(block)[0], initial=0))
    for value in block[1:last + 1]:
        if value == 0:
            run += 1
            continue
        while run > 15:
            bits.put(AC_CODE[0xF0], 8)
            run -= 16
        size = int(abs(value)).bit_length()
        put_value(bits, AC_CODE[run << 4 | size], 8, int(value), size)
        run = 0
    if last < 63:
        bits.put(AC_CODE[0], 8)


def put_scan(components, mcus, restart):
    """components: (blocks, h, v); mcus: (across, down)."""
    out, bits, before = b"", Bits(), [0] * len(components)
    for m in range(mcus[0] * mcus[1]):
        if restart and m and m % restart == 0:
            bits.end()
            out += bytes(bits.out) + bytes([0xFF, 0xD0 + (m // restart - 1) % 8])
            bits, before = Bits(), [0] * len(components)
        y, x = divmod(m, mcus[0])
        for i, (blocks, h, v) in enumerate(components):
            for k in range(h * v):
                block = blocks[y * v + k // h, x * h + k % h]
                put_block(bits, block, before[i])
                before[i] = int(block[0])
    bits.end()
    return out + bytes(bits.out)


def jpeg(w, h, components, quant=2, restart=0, interleaved=True, head=b"", tables=True, ids=(1, 2, 3, 4)):
    """A baseline JPEG; components are (plane, h, v), each plane in its own resolution."""
    most_h, most_v = max(c[1] for c in components), max(c[2] for c in components)
    mcus = (-(-w // (8 * most_h)), -(-h // (8 * most_v)))
    blocks = [(quantised(p, ch, cv, *mcus, quant), ch, cv) for p, ch, cv in components]
    n = len(components)
    out = b"\xff\xd8" + head + (jpeg_tables(quant) if tables else b"")
    out += segment(0xC0, struct.pack(">BHHB", 8, h, w, n) +
                   b"".join(bytes([ids[i], c[1] << 4 | c[2], 0]) for i, c in enumerate(components)))
    if restart:
        out += segment(0xDD, struct.pack(">H", restart))
    if interleaved and n > 1:
        out += segment(0xDA, bytes([n]) + b"".join(bytes([ids[i], 0]) for i in range(n)) + b"\0\x3f\0")
        out += put_scan(blocks, mcus, restart)
    else:
        for i, (b, ch, cv) in enumerate(blocks):
            # Alone in its scan a component has blocks for MCUs, only those that the picture needs.
            own = (-(-(-(-w * ch // most_h)) // 8), -(-(-(-h * cv // most_v)) // 8))
            out += segment(0xDA, bytes([1, ids[i], 0]) + b"\0\x3f\0")
            out += put_scan([(b, 1, 1)], own, restart)
    return out + b"\xff\xd9"


def ycc(rgb):
    """JFIF planes of an array of h x w x 3."""
    r, g, b = (rgb[:, :, i].astype(float) for i in range(3))
    y = 0.299 * r + 0.587 * g + 0.114 * b
    return [np.clip(np.rint(p), 0, 255).astype(np.uint8)
            for p in (y, (b - y) / 1.772 + 128, (r - y) / 1.402 + 128)]


def shrink(plane, x, y):
    """The mean of every x by y samples."""
    high, wide = -(-plane.shape[0] // y) * y, -(-plane.shape[1] // x) * x
    padded = np.pad(plane, ((0, high - plane.shape[0]), (0, wide - plane.shape[1])), "edge").astype(float)
    return np.rint(padded.reshape(high // y, y, wide // x, x).mean(axis=(1, 3))).astype(np.uint8)


def jpeg_of(rgb, x=1, y=1, **options):
    """YCbCr with chroma x by y times coarser."""
    planes = ycc(rgb)
    return jpeg(rgb.shape[1], rgb.shape[0], [(planes[0], x, y)] + [(shrink(p, x, y), 1, 1) for p in planes[1:]],
                **options)


ASCII, SHORT, LONG, RATIONAL, UNDEFINED, SLONG, FLOAT, DOUBLE, LONG8 = 2, 3, 4, 5, 7, 9, 11, 12, 16
TYPE = {ASCII: "B", SHORT: "H", LONG: "I", RATIONAL: "II", UNDEFINED: "B", SLONG: "i", FLOAT: "f", DOUBLE: "d", LONG8: "Q"}
CODE = {"none": 1, "jpeg": 7, "deflate": 8}


def cut(array, tile_w, tile_h, pad):
    """The tiles (padded) or strips of an array, row by row."""
    high, wide = array.shape[:2]
    for y in range(0, high, tile_h):
        for x in range(0, wide, tile_w):
            piece = array[y:y + tile_h, x:x + tile_w]
            if pad:
                rest = ((0, tile_h - piece.shape[0]), (0, tile_w - piece.shape[1]))
                piece = np.pad(piece, rest + ((0, 0),) * (piece.ndim - 2), "edge")
            yield piece


def page(array, tile=None, rows=None, compression="none", photometric=None, encode=None, separate=False, tags=None,
         subs=()):
    """A directory: array is h x w or h x w x n; encode makes the bytes of a tile (JPEG). tags: {tag: (type, values)}, or None
    to leave a tag out."""
    high, wide = array.shape[:2]
    n = array.shape[2] if array.ndim == 3 else 1
    if encode is None:
        encode = (lambda t: zlib.compress(t.tobytes())) if compression == "deflate" else (lambda t: t.tobytes())
    tile_w, tile_h = tile or (wide, rows or high)
    parts = [array[:, :, i] for i in range(n)] if separate else [array]
    data = [encode(np.ascontiguousarray(t)) for part in parts for t in cut(part, tile_w, tile_h, tile)]
    entries = {256: (LONG, [wide]), 257: (LONG, [high]), 258: (SHORT, [array.dtype.itemsize * 8] * n),
               259: (SHORT, [CODE[compression]]), 262: (SHORT, [photometric if photometric is not None else
                                                                2 if n >= 3 else 1]),
               277: (SHORT, [n]), 284: (SHORT, [2 if separate else 1])}
    if tile:
        entries.update({322: (LONG, [tile_w]), 323: (LONG, [tile_h])})
    else:
        entries[278] = (LONG, [tile_h])
    entries.update(tags or {})
    return {"entries": entries, "data": data, "at": 324 if tile else 273, "bytes": 325 if tile else 279, "subs": subs}


def tiff(pages, big=False, order="<"):
    """A TIFF or BigTIFF of page() directories."""
    offset = "Q" if big else "I"
    offset_type = LONG8 if big else LONG
    out = bytearray(b"II" if order == "<" else b"MM")
    out += struct.pack(order + ("HHHQ" if big else "HI"), *((43, 8, 0, 0) if big else (42, 0)))

    def write(directory, link):
        """Writes it and sets the offset at `link` (where there is one); returns where its own link is, and its offset."""
        subs = [write(s, None)[1] for s in directory["subs"]]
        entries = dict(directory["entries"])
        places = []
        for d in directory["data"]:
            places.append(len(out))
            out.extend(d + b"\0" * (len(d) % 2))
        entries.setdefault(directory["at"], (offset_type, places))
        entries.setdefault(directory["bytes"], (LONG, [len(d) for d in directory["data"]]))
        if subs:
            entries[330] = (offset_type, subs)
        table = b""
        entries = {tag: entry for tag, entry in entries.items() if entry}
        for tag, (kind, values) in sorted(entries.items()):
            value = struct.pack(order + TYPE[kind][0] * len(values), *values)
            if len(value) > struct.calcsize(offset):
                place = len(out)
                out.extend(value + b"\0" * (len(value) % 2))
                value = struct.pack(order + offset, place)
            value += b"\0" * (struct.calcsize(offset) - len(value))
            table += struct.pack(order + "HH" + offset, tag, kind, len(values) // len(TYPE[kind])) + value
        at = len(out)
        if link is not None:
            struct.pack_into(order + offset, out, link, at)
        out.extend(struct.pack(order + ("Q" if big else "H"), len(entries)) + table + b"\0" * struct.calcsize(offset))
        return len(out) - struct.calcsize(offset), at

    link = 8 if big else 4
    for p in pages:
        link, _ = write(p, link)
    return bytes(out)
