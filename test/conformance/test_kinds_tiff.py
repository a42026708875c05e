# SPDX-License-Identifier: BSD-2-Clause
"""Every kind of TIFF: samples, layouts, compressions, pages. What its numbers and colours mean: test_kinds_tiff_values.py."""
import io
import itertools
import subprocess

import numpy as np
import pytest
from PIL import Image as Picture

from kinds import Kind, check, deep_scene, gray_scene, printed, rounded, scene, served
from tiff_kinds import layout, palette_of
from writers import SHORT, jpeg, page, tiff

WHITE, BLACK, RGB, PALETTE, MASK, CMYK, YCBCR, CIELAB, ICCLAB = 0, 1, 2, 3, 4, 5, 6, 8, 9
SHARP = 40                         # of halves, where edges are sharp


def few_bits(bits):
    samples = gray_scene() >> (8 - bits)
    return samples, np.rint(samples * (255 / (2 ** bits - 1))).astype(np.uint8)


def opacity(w=97, h=67):
    return np.rint(np.tile(np.linspace(0, 255, w), (h, 1))).astype(np.uint8)


def bits_kinds():
    """1 to 16 bits, white or black first, in strips and tiles, of odd widths."""
    for bits in (1, 2, 4, 6, 8, 10, 12, 14, 16):
        if bits <= 8:
            samples, want = few_bits(bits)
            colours = scene() >> (8 - bits)
        else:
            samples, colours = deep_scene(channels=1) >> (16 - bits), deep_scene() >> (16 - bits)
            want = np.rint(samples / ((2 ** bits - 1) / 255)).astype(np.uint8)
        most, half = samples.dtype.type(2 ** bits - 1), SHARP if bits < 3 else 12
        yield Kind(f"black{bits}.tif", tiff([layout(samples, bits, photometric=BLACK, rows=7)]), want, half=half)
        yield Kind(f"white{bits}.tif", tiff([layout(most - samples, bits, photometric=WHITE, tile=(32, 16))]), want,
                   half=half)
        want = np.rint(colours / ((2 ** bits - 1) / 255)).astype(np.uint8)
        yield Kind(f"rgb{bits}.tif", tiff([layout(colours, bits, tile=(48, 32))]), want, half=half)
        yield Kind(f"separate{bits}.tif", tiff([layout(colours, bits, separate=True, rows=9)]), want, half=half)
    yield Kind("separate-tiles.tif", tiff([layout(scene(), separate=True, tile=(32, 48), compression="deflate")]),
               scene())
    narrow, want = few_bits(1)
    for w in (1, 7, 8, 9):
        yield Kind(f"bits-wide{w}.tif", tiff([layout(narrow[:, :w], 1)]), want[:, :w], half=SHARP)


def order_kinds():
    deep, gray = deep_scene(), deep_scene(channels=1)
    yield Kind("motorola16.tif", tiff([layout(deep, order=">", rows=5)], order=">"), rounded(deep))
    yield Kind("motorola12.tif", tiff([layout(gray >> 4, 12, order=">")], order=">"),
               np.rint((gray >> 4) / (4095 / 255)).astype(np.uint8))
    yield Kind("big16.tif", tiff([layout(deep, tile=(32, 32))], big=True), rounded(deep))
    yield Kind("big-motorola.tif", tiff([layout(gray, order=">", compression="lzw", tile=(32, 32))], big=True, order=">"),
               rounded(gray))
    samples, want = few_bits(1)
    for compression in ("none", "lzw", "packbits", "deflate"):
        yield Kind(f"fill-{compression}.tif", tiff([layout(samples, 1, fill=2, compression=compression)]), want,
                   half=SHARP)
    yield Kind("fill8.tif", tiff([layout(gray_scene(), fill=2, compression="lzw")]), gray_scene())


