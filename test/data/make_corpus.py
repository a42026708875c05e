#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Makes the seeds of the decoders' fuzz targets: `make_corpus.py test/fuzz/corpus`. The files are kept in the
repository; this script says how they came about. Those named found-* are what the fuzzers once found."""
import io
import os
import struct
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image, PngImagePlugin

from bmps import BITFIELDS, RLE8, V5, bmp, run_lengths
from heifs import coded, heif, imir, irot, nclx
from make_images import adobe_like_profile, board, exif, interlaced_png
from pngs import GRAY as PNG_GRAY
from pngs import RGB, chunk, icc_chunk, png
from psds import CMYK, DUOTONE, INDEXED, LAB, psd
from webps import animated
from writers import SHORT, UNDEFINED, jpeg, jpeg_of, jpeg_tables, page, segment, shrink, tiff, ycc

W, H = 61, 43
PICTURE = board(W, H, 2)
GRAY = ycc(PICTURE)[0]


def pil(kind, image=None, **options):
    out = io.BytesIO()
    (image or Image.fromarray(PICTURE)).save(out, kind, **options)
    return out.getvalue()


def gray_jpeg(tile, **options):
    return jpeg(tile.shape[1], tile.shape[0], [(tile, 1, 1)], **options)


def rgb_jpeg(tile, x=1, **options):
    parts = [(tile[:, :, 0], x, 1)] + [(shrink(tile[:, :, i], x, 1), 1, 1) for i in (1, 2)]
    return jpeg(tile.shape[1], tile.shape[0], parts, **options)


def jpegs():
    yield "baseline", pil("JPEG", quality=60)
    yield "progressive", pil("JPEG", quality=60, progressive=True)
    yield "gray", pil("JPEG", Image.fromarray(GRAY), quality=60)
    yield "gray-progressive", pil("JPEG", Image.fromarray(GRAY), quality=60, progressive=True)
    yield "cmyk", pil("JPEG", Image.fromarray(PICTURE).convert("CMYK"), quality=40)
    yield "exif6", pil("JPEG", quality=40, exif=exif(6))
    yield "icc", pil("JPEG", quality=40, icc_profile=adobe_like_profile())
    for x, y in ((1, 1), (2, 1), (1, 2), (2, 2), (4, 1), (1, 4), (3, 1)):
        yield f"s{x}{y}", jpeg_of(PICTURE, x, y, quant=16)
    yield "restart", jpeg_of(PICTURE, 2, 2, quant=16, restart=2)
    yield "scans", jpeg_of(PICTURE, 2, 2, quant=16, interleaved=False)
    yield "scans-restart", jpeg_of(PICTURE, 2, 1, quant=16, interleaved=False, restart=3)
    yield "rgb", rgb_jpeg(PICTURE, ids=(82, 71, 66), quant=16)
    yield "rgb-subsampled", rgb_jpeg(PICTURE, 2, ids=(82, 71, 66), quant=16)
    y, cb, cr = ycc(PICTURE)
    yield "coarse-luma", jpeg(W, H, [(shrink(y, 2, 1), 1, 1), (cb, 2, 1), (cr, 2, 1)], quant=16)
    yield "fractional", jpeg(W, H, [(y, 3, 1), (cb[:, :(2 * W + 2) // 3], 2, 1), (shrink(cr, 3, 1), 1, 1)], quant=16)
    yield "unequal-chroma", jpeg(W, H, [(y, 2, 2), (cb, 2, 2), (shrink(cr, 2, 2), 1, 1)], quant=16)
    inks = [255 - PICTURE[:, :, i] for i in range(3)] + [GRAY // 3]
    halved = [(inks[0], 2, 2), *((shrink(p, 2, 2), 1, 1) for p in inks[1:3]), (inks[3], 2, 2)]
    adobe = segment(0xEE, b"Adobe\0\x64\0\0\0\0\2")
    yield "four-inks", jpeg(W, H, halved, quant=16)
    yield "ycck", jpeg(W, H, [(p, 1, 1) for p in inks], quant=16, head=adobe)
    yield "ycck-halved", jpeg(W, H, halved, quant=32, head=adobe)
    thirds = [(p[:, :(2 * W + 2) // 3], 2, 1) for p in inks[1:]]
    yield "four-inks-fractional", jpeg(W, H, [(inks[0], 3, 1), *thirds], quant=32)
    yield "four-inks-coarse", jpeg(W, H, [(shrink(inks[0], 2, 1), 1, 1), *((p, 2, 1) for p in inks[1:])], quant=32)
    yield "gray-twice", jpeg(W, H, [(GRAY, 2, 2)], quant=16)
    yield "all-twice", jpeg(W, H, [(p, 2, 2) for p in (y, cb, cr)], quant=32, interleaved=False)
    for name, words in (("", ()), ("-progressive", ("-progressive",))):
        yield f"arithmetic{name}", subprocess.run(["jpegtran", "-arithmetic", "-restart", "1", *words], check=True,
                                                  input=pil("JPEG", quality=40), capture_output=True).stdout
    yield "hierarchical", b"\xff\xd8" + segment(0xDE, b"\x08\0\x2b\0\x3d\1\1\x11\0")
    yield "one-pixel", jpeg_of(PICTURE[:1, :1], 2, 2, quant=16)


def tiffs():
    half = PICTURE[::2, ::2]
    for name, options in (("none", {}), ("deflate", {"compression": "deflate"})):
        yield f"strips-{name}", tiff([page(PICTURE, rows=7, **options)])
        yield f"tiles-{name}", tiff([page(half, tile=(16, 16), **options)])
    for name in ("tiff_lzw", "packbits", "jpeg"):
        yield f"pil-{name}", pil("TIFF", Image.fromarray(GRAY if name == "packbits" else PICTURE[:24]), compression=name)
    yield "gray-white", tiff([page(GRAY, rows=1, photometric=0, compression="deflate")])
    tables = {347: (UNDEFINED, list(b"\xff\xd8" + jpeg_tables(20) + b"\xff\xd9"))}

    def tile(x, y):
        return lambda t: jpeg_of(t, x, y, quant=20, tables=False)
    yield "jpeg-woven", tiff([page(board(32, 32, 2), tile=(16, 16), compression="jpeg", photometric=6,
                                   encode=lambda t: jpeg_of(t, 2, 2, quant=20, restart=1))])
    yield "jpeg-tiles", tiff([page(PICTURE, tile=(16, 16), compression="jpeg", photometric=6, encode=tile(2, 2),
                                   tags=tables)])
    yield "jpeg-strips", tiff([page(PICTURE, rows=16, compression="jpeg", photometric=6, encode=tile(2, 1), tags=tables)])
    yield "jpeg-complete", tiff([page(PICTURE, tile=(32, 32), compression="jpeg", photometric=6,
                                      encode=lambda t: jpeg_of(t, 1, 1, quant=20, restart=2))])
    yield "jpeg-rgb", tiff([page(PICTURE, tile=(64, 48), compression="jpeg", encode=lambda t: rgb_jpeg(t, quant=20))])
    yield "jpeg-gray", tiff([page(GRAY, tile=(32, 32), compression="jpeg", encode=lambda t: gray_jpeg(t, quant=20))])
    yield "jpeg-gray-white", tiff([page(GRAY, rows=8, compression="jpeg", photometric=0,
                                        encode=lambda t: gray_jpeg(t, quant=20))])
    yield "jpeg-odd-strips", tiff([page(PICTURE, rows=9, compression="jpeg", photometric=6, encode=tile(2, 2), tags=tables)])
    levels = [page(a, tile=(16, 16), compression="jpeg", photometric=6, encode=tile(2, 2), tags=tables)
              for a in (PICTURE[:32, :32], PICTURE[:32:2, :32:2], PICTURE[:32:4, :32:4])]
    yield "pyramid-pages", tiff(levels)
    yield "pyramid-subs", tiff([{**levels[0], "subs": levels[1:]}])
    yield "pages", tiff([page(half, compression="deflate"), page(GRAY, compression="deflate"),
                         page(PICTURE, compression="deflate")])
    yield "big", tiff([page(half, tile=(16, 16), compression="deflate", subs=[page(half[::2, ::2], tile=(16, 16))])],
                      big=True)
    yield "big-endian", tiff([page(half, tags={274: (SHORT, [5])})], order=">")
    yield "separate", tiff([page(half, separate=True)])
    yield "sixteen-bit", tiff([page(GRAY.astype("<u2") * 257, rows=8, compression="deflate")])


def pngs():
    image, gray = Image.fromarray(PICTURE), Image.fromarray(GRAY)
    clear = image.convert("RGBA")
    clear.putalpha(gray)
    block = Image.Exif()
    block[0x0112], block[0x8298] = 6, "Holder"
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", "<x/>")
    yield "rgb", pil("PNG", image)
    yield "gray", pil("PNG", gray, dpi=(300, 300))
    yield "bits", pil("PNG", gray.convert("1"))
    yield "palette", pil("PNG", image.quantize(16), transparency=bytes(range(16)))
    yield "alpha", pil("PNG", clear, exif=block, pnginfo=text)
    yield "gray-alpha", pil("PNG", clear.convert("LA"))
    yield "colour-key", pil("PNG", image, transparency=(1, 2, 3))
    yield "sixteen-bit", pil("PNG", Image.fromarray(GRAY.astype("uint16") * 257))
    yield "interlaced", interlaced_png(PICTURE)
    little, deep = PICTURE[:21, :30], PICTURE[:21, :30].astype("uint16") * 257
    yield "gamma", png(little, RGB, 8, chunk(b"cHRM", bytes(range(32))) + chunk(b"gAMA", b"\0\1\x86\xa0"))
    yield "coded", png(little, RGB, 8, chunk(b"cICP", b"\x09\x0e\0\1") + chunk(b"sRGB", b"\0"))
    yield "profile", png(little, RGB, 8, icc_chunk(adobe_like_profile()))
    yield "deep-interlaced", png(deep, RGB, 16, chunk(b"tRNS", deep[5, 5].astype(">u2").tobytes()), interlaced=True)
    yield "two-bits", png(GRAY[:21, :30] >> 6, PNG_GRAY, 2, chunk(b"tRNS", b"\0\1"), interlaced=True)
    yield "moving", png(little, RGB, 8, chunk(b"acTL", b"\0\0\0\1\0\0\0\0"), after=chunk(b"fdAT", bytes(40)))


def webps():
    image = Image.fromarray(PICTURE)
    clear = image.convert("RGBA")
    clear.putalpha(Image.fromarray(GRAY))
    block = Image.Exif()
    block[0x0112] = 6
    yield "lossy", pil("WEBP", image, quality=50)
    yield "lossless", pil("WEBP", image, lossless=True)
    yield "alpha", pil("WEBP", clear, quality=50, exif=block.tobytes(), xmp=b"<x/>", icc_profile=b"none")
    yield "animated", pil("WEBP", image, save_all=True, append_images=[clear.rotate(90)], duration=100)
    yield "offset", animated(W + 9, H + 8, 0, [(pil("WEBP", image, lossless=True), 8, 6, W, H, 1)])
    yield "cut", pil("WEBP", clear, quality=50)[:-300]


def plains():
    """What is not in the folder yet by other ways."""
    index, deep = GRAY[:21, :30] >> 4, PICTURE[:21, :30].astype("uint16") * 257
    little, inks = PICTURE[:21, :30], np.dstack([PICTURE[:21, :30], GRAY[:21, :30]])
    colours = np.arange(48, dtype=np.uint8).reshape(16, 3)
    yield "two-bits.bmp", bmp(index >> 2, 2, table=colours[:4])
    yield "runs8.bmp", bmp(index, 8, compression=RLE8, table=colours, colours=16, data=run_lengths(index, 8))
    yield "masks.bmp", bmp(index.astype(int) << 20, 32, V5, BITFIELDS, masks=(0xF00000, 0xF000, 0xF0, 0xF))
    yield "plain.pbm", b"P1 4 2 #x\n0101 1 0 1 0"
    yield "plain.ppm", b"P3 2 1 1000 1 2 3 1000 999 9"
    for name, large, mode, picture in (("cmyk", False, CMYK, inks), ("lab", True, LAB, deep), ("mono", False, DUOTONE, deep[..., :1])):
        yield f"{name}.psd", psd(picture, 1, mode=mode, large=large)
    yield "bitmap.psd", psd(index[..., None] & 1, 1, mode=0)
    yield "indexed.psd", psd(index[..., None].astype("uint8"), 0, mode=INDEXED, table=bytes(768))
    yield "clear.psb", psd(np.dstack([deep, deep[..., 0]]), 0, large=True, layers=struct.pack(">Qh", 12, -1) + bytes(4))
    yield "clear-packed.psd", psd(np.dstack([little, little[..., 0]]), 1, layers=struct.pack(">Ih", 12, -1) + bytes(8))


def heifs():
    """What is not in the folder yet by other ways."""
    square = np.ascontiguousarray(board(64, 64, 2))
    deep = png(square.astype("uint16") * 257, RGB, 16)
    for kind in ("avif", "heic"):
        tile = coded(square, kind, "-q", "20")
        yield f"four.{kind}", heif(120, 100, [tile] * 4, 2, 64, 64, (irot(1), imir(0), nclx(12, 13, 6, 1)), kind)
        yield f"twelve-bits.{kind}", coded(deep, kind, "-q", "20", "-b", "12")


def jxls():
    """By cjxl: exact and lossy, gray, deep, with opacity, in a container."""
    def made(samples, kind, bits, *options):
        with tempfile.TemporaryDirectory() as folder:
            source, target = os.path.join(folder, "a.png"), os.path.join(folder, "a.jxl")
            with open(source, "wb") as f:
                f.write(png(samples, kind, bits))
            subprocess.run(["cjxl", source, target, "-e", "3", *options], check=True, capture_output=True)
            with open(target, "rb") as f:
                return f.read()
    small, deep = PICTURE[:24, :32], PICTURE[:24, :32].astype("uint16") * 257
    yield "exact", made(small, RGB, 8, "-d", "0")
    yield "lossy", made(small, RGB, 8, "-d", "1", "--container=1")
    yield "gray", made(small[..., :1], PNG_GRAY, 8, "-d", "1")
    yield "clear", made(deep[..., [0, 1, 2, 0]], 6, 16, "-d", "0")
    yield "modular", made(deep, RGB, 16, "-d", "2", "-m", "1")


def main(folder):
    for target, seeds in (("fuzz_jpeg", jpegs()), ("fuzz_tiff", tiffs()), ("fuzz_png", pngs()), ("fuzz_webp", webps()),
                          ("fuzz_plain", plains()), ("fuzz_heif", heifs()), ("fuzz_jxl", jxls())):
        os.makedirs(os.path.join(folder, target), exist_ok=True)
        for name, data in seeds:
            if len(data) > 8192:
                sys.exit(f"{target}/{name} has {len(data)} bytes")
            with open(os.path.join(folder, target, name), "wb") as f:
                f.write(data)


if __name__ == "__main__":
    main(sys.argv[1])
