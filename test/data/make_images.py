#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Makes the images that the tests serve: `make_images.py FOLDER`.

All are drawn here, so there is no licence but ours. A picture is a board of 10 x 10 flat squares
whose colours square(column, row) gives, with a fine ripple over it, so that tests know the colour
at any point and resampling has detail to show. Nothing is made twice: a stamp holds the scripts' hash.
"""
import hashlib
import os
import shutil
import struct
import subprocess
import sys
import zlib

import numpy as np
from PIL import Image, ImageCms

import jp2_images
import jp2_streams
import writers
from psds import psd
from writers import SHORT, jpeg, jpeg_of, page, shrink, tiff, ycc

BOARD = 10


def square(column, row):
    """The colour of a square of the board: far from black and white, unlike its neighbours'."""
    return (40 + (column * 67 + row * 31) % 176, 40 + (column * 29 + row * 97) % 176,
            40 + (column * 113 + row * 59) % 176)


def board(w, h, ripple=6):
    """The picture as an array of h x w x 3."""
    columns = np.minimum(np.arange(w) * BOARD // w, BOARD - 1)
    rows = np.minimum(np.arange(h) * BOARD // h, BOARD - 1)
    colours = np.array([[square(c, r) for c in range(BOARD)] for r in range(BOARD)], np.int16)
    picture = colours[rows[:, None], columns[None, :]]
    if ripple:
        wave = np.sin(np.arange(w) / 5.0)[None, :] * np.cos(np.arange(h) / 7.0)[:, None]
        picture = picture + np.rint(wave * ripple).astype(np.int16)[:, :, None]
    return picture.astype(np.uint8)


def exif(orientation):
    return (b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01" +
            struct.pack(">HH", orientation, 0) + b"\0\0\0\0")


def adobe_like_profile():
    """A matrix profile with wide primaries and gamma 2.2, written by hand (ICC.1:2001)."""
    def s15(v):
        return struct.pack(">i", round(v * 65536))

    def xyz(x, y, z):
        return b"XYZ \0\0\0\0" + s15(x) + s15(y) + s15(z)
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)) + b"\0\0"
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"wide\0" + b"\0" * 78
    text += b"\0" * (-len(text) % 4)
    tags = [(b"desc", text), (b"wtpt", xyz(0.9505, 1, 1.0891)), (b"rXYZ", xyz(0.60974, 0.31111, 0.01947)),
            (b"gXYZ", xyz(0.20528, 0.62567, 0.06087)), (b"bXYZ", xyz(0.14919, 0.06322, 0.74457)),
            (b"rTRC", curve), (b"gTRC", curve), (b"bTRC", curve), (b"cprt", b"text\0\0\0\0none\0\0\0\0")]
    offset, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, data in tags:
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data
    size = offset + len(body)
    head = struct.pack(">I4sI4s4s4s", size, b"none", 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28
    head += s15(0.9642) + s15(1) + s15(0.8249)
    return head + b"\0" * (128 - len(head)) + struct.pack(">I", len(tags)) + table + body


def save_jpeg(folder, name, array, **options):
    options = {"quality": 90, "subsampling": "4:2:0", **options}
    Image.fromarray(array).save(os.path.join(folder, name), "JPEG", **options)


def write(folder, name, data):
    with open(os.path.join(folder, name), "wb") as f:
        f.write(data)


def jpeg_tile(x, y, **options):
    return lambda tile: jpeg_of(tile, x, y, **options)


def gray_jpeg(tile):
    return jpeg(tile.shape[1], tile.shape[0], [(tile, 1, 1)])


def rgb_jpeg(tile, sub=1):
    parts = [(tile[:, :, 0], sub, 1)] + [(shrink(tile[:, :, i], sub, 1), 1, 1) for i in (1, 2)]
    return jpeg(tile.shape[1], tile.shape[0], parts, ids=b"RGB")


def halves(array, down):
    """The array and its halvings by the mean, sides rounded up or down, to a side below 100."""
    yield array
    while max(array.shape) >= 100:
        wide, high = array.shape[1], array.shape[0]
        full = np.dstack([shrink(array[:, :, i], 2, 2) for i in range(3)])
        array = full[:high // 2, :wide // 2] if down else full
        yield array


def pyramid(array, by_page, down=False, **options):
    levels = [page(level, **options) for level in halves(array, down)]
    if by_page:
        return tiff(levels)
    for level in levels[1:]:
        level["entries"][254] = (writers.LONG, [1])
    return tiff([{**levels[0], "subs": levels[1:]}])


def make_kinds(folder, odd):
    """Kinds of JPEG and TIFF that the usual tools do not write."""
    for name, x, y in (("s440", 1, 2), ("s411", 4, 1), ("s441", 1, 4), ("s31", 3, 1), ("s13", 1, 3)):
        write(folder, name + ".jpg", jpeg_of(odd, x, y))
    write(folder, "restart.jpg", jpeg_of(odd, 2, 2, restart=5))
    write(folder, "scans.jpg", jpeg_of(odd, 2, 1, interleaved=False))
    write(folder, "rgb.jpg", rgb_jpeg(odd))
    w, h, (y, cb, cr) = odd.shape[1], odd.shape[0], ycc(odd)
    write(folder, "unequal.jpg", jpeg(w, h, [(y, 2, 2), (shrink(cb, 1, 2), 2, 1), (shrink(cr, 2, 1), 1, 2)]))
    # Cb and Cr at two thirds and a third of luma's columns.
    thirds = np.asarray(Image.fromarray(cb).resize(((2 * w + 2) // 3, h), Image.Resampling.BOX))
    write(folder, "fractional.jpg", jpeg(w, h, [(y, 3, 1), (thirds, 2, 1), (shrink(cr, 3, 1), 1, 1)]))

    gray = np.asarray(Image.fromarray(odd).convert("L"))
    write(folder, "white.tif", tiff([page(255 - gray, rows=13, photometric=0, compression="deflate")]))
    write(folder, "white-jpeg.tif", tiff([page(255 - gray, rows=24, photometric=0, compression="jpeg", encode=gray_jpeg)]))
    write(folder, "gray-jpeg.tif", tiff([page(gray, tile=(128, 128), compression="jpeg", encode=gray_jpeg)]))
    write(folder, "thin-strips.tif", tiff([page(odd, rows=1, compression="deflate")]))
    write(folder, "rgb16.tif", tiff([page(odd.astype("<u2") * 257, tile=(128, 96), compression="deflate")]))
    write(folder, "one-strip16.tif", tiff([page(odd.astype("<u2") * 257, compression="deflate")]))
    write(folder, "separate.tif", tiff([page(odd, rows=30, separate=True, compression="deflate")]))
    write(folder, "float.tif", tiff([page(odd.astype("<f4") / 255, rows=20, tags={339: (SHORT, [3] * 3)})]))
    write(folder, "one-strip.tif", tiff([page(odd, compression="deflate")]))
    write(folder, "big.tif", tiff([page(odd, tile=(176, 144), compression="deflate")], big=True))
    write(folder, "big-endian.tif", tiff([page(odd, rows=50)], order=">"))
    write(folder, "rgb-jpeg.tif", tiff([page(odd, tile=(96, 80), compression="jpeg", encode=rgb_jpeg)]))
    ycbcr = {"compression": "jpeg", "photometric": 6}
    # The tag says 2 x 2, or nothing, which means 2 x 2; the streams have 4:4:4 and 4:2:2.
    write(folder, "lying-tag.tif", tiff([page(odd, tile=(256, 256), encode=jpeg_tile(1, 1),
                                              tags={530: (SHORT, [2, 2])}, **ycbcr)]))
    write(folder, "no-tag.tif", tiff([page(odd, rows=16, encode=jpeg_tile(2, 1), **ycbcr)]))
    write(folder, "one-jpeg-strip.tif", tiff([page(odd, encode=jpeg_tile(2, 2), **ycbcr)]))
    write(folder, "restart-tiles.tif", tiff([page(odd, tile=(64, 64), encode=jpeg_tile(2, 2, restart=4), **ycbcr)]))
    write(folder, "scan-tiles.tif", tiff([page(odd, tile=(80, 96), encode=jpeg_tile(2, 2, interleaved=False), **ycbcr)]))
    # Sides that are whole samples of chroma, but not whole blocks.
    write(folder, "small-blocks.tif", tiff([page(odd, tile=(72, 24), encode=jpeg_tile(2, 2), **ycbcr)]))
    write(folder, "even-strips.tif", tiff([page(odd, rows=22, encode=jpeg_tile(2, 2), **ycbcr)]))
    write(folder, "subs-jpeg.tif", pyramid(odd, False, tile=(128, 128), encode=jpeg_tile(2, 2), **ycbcr))
    write(folder, "pages-jpeg.tif", pyramid(odd, True, tile=(128, 128), encode=jpeg_tile(2, 2), **ycbcr))
    write(folder, "subs-deflate.tif", pyramid(odd, False, down=True, rows=40, compression="deflate"))
    write(folder, "pages-deflate.tif", pyramid(odd, True, down=True, tile=(256, 256), compression="deflate"))

    # Each level with a sampling of its own.
    levels = list(halves(odd, False))
    write(folder, "mixed-jpeg.tif",
          tiff([page(level, tile=(128, 128), encode=jpeg_tile(x, y), **ycbcr)
                for level, (x, y) in zip(levels, ((2, 2), (1, 1), (2, 1), (1, 2), (4, 1)))]))

    # Edge tiles that the writer did not pad.
    def unpadded(tile_w, tile_h):
        tiles = [odd[y:y + tile_h, x:x + tile_w] for y in range(0, h, tile_h) for x in range(0, w, tile_w)]
        it = iter(tiles)
        return page(odd, tile=(tile_w, tile_h), encode=lambda padded: jpeg_of(next(it), 2, 2), **ycbcr)
    write(folder, "unpadded.tif", tiff([unpadded(128, 128)]))


def make_ramps(folder):
    """Pictures that rise evenly to the right and down, in every plane: where a sample lies shows in its value."""
    w, h = 640, 480
    x, y = (np.arange(w) + 0.5)[None, :], (np.arange(h) + 0.5)[:, None]
    planes = [np.rint(40 + x / 8 + y / 6).astype(np.uint8), np.rint(60 + x / 8 + y / 6).astype(np.uint8),
              np.rint(220 - x / 8 - y / 6).astype(np.uint8)]

    def ramp(part, sub_x, sub_y):
        """part: h x w x 3 of YCbCr."""
        high, wide = part.shape[:2]
        return jpeg(wide, high, [(part[:, :, 0], sub_x, sub_y)] +
                    [(shrink(part[:, :, i], sub_x, sub_y), 1, 1) for i in (1, 2)], quant=1)
    stacked = np.dstack(planes)
    for sub_x, sub_y in ((1, 1), (2, 1), (1, 2), (2, 2), (4, 1), (1, 4), (4, 2)):
        write(folder, f"ramp-{sub_x}{sub_y}.jpg", ramp(stacked, sub_x, sub_y))
        write(folder, f"ramp-{sub_x}{sub_y}.tif",
              pyramid(stacked, False, tile=(64, 64), compression="jpeg", photometric=6,
                      encode=lambda tile: ramp(tile, sub_x, sub_y)))
    write(folder, "ramp-sparse.tif",
          tiff([page(a, tile=(96, 96), compression="jpeg", photometric=6, encode=lambda tile: ramp(tile, 2, 2),
                     tags={254: (writers.LONG, [a.shape[0] < h])})
                for a in (stacked, np.dstack([np.asarray(Image.fromarray(p).resize((213, 160), Image.Resampling.BOX))
                                              for p in planes]))]))


def opacity(w, h):
    """Rises from 55 at the left to 255 at the right."""
    return np.broadcast_to(np.linspace(55, 255, w).round().astype(np.uint8), (h, w))


def make_rasters(folder, odd):
    """PNG and WebP of every kind that is read, and pictures with opacity."""
    image, path = Image.fromarray(odd), lambda name: os.path.join(folder, name)
    image.save(path("rgb.png"))
    image.convert("L").save(path("gray.png"))
    flat = Image.fromarray(board(1003, 701, 0)).quantize(200, dither=Image.Dither.NONE)
    flat.save(path("palette.png"))
    write(folder, "interlaced.png", interlaced_png(odd))
    image.save(path("lossless.webp"), lossless=True)
    image.save(path("lossy.webp"), quality=95)
    Image.fromarray(board(4999, 3001)).save(path("large.webp"), quality=80, method=0)
    clear = np.dstack([odd, opacity(odd.shape[1], odd.shape[0])])
    for name in ("clear.png", "clear.tif"):
        Image.fromarray(clear).save(path(name))
    Image.fromarray(clear).save(path("clear.webp"), lossless=True, exact=True)
    Image.fromarray(clear).convert("LA").save(path("clear-gray.png"))
    multiplied = np.dstack([(odd.astype(int) * clear[..., 3:] + 127) // 255, clear[..., 3:]]).astype(np.uint8)
    write(folder, "multiplied.tif", tiff([page(multiplied, rows=64, tags={338: (SHORT, [1])})]))
    spots = np.dstack([odd, odd[:, :, :2]])
    write(folder, "spots.tif", tiff([page(spots, rows=64, photometric=2, tags={338: (SHORT, [0, 0])})]))


def interlaced_png(array):
    """Adam7 by hand: seven small pictures, each row with filter 0."""
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    h, w = array.shape[:2]
    rows = b""
    for x, y, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)):
        part = array[y::dy, x::dx]
        rows += b"".join(b"\0" + row.tobytes() for row in part if row.size)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 1)) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def make_unsupported(folder):
    """Sound files of kinds that are not decoded, each of which is a 501."""
    folder = os.path.join(folder, "unsupported")
    os.makedirs(folder, exist_ok=True)
    small = board(60, 44, 0)
    gray = np.asarray(Image.fromarray(small).convert("L"))
    base = jpeg_of(small, 1, 1)
    frame = base.index(b"\xff\xc0")

    def patched(name, at, data):
        write(folder, name, base[:frame + at] + data + base[frame + at + len(data):])
    patched("lossless.jpg", 1, b"\xc3")
    patched("hierarchical.jpg", 1, b"\xc5")
    patched("twelve-bit.jpg", 4, b"\x0c")
    patched("too-wide.jpg", 7, b"\xff\xe0")
    patched("too-high.jpg", 5, b"\xff\xe0")
    patched("height-later.jpg", 5, b"\0\0")
    write(folder, "two-components.jpg", jpeg(60, 44, [(gray, 1, 1)] * 2))
    write(folder, "coarse-by-fractions.jpg", jpeg(60, 44, [(shrink(gray, 3, 1), 2, 1), (gray, 3, 1), (gray, 3, 1)]))

    write(folder, "ycbcr16.tif", tiff([page(small.astype("<u2") * 257, photometric=6, tags={530: (SHORT, [1, 1])})]))
    write(folder, "lab12.tif", tiff([page(small, photometric=8, tags={258: (SHORT, [12] * 3)})]))
    write(folder, "itulab.tif", tiff([page(small, photometric=10)]))
    write(folder, "logic.tif", tiff([page(gray, photometric=32803)]))
    write(folder, "complex.tif", tiff([page(gray, tags={339: (SHORT, [5])})]))
    write(folder, "signed12.tif", tiff([page(gray, tags={258: (SHORT, [12]), 339: (SHORT, [2])})]))
    for code in (9, 10, 32766, 32809, 32909, 33003, 33005, 34661, 34712):
        write(folder, f"compression{code}.tif", tiff([page(gray, tags={259: (SHORT, [code])})]))
    ycbcr = {"compression": "jpeg", "photometric": 6}
    write(folder, "odd-strips.tif", tiff([page(small, rows=9, encode=jpeg_tile(2, 2), **ycbcr)]))
    write(folder, "odd-tiles.tif", tiff([page(small, tile=(18, 16), encode=jpeg_tile(4, 1), **ycbcr)]))
    write(folder, "rgb-subsampled.tif", tiff([page(small, tile=(32, 32), compression="jpeg",
                                                   encode=lambda t: rgb_jpeg(t, 2))]))
    write(folder, "lab-jpeg.tif", tiff([page(small, tile=(32, 32), compression="jpeg", photometric=8,
                                             encode=lambda t: jpeg(32, 32, [(t[:, :, i], 1, 1) for i in range(3)]))]))


def frames():
    """A GIF of 1003 x 701 whose first frame lies at 103,101 and is clear in its left part; three colours."""
    first = Image.new("P", (700, 400), 1)
    first.putpalette([9, 9, 9, 200, 30, 40, 20, 60, 220, 250, 250, 250])
    first.paste(2, (350, 0, 700, 400))
    first.paste(0, (0, 0, 50, 400))
    second = Image.new("P", (1003, 701), 3)
    second.putpalette([9, 9, 9, 200, 30, 40, 20, 60, 220, 250, 250, 250])

    def block(image, x, y, transparent):
        body = b"\x21\xf9\x04" + struct.pack("<BHBB", 9 if transparent else 8, 10, 0, 0)
        body += b"\x2c" + struct.pack("<4HB", x, y, *image.size, 0) + b"\x02"
        # LZW in its simplest form: a clear code before the table would make codes wider.
        bits, n, data = 0, 0, bytearray()
        for i, v in enumerate(image.tobytes()):
            for code in ((4, v) if i % 2 == 0 else (v,)):
                bits |= code << n
                n += 3
                while n >= 8:
                    data.append(bits & 255)
                    bits >>= 8
                    n -= 8
        bits |= 5 << n
        data += bytes([bits & 255, bits >> 8])
        return body + b"".join(bytes([len(data[i:i + 255])]) + data[i:i + 255]
                               for i in range(0, len(data), 255)) + b"\0"
    table = bytes(first.getpalette()[:12])
    return (b"GIF89a" + struct.pack("<HHBBB", 1003, 701, 0x91, 0, 0) + table + b"\x21\xff\x0bNETSCAPE2.0\x03\1\0\0\0" +
            block(first, 103, 101, True) + block(second, 0, 0, False) + b";")


def bmp_with_alpha(array):
    """A BMP with masks and opacity, bottom row first: h x w x 4."""
    h, w, _ = array.shape
    pixels = array[::-1, :, [2, 1, 0, 3]].tobytes()
    head = struct.pack("<IiiHHIIiiII4I4s", 108, w, h, 1, 32, 3, len(pixels), 2835, 2835, 0, 0,
                       0xff0000, 0xff00, 0xff, 0xff000000, b"BGRs") + bytes(48)
    return b"BM" + struct.pack("<IHHI", 122 + len(pixels), 0, 0, 122) + head + pixels


def slope(w, h):
    """Opacity of 0 at the left, 255 at the right."""
    return np.broadcast_to((np.arange(w) * 255 // (w - 1)).astype(np.uint8), (h, w))


def make_exotic(folder, odd):
    """What ImageMagick reads."""
    def put(name, data):
        with open(os.path.join(folder, name), "wb") as f:
            f.write(data)
    h, w, _ = odd.shape
    picture, gray = Image.fromarray(odd), Image.fromarray(odd).convert("L")
    clear = np.dstack([odd, slope(w, h)])
    picture.quantize(256, dither=Image.Dither.NONE).save(os.path.join(folder, "colours.gif"))
    picture.quantize(256, dither=Image.Dither.NONE).save(os.path.join(folder, "interlaced.gif"), interlace=1)
    gray.save(os.path.join(folder, "gray.gif"))
    put("frames.gif", frames())
    picture.save(os.path.join(folder, "rgb.bmp"))
    gray.save(os.path.join(folder, "gray.bmp"))
    put("alpha.bmp", bmp_with_alpha(clear))
    picture.save(os.path.join(folder, "rgb.ppm"))
    gray.save(os.path.join(folder, "gray.pgm"))
    put("deep.ppm", b"P6\n# sixteen bits\n%d %d\n65535\n" % (w, h) + (odd.astype(np.uint16) * 257).astype(">u2").tobytes())
    put("alpha.pam", b"P7\nWIDTH %d\nHEIGHT %d\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n" % (w, h) + clear.tobytes())
    put("plain.psd", psd(odd, 0))
    put("packed.psd", psd(odd, 1, resources=b"8BIM" + struct.pack(">H2xI", 0x040f, len(adobe_like_profile())) +
                          adobe_like_profile() + b"\0" * (len(adobe_like_profile()) & 1)))
    put("deep.psd", psd(odd.astype(np.uint16) * 257, 0))
    put("gray.psd", psd(np.array(gray)[:, :, None], 1))
    # Merged pictures lie on white. The layers' own records are rubbish: nobody may look at them.
    opacity = slope(w, h)[:, :, None] / 255
    white = np.rint(odd * opacity + 255 * (1 - opacity)).astype(np.uint8)
    put("alpha.psd", psd(np.dstack([white, slope(w, h)]), 1, layers=struct.pack(">Ih", 2000, -1) + b"\xff" * 2000))
    put("selection.psd", psd(clear, 0, layers=struct.pack(">Ih", 2000, 1) + b"\xff" * 2000))
    put("layers.psd", psd(odd, 0, resources=b"8BIM" + struct.pack(">H2xIIBx", 0x0421, 5, 1, 0)))


def make_heif(folder, odd):
    """HEIC and AVIF, of libheif's own encoder."""
    h, w, _ = odd.shape
    part = os.path.join(folder, "part.png")

    def put(array, *names):
        Image.fromarray(array).save(part)
        for name in names:
            subprocess.run(["heif-enc", "-q", "95", *(["-A", "-p", "speed=8"] if name.endswith("avif") else []), "-o",
                            os.path.join(folder, name), part], check=True, stdout=subprocess.DEVNULL)
    put(odd, "s.heic", "s.avif")
    # Below the codec's least side it becomes a grid of one tile.
    put(odd[:24, :40], "grid.heic")
    put(np.dstack([odd, slope(w, h)]), "clear.heic", "clear.avif")
    os.remove(part)
    # An EXIF orientation does not count in HEIF: turning is a property of its own.
    subprocess.run(["heif-enc", "-q", "95", "-o", os.path.join(folder, "exif6.heic"), os.path.join(folder, "wide6.jpg")],
                   check=True, stdout=subprocess.DEVNULL)


# The images of the digest's section 14, by letter.
EXAMPLES = {"A": (6000, 4000), "P": (300, 200), "S": (200, 150), "T": (12000, 100), "V": (1000, 1000),
            "E": (2411, 3372), "F": (4097, 4096), "O": (1001, 667)}


def make(folder):
    for name, (w, h) in EXAMPLES.items():
        save_jpeg(folder, name + ".jpg", board(w, h, ripple=0 if name == "V" else 6))
    Image.fromarray(board(6000, 4000)).convert("L").save(os.path.join(folder, "G.jpg"), quality=90)

    odd = board(1003, 701)
    for name, sampling in (("s420", "4:2:0"), ("s422", "4:2:2"), ("s444", "4:4:4")):
        save_jpeg(folder, name + ".jpg", odd, subsampling=sampling, quality=95)
    save_jpeg(folder, "progressive.jpg", odd, progressive=True, quality=95)
    Image.fromarray(odd).convert("L").save(os.path.join(folder, "gray.jpg"), quality=95)
    for n in range(1, 9):
        save_jpeg(folder, f"orientation{n}.jpg", odd, exif=exif(n), quality=95)
    save_jpeg(folder, "wide.jpg", odd, icc_profile=adobe_like_profile(), quality=95)
    save_jpeg(folder, "srgb.jpg", odd, quality=95,
              icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())

    tiff = Image.fromarray(odd)
    for name, compression in (("none", "raw"), ("lzw", "tiff_lzw"), ("deflate", "tiff_adobe_deflate"),
                              ("packbits", "packbits")):
        tiff.save(os.path.join(folder, f"{name}.tif"), compression=compression)
    tiff.convert("L").save(os.path.join(folder, "gray.tif"), compression="tiff_lzw")
    tiff.resize((400, 300)).save(os.path.join(folder, "pages.tif"), save_all=True,
                                 append_images=[Image.fromarray(board(320, 200, 0)), tiff.convert("L")])

    def tiffcp(source, target, *words):
        subprocess.run(["tiffcp", *words, os.path.join(folder, source), os.path.join(folder, target)], check=True)
    tiffcp("none.tif", "tiled-deflate.tif", "-c", "zip", "-t", "-w", "128", "-l", "128")
    tiffcp("none.tif", "tiled-none.tif", "-c", "none", "-t", "-w", "256", "-l", "128")
    tiffcp("none.tif", "tiled-jpeg.tif", "-c", "jpeg:95", "-t", "-w", "256", "-l", "256")
    tiffcp("none.tif", "striped-jpeg.tif", "-c", "jpeg:95", "-s", "-r", "64")

    make_kinds(folder, odd)
    make_rasters(folder, odd)
    make_ramps(folder)
    make_unsupported(folder)
    save_jpeg(folder, "wide6.jpg", odd, icc_profile=adobe_like_profile(), exif=exif(6), quality=95)
    make_exotic(folder, odd)
    make_heif(folder, odd)
    jp2_images.make(folder, odd, adobe_like_profile())

    whole = open(os.path.join(folder, "s420.jpg"), "rb").read()
    open(os.path.join(folder, "cut.jpg"), "wb").write(whole[:len(whole) // 2])
    whole = open(os.path.join(folder, "lzw.tif"), "rb").read()
    open(os.path.join(folder, "cut.tif"), "wb").write(whole[:len(whole) // 2])


def ensure(folder):
    scripts = b""
    for script in (__file__, writers.__file__, jp2_images.__file__, jp2_streams.__file__):
        with open(script, "rb") as f:
            scripts += f.read()
    stamp = hashlib.sha256(scripts).hexdigest()
    path = os.path.join(folder, ".stamp")
    if not os.path.exists(path) or open(path).read() != stamp:
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        make(folder)
        with open(path, "w") as f:
            f.write(stamp)
    return folder


if __name__ == "__main__":
    ensure(sys.argv[1])