def compression_kinds():
    deep = deep_scene()
    for compression in ("lzw", "old-lzw", "deflate", "old-deflate", "packbits", "lzma"):
        yield Kind(f"{compression}.tif", tiff([layout(scene(), compression=compression, rows=10)]), scene())
        yield Kind(f"{compression}16.tif", tiff([layout(deep, compression=compression, tile=(32, 32))]), rounded(deep))
    for compression in ("lzw", "deflate", "lzma"):
        yield Kind(f"{compression}-predictor.tif", tiff([layout(scene(), compression=compression, predictor=2)]),
                   scene())
        yield Kind(f"{compression}-predictor16.tif",
                   tiff([layout(deep, compression=compression, predictor=2, tile=(32, 32), order=">")],
                        order=">"), rounded(deep))
    yield Kind("separate-predictor.tif", tiff([layout(deep, compression="lzw", predictor=2, separate=True)]),
               rounded(deep))
    yield Kind("separate-predictor8.tif", tiff([layout(scene(), compression="lzw", predictor=2, separate=True)]), scene())
    yield Kind("gray-predictor.tif", tiff([layout(gray_scene(), compression="lzw", predictor=2, tile=(48, 32))]), gray_scene())
    # More samples a pixel than are added up several at a time, and as many.
    for n in (8, 9):
        samples = np.dstack([scene(), *[gray_scene()] * (n - 3)])
        yield Kind(f"samples{n}-predictor.tif", tiff([layout(samples, compression="deflate", predictor=2, tile=(32, 32),
                                                             tags={338: (SHORT, [0] * (n - 3))})]), scene())


def pillow(samples, compression, **words):
    file = io.BytesIO()
    Picture.fromarray(samples).save(file, "tiff", compression=compression, **words)
    return file.getvalue()


def tiffcp(folder, data, *words):
    (folder / "source.tif").write_bytes(data)
    subprocess.run(["tiffcp", *words, folder / "source.tif", folder / "target.tif"], check=True)
    return (folder / "target.tif").read_bytes()


def word_aligned(bits):
    """CCITT's run lengths with each row from an even byte on; where rows are less regular libtiff may lose its place."""
    rows = b""
    for row in bits > 0:
        one = Picture.open(io.BytesIO(pillow(row[None], "tiff_ccitt")))
        place, n = one.tag_v2[273][0], one.tag_v2[279][0]
        one.fp.seek(place)
        data = one.fp.read(n)
        rows += data + b"\0" * (n % 2)
    return tiff([page(bits, encode=lambda _: rows, tags={258: (SHORT, [1]), 259: (SHORT, [32771]), 262: (SHORT, [BLACK])})])


def tool_kinds(folder):
    """What Pillow and tiffcp write."""
    bits, want = few_bits(1)
    halves = np.tile(np.arange(97) >= 48, (67, 1)).astype(np.uint8)
    yield Kind("word-aligned.tif", word_aligned(halves), 255 * halves, half=SHARP)
    for compression in ("tiff_ccitt", "group3", "group4"):
        yield Kind(f"{compression}.tif", pillow(bits > 0, compression), want, half=SHARP)
    source = tiff([layout(1 - bits, 1, photometric=WHITE)])
    faxes = {"1d": "g3:1d -r 11", "2d": "g3:2d -r 11", "fill": "g3:1d:fill", "4": "g4 -r 11",
             "low-first": "g4 -f lsb2msb",
             "tiles": "g4 -t -w 32 -l 32"}
    for name, words in faxes.items():
        yield Kind(f"fax-{name}.tif", tiffcp(folder, source, "-c", *words.split()), want, half=SHARP)
    pictures = {"": (scene(), scene()), "16": (deep_scene(), rounded(deep_scene()))}
    for (depth, (samples, want)), compression in itertools.product(pictures.items(),
                                                                   ("zstd:2", "lzma", "lerc", "lerc:s1", "webp:p100")):
        if depth and "webp" in compression:
            continue
        source, name = tiff([layout(samples)]), compression.replace(":", "-") + depth
        near = {"mean": 3, "most": 20, "seam": 2} if "webp" in compression else {}
        yield Kind(f"copied-{name}.tif", tiffcp(folder, source, "-c", compression, "-r", "16"), want, **near)
        yield Kind(f"copied-{name}-tiles.tif", tiffcp(folder, source, "-c", compression, "-t", "-w", "32", "-l", "32"), want, **near)
        yield Kind(f"copied-{name}-whole.tif", tiffcp(folder, source, "-c", compression, "-r", "100"), want, **near)
    yield Kind("copied-separate.tif", tiffcp(folder, tiff([layout(scene())]), "-c", "zstd:2", "-p", "separate"),
               scene())


