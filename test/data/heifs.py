# SPDX-License-Identifier: BSD-2-Clause
"""HEIF files put together from the tiles that heif-enc codes: grids, turned and mirrored ones, colours by code."""
import os
import struct
import subprocess
import tempfile

from PIL import Image


def coded(picture, kind, *options):
    """A file of heif-enc's; the picture is an array, or the bytes of a PNG. kind: heic or avif."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = (os.path.join(folder, name) for name in ("in.png", f"out.{kind}"))
        if isinstance(picture, bytes):
            with open(source, "wb") as f:
                f.write(picture)
        else:
            Image.fromarray(picture).save(source)
        speed = ["-A", "-p", "speed=8"] if kind == "avif" else []
        subprocess.run(["heif-enc", *speed, *options, "-o", target, source], check=True, stdout=subprocess.DEVNULL)
        with open(target, "rb") as f:
            return f.read()


def box(name, body, version=None):
    head = b"" if version is None else struct.pack(">I", version << 24)
    return struct.pack(">I4s", 8 + len(head) + len(body), name) + head + body


def boxes(data, at, end):
    while at < end:
        size, name = struct.unpack(">I4s", data[at:at + 8])
        yield name, at, at + size
        at += size


def first_item(data):
    """The codec's configuration box and the coded bytes of a file's first picture."""
    meta = next((at + 12, end) for name, at, end in boxes(data, 0, len(data)) if name == b"meta")
    inside = {name: (at, end) for name, at, end in boxes(data, *meta)}
    at, end = inside[b"iprp"]
    config = next(data[x:y] for name, b, e in boxes(data, at + 8, end) if name == b"ipco"
                  for n, x, y in boxes(data, b + 8, e) if n in (b"av1C", b"hvcC"))
    at, _ = inside[b"iloc"]
    sizes, _, version = data[at + 12], data[at + 13], data[at + 8]
    assert sizes == 0x44 and version in (0, 1), (sizes, version)
    entry = at + 16 + 2 + (2 if version else 0) + 2
    base = data[at + 13] >> 4
    start = int.from_bytes(data[entry:entry + base], "big")
    offset, length = struct.unpack(">II", data[entry + base + 2:entry + base + 10])
    return config, data[start + offset:start + offset + length]


def heif(w, h, tiles, columns, tile_w, tile_h, properties=(), kind="avif"):
    """A grid (of several tiles) or a picture of these coded files; properties are further boxes of the picture, in order."""
    items = [first_item(tile) for tile in tiles]
    word, grid = (b"av01" if kind == "avif" else b"hvc1"), len(items) > 1
    rows = len(items) // columns
    data = [body for _, body in items] + ([struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, w, h)] if grid else [])
    main = len(data)
    infos = b"".join(box(b"infe", struct.pack(">HH4s", i + 1, 0, b"grid" if grid and i + 1 == main else word) + b"\0", 2)
                     for i in range(main))
    ispe = box(b"ispe", struct.pack(">II", tile_w, tile_h), 0), box(b"ispe", struct.pack(">II", w, h), 0)
    shared = [items[0][0], *ispe, *properties]
    own = [3 if grid else 2, *([] if grid else [1 | 0x80]), *(i + 4 | 0x80 * (p[4:8] != b"colr") for i, p in enumerate(properties))]
    links = [(i + 1, [1 | 0x80, 2]) for i in range(main - 1)] + [(main, own)]
    ipma = struct.pack(">I", main) + b"".join(struct.pack(">HB", i, len(p)) + bytes(p) for i, p in links)
    iref = box(b"iref", box(b"dimg", struct.pack(">HH", main, main - 1) + b"".join(struct.pack(">H", i + 1) for i in range(main - 1))), 0)

    def meta(start):
        places = b""
        for i, part in enumerate(data):
            places += struct.pack(">HHHII", i + 1, 0, 1, start, len(part))
            start += len(part)
        return box(b"meta", box(b"hdlr", struct.pack(">I4s12xB", 0, b"pict", 0), 0) + box(b"pitm", struct.pack(">H", main), 0) +
                   box(b"iloc", struct.pack(">BBH", 0x44, 0, main) + places, 0) +
                   box(b"iinf", struct.pack(">H", main) + infos, 0) + (iref if grid else b"") +
                   box(b"iprp", box(b"ipco", b"".join(shared)) + box(b"ipma", ipma, 0)), 0)
    ftyp = box(b"ftyp", (b"avif\0\0\0\0avifmif1miaf" if kind == "avif" else b"heic\0\0\0\0heicmif1"))
    head = len(ftyp) + len(meta(0))
    return ftyp + meta(head + 8) + box(b"mdat", b"".join(data))


def irot(quarters):
    """Anticlockwise."""
    return box(b"irot", bytes([quarters]))


def imir(axis):
    """0: top and bottom change places; 1: left and right (ISO/IEC 23008-12:2022, 6.5.12)."""
    return box(b"imir", bytes([axis]))


def nclx(primaries, transfer, matrix, full):
    return box(b"colr", b"nclx" + struct.pack(">HHHB", primaries, transfer, matrix, full << 7))