def colour_kinds():
    """Palettes, CMYK without a profile, and what lies behind the colours."""
    for bits in (1, 2, 4, 8):
        colours = np.random.default_rng(bits).integers(0, 256, (2 ** bits, 3))
        indices = gray_scene() >> (8 - bits)
        want = colours[indices].astype(np.uint8)
        tags = palette_of(colours, bits)
        yield Kind(f"palette{bits}.tif", tiff([layout(indices, bits, photometric=PALETTE, tags=tags)]), want, half=200)
        yield Kind(f"palette{bits}-tiles.tif",
                   tiff([layout(indices, bits, photometric=PALETTE, tags=tags, tile=(32, 32),
                                compression="lzw")]), want, half=200)
    short = {320: (SHORT, [int(v) // 257 for v in tags[320][1]])}
    yield Kind("palette-short.tif", tiff([layout(indices, 8, photometric=PALETTE, tags=short)]), want, half=200)
    grays = palette_of(np.repeat(np.arange(255, -1, -1)[:, None], 3, 1), 8)
    yield Kind("palette-gray.tif", tiff([layout(255 - gray_scene(), photometric=PALETTE, tags=grays)]), gray_scene())
    both = np.dstack([indices, opacity()])
    yield Kind("palette-alpha.tif", tiff([layout(both, photometric=PALETTE, tags={**tags, 338: (SHORT, [2])})]),
               np.dstack([want, opacity()]), half=200)
    inks = np.dstack([255 - scene(), gray_scene() // 4])
    yield Kind("cmyk8.tif", tiff([layout(inks, photometric=CMYK, tile=(32, 32))]), printed(inks), mean=1, most=3)
    yield Kind("cmyk16.tif", tiff([layout(inks.astype(np.uint16) * 257, photometric=CMYK, compression="deflate")]),
               printed(inks),
               mean=1, most=3)
    yield Kind("cmyk-separate.tif", tiff([layout(inks, photometric=CMYK, separate=True)]), printed(inks), mean=1,
               most=3)
    yield Kind("cmyk-jpeg.tif", tiff([page(inks, tile=(32, 32), compression="jpeg", photometric=CMYK, encode=jpeg_planes)]),
               printed(inks), mean=2, most=12, seam=2)


def jpeg_planes(tile):
    """A tile's components side by side in a JPEG, none subsampled."""
    tile = tile if tile.ndim == 3 else tile[..., None]
    return jpeg(tile.shape[1], tile.shape[0], [(tile[..., i], 1, 1) for i in range(tile.shape[2])], quant=1)


def alpha_kinds():
    deep, o = deep_scene(), opacity()
    deep_o = o.astype(np.uint16) * 257
    clear, straight, spot = ({338: (SHORT, kinds)} for kinds in ([1], [2], [0]))
    both = np.dstack([scene(), o])
    multiplied = np.rint(scene() * (o[..., None] / 255)).astype(np.uint8)
    deep_multiplied = np.rint(deep * (o[..., None] / 255)).astype(np.uint16)
    near = {"mean": 1, "most": 2}
    yield Kind("alpha.tif", tiff([layout(both, tags=straight)]), both)
    yield Kind("alpha-separate.tif", tiff([layout(both, tags=straight, separate=True, tile=(32, 32))]), both)
    yield Kind("alpha-multiplied.tif", tiff([layout(np.dstack([multiplied, o]), tags=clear)]), both, **near)
    yield Kind("alpha16.tif", tiff([layout(np.dstack([deep, deep_o]), tags=straight)]), np.dstack([rounded(deep), o]))
    yield Kind("alpha-multiplied16.tif", tiff([layout(np.dstack([deep_multiplied, deep_o]), tags=clear)]),
               np.dstack([rounded(deep), o]), **near)
    gray = np.dstack([gray_scene(), o])
    yield Kind("alpha-gray.tif", tiff([layout(gray, photometric=BLACK, tags=straight)]), gray)
    yield Kind("alpha-white.tif", tiff([layout(np.dstack([255 - gray_scene(), o]), photometric=WHITE, tags=straight)]), gray)
    yield Kind("alpha4.tif", tiff([layout(both >> 4, 4, tags=straight)]), (both >> 4) * 17)
    inks = np.dstack([255 - scene(), gray_scene() // 4])
    yield Kind("alpha-cmyk.tif", tiff([layout(np.dstack([inks, o]), photometric=CMYK, tags=straight)]),
               np.dstack([printed(inks), o]), mean=1, most=3)
    yield Kind("alpha-jpeg.tif", tiff([page(both, tile=(32, 32), compression="jpeg", photometric=RGB, tags=straight,
                                            encode=jpeg_planes)]), both, mean=2, most=12, seam=2)
    yield Kind("separate-jpeg.tif", tiff([page(scene(), tile=(32, 32), compression="jpeg", photometric=RGB, separate=True,
                                               encode=jpeg_planes)]), scene(), mean=2, most=12, seam=2)
    yield Kind("unspecified.tif", tiff([layout(both, tags=spot)]), scene())
    yield Kind("untold.tif", tiff([layout(both)]), scene())
    yield Kind("several.tif", tiff([layout(np.dstack([both, o]), photometric=RGB, tags={338: (SHORT, [0, 0])})]),
               scene())
    yield Kind("second-alpha.tif", tiff([layout(np.dstack([scene(), gray_scene(), o]), photometric=RGB,
                                                tags={338: (SHORT, [0, 2])})]), both)


def turned(picture, orientation):
    """What is to be stored so that it is shown as `picture`."""
    return {1: picture, 2: picture[:, ::-1], 3: picture[::-1, ::-1], 4: picture[::-1], 5: picture.swapaxes(0, 1),
            6: np.rot90(picture, 1), 7: picture[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(picture, -1)}[orientation]


def orientation_kinds():
    for o in range(1, 9):
        tags = {274: (SHORT, [o])}
        yield Kind(f"turned{o}.tif", tiff([layout(turned(scene(), o), tags=tags, rows=6)]), scene())
        yield Kind(f"turned{o}-tiles.tif", tiff([layout(turned(deep_scene(), o), tags=tags, tile=(32, 16))]),
                   rounded(deep_scene()))


def made(kinds):
    return {kind.name: kind for kind in kinds}


@pytest.fixture(scope="module")
def tools(tmp_path_factory):
    return made(tool_kinds(tmp_path_factory.mktemp("tools")))


KINDS = made(itertools.chain(bits_kinds(), order_kinds(), compression_kinds(), colour_kinds(), alpha_kinds(),
                             orientation_kinds()))


@pytest.fixture(scope="module")
def client(binary, scratch, tools):
    with served(binary, scratch, "tiff", [*KINDS.values(), *tools.values()]) as client:
        yield client


@pytest.mark.parametrize("name", KINDS)
def test_kind(client, name):
    check(client, KINDS[name])


def test_what_tools_write(client, tools):
    for kind in tools.values():
        check(client, kind)
