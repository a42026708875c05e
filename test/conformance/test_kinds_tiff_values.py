# SPDX-License-Identifier: BSD-2-Clause
"""What the numbers and colours of TIFFs mean: quantities and their ranges, Lab, profiles, YCbCr, old-style JPEG, SGILog."""
import itertools
import zlib

import numpy as np
import pytest

from kinds import Kind, check, deep_scene, gray_scene, in_srgb, lab_of, printed, rounded, scene, served
from make_images import adobe_like_profile
from profiles import gray_profile, ink_profile
from tiff_kinds import FLOAT as REAL, SIGNED, layout
from writers import ASCII, DOUBLE, LONG, RATIONAL, SHORT, UNDEFINED, jpeg_of, page, shrink, tiff, ycc

WHITE, BLACK, RGB, CMYK, YCBCR, CIELAB, ICCLAB, LOGL, LOGLUV = 0, 1, 2, 5, 6, 8, 9, 32844, 32845


def spread(values, low=None, high=None):
    """8 bits from low to high, by default all that there is."""
    finite = values[np.isfinite(values)].astype(float)
    low, high = finite.min() if low is None else low, finite.max() if high is None else high
    part = (np.nan_to_num(values.astype(float), nan=low) - low) / (high - low)
    return np.rint(255 * np.clip(part, 0, 1)).astype(np.uint8)


def numbers(low, high, kind, channels=3):
    """The deep scene from low to high."""
    values = deep_scene(channels=channels) / 65535 * (float(high) - float(low)) + float(low)
    return values.astype(kind) if np.dtype(kind).kind == "f" else np.rint(values).astype(kind)


def integer_kinds():
    for bits, (low, high) in itertools.product((24, 32, 64), ((0, 1), (.1, .3))):
        most = 2 ** bits - 1025
        kind = f"<u{4 if bits == 24 else bits // 8}"
        values = numbers(low * most, high * most, kind)
        yield Kind(f"unsigned{bits}-{high}.tif", tiff([layout(values, bits, tile=(32, 32))]), spread(values))
    for bits in (8, 16, 24, 32, 64):
        most = 2 ** (bits - 1) - 1025 if bits > 16 else 2 ** (bits - 1) - 1
        kind = f"<i{4 if bits == 24 else bits // 8}"
        for name, low in (("", -most), ("-below", -most / 2)):
            values = numbers(low, most * .7, kind, channels=1)
            yield Kind(f"signed{bits}{name}.tif", tiff([layout(values, bits, format=SIGNED, rows=9)]), spread(values))
    heights = numbers(-50, 3200, "<i2", channels=1)
    yield Kind("heights.tif", tiff([layout(heights, format=SIGNED, compression="deflate", predictor=2)]),
               spread(heights))
    header = {340: (DOUBLE, [-500]), 341: (DOUBLE, [4000])}
    yield Kind("heights-header.tif", tiff([layout(heights, format=SIGNED, tags=header)]), spread(heights, -500, 4000))
    yield Kind("heights-white.tif", tiff([layout(heights, format=SIGNED, photometric=WHITE)]), 255 - spread(heights))
    holes = heights.copy()
    holes[10:20, 30:50] = -9999
    nothing = {42113: (ASCII, list(b"-9999\0"))}
    yield Kind("heights-nodata.tif", tiff([layout(holes, format=SIGNED, tags=nothing)]),
               np.where(holes == -9999, 0, spread(heights)).astype(np.uint8), half=200)
    motorola = numbers(5, 70000, ">u4")
    yield Kind("motorola32.tif", tiff([layout(motorola, order=">")], order=">"), spread(motorola))
    motorola = numbers(5, 70000, "u4")
    yield Kind("motorola24.tif", tiff([layout(motorola, 24, order=">", separate=True)], order=">"), spread(motorola))


def float24(values):
    """As integers: a sign, 7 bits of exponent, 16 of fraction."""
    bits = values.astype("<f4").view("<u4").astype(np.int64)
    return np.where(values == 0, 0, bits >> 31 << 23 | (bits >> 23 & 255) - 127 + 63 << 16 | bits >> 7 & 0xffff)


def float_kinds():
    for kind in ("f2", "f4", "f8"):
        within, beyond = numbers(.1, .9, kind), numbers(-20, 300, kind)
        for name, options in {"": {}, "-predictor": {"compression": "deflate", "predictor": 3},
                              "-tiles": {"tile": (32, 32)},
                              "-separate": {"separate": True}}.items():
            yield Kind(f"{kind}{name}.tif", tiff([layout(within, format=REAL, **options)]), spread(within, 0, 1))
            yield Kind(f"{kind}{name}-wide.tif", tiff([layout(beyond, format=REAL, **options)]), spread(beyond))
        swapped = layout(beyond, format=REAL, order=">", compression="lzw", predictor=3, tile=(32, 32))
        yield Kind(f"{kind}-motorola.tif", tiff([swapped], order=">"), spread(beyond))
    values = numbers(-20, 300, "f4", channels=1)
    yield Kind("f3.tif", tiff([layout(float24(values), 24, format=REAL)]), spread(values))
    for type_of_it, name in ((11, "float"), (DOUBLE, "double")):
        header = {340: (type_of_it, [-100]), 341: (type_of_it, [400])}
        yield Kind(f"header-{name}.tif", tiff([layout(values, format=REAL, tags=header)]), spread(values, -100, 400))
    yield Kind("float-white.tif", tiff([layout(values, format=REAL, photometric=WHITE)]), 255 - spread(values))
    holes = values.copy()
    holes[10:14, 20:30], holes[30:35, 50:52], holes[50, :] = np.nan, np.inf, -np.inf
    yield Kind("holes.tif", tiff([layout(holes, format=REAL)]), spread(holes), half=200)
    lowest = values.copy()
    lowest[10:14, 20:30] = np.finfo("f4").min
    nothing = {42113: (ASCII, list(b"-3.4028234663852886e+38\0"))}
    yield Kind("float-nodata.tif", tiff([layout(lowest, format=REAL, tags=nothing)]),
               np.where(lowest < -1e38, 0, spread(values)).astype(np.uint8), half=200)
    yield Kind("flat.tif", tiff([layout(np.full((67, 97), .5, "f4"), format=REAL)]), np.full((67, 97), 128, np.uint8))
    opacity = np.tile(np.linspace(0, 1, 97, dtype="f4"), (67, 1))
    both = np.dstack([numbers(0, 1, "f4") * opacity[..., None], opacity])
    yield Kind("float-alpha.tif", tiff([layout(both, format=REAL, tags={338: (SHORT, [1])})]),
               np.dstack([rounded(deep_scene()), np.rint(opacity * 255)]).astype(np.uint8), mean=2, most=6)
    inks = np.dstack([numbers(0, .8, "f4"), numbers(0, .2, "f4", channels=1)])
    yield Kind("float-cmyk.tif", tiff([layout(inks, format=REAL, photometric=CMYK)]), printed(np.rint(inks * 255)),
               mean=1, most=3)


def colour_kinds():
    """Lab as Adobe and as ICC lay it, and profiles."""
    inside = np.minimum(scene(), 170)
    lightness, a, b = np.moveaxis(lab_of(inside), -1, 0)
    near = {"mean": 1.5, "most": 9}
    signed = np.dstack([lightness * 2.55, a, b])
    shifted = np.dstack([lightness * 2.55, a + 128, b + 128])
    bytes_of = {"cielab": np.rint(signed).astype(np.int64).astype(np.uint8),
                "icclab": np.rint(shifted).astype(np.uint8)}
    deep = {"cielab": np.rint(np.dstack([lightness * 655.35, a * 256, b * 256])).astype(np.int64).astype(np.uint16),
            "icclab": np.rint(np.dstack([lightness * 652.8, a * 256 + 32768, b * 256 + 32768])).astype(np.uint16)}
    for name, photometric in (("cielab", CIELAB), ("icclab", ICCLAB)):
        yield Kind(f"{name}8.tif", tiff([layout(bytes_of[name], photometric=photometric)]), inside, **near)
        yield Kind(f"{name}16.tif", tiff([layout(deep[name], photometric=photometric, tile=(32, 32))]), inside,
                   mean=.6, most=2)
        yield Kind(f"{name}-separate.tif", tiff([layout(deep[name], photometric=photometric, separate=True)]), inside,
                   mean=.6, most=2)
    inks = np.dstack([255 - scene(), gray_scene() // 4])

    def profile(icc):
        return {34675: (UNDEFINED, list(icc))}
    yield Kind("icc-cmyk.tif", tiff([layout(inks, photometric=CMYK, tags=profile(ink_profile()))]),
               in_srgb(inks, ink_profile()), 1.5, 8)
    yield Kind("icc-cmyk16.tif", tiff([layout(inks * np.uint16(257), photometric=CMYK, tags=profile(ink_profile()))]),
               in_srgb(inks, ink_profile()), 1.5, 8)
    wide = adobe_like_profile()
    yield Kind("icc16.tif", tiff([layout(deep_scene(), tags=profile(wide))]), in_srgb(rounded(deep_scene()), wide),
               1.2, 20)
    yield Kind("icc-gray16.tif", tiff([layout(deep_scene(channels=1), tags=profile(gray_profile(1.4)))]),
               in_srgb(rounded(deep_scene(channels=1)), gray_profile(1.4))[..., 1], 1.2, 5)


def blocks(planes, x, y):
    """Strips or tiles of YCbCr, x by y pixels a block: all of luma, then one of each chroma."""
    h, w = -(-planes[0].shape[0] // y), -(-planes[0].shape[1] // x)
    luma = np.pad(planes[0], ((0, h * y - planes[0].shape[0]), (0, w * x - planes[0].shape[1])), "edge")
    luma = luma.reshape(h, y, w, x).transpose(0, 2, 1, 3).reshape(h, w, x * y)
    return np.concatenate([luma, planes[1][..., None], planes[2][..., None]], -1).tobytes()


def rgb_of(planes, x, y, luma=(.299, .587, .114), reference=(0, 255, 128, 255, 128, 255)):
    """By the formulas of TIFF 6, each chroma sample for its whole block."""
    h, w = planes[0].shape
    full = [planes[0]] + [np.repeat(np.repeat(p, y, 0), x, 1)[:h, :w] for p in planes[1:]]
    l, cb, cr = ((p.astype(float) - reference[2 * i]) * (127 if i else 255) / (reference[2 * i + 1] - reference[2 * i])
                 for i, p in enumerate(full))
    r, b = l + cr * (2 - 2 * luma[0]), l + cb * (2 - 2 * luma[2])
    g = (l - luma[0] * r - luma[2] * b) / luma[1]
    return np.rint(np.clip(np.dstack([r, g, b]), 0, 255)).astype(np.uint8)


def ycbcr_kinds():
    rgb = scene()
    for x, y in itertools.product((1, 2, 4), (1, 2, 4)):
        tags = {530: (SHORT, [x, y]), 531: (SHORT, [1])}

        def encode(part, x=x, y=y):
            planes = ycc(part)
            return blocks([planes[0]] + [shrink(p, x, y) for p in planes[1:]], x, y)
        planes = ycc(rgb)
        want = rgb_of([planes[0]] + [shrink(p, x, y) for p in planes[1:]], x, y)
        yield Kind(f"ycbcr{x}{y}.tif", tiff([page(rgb, rows=16, encode=encode, photometric=YCBCR, tags=tags)]), want,
                   half=20)
        yield Kind(f"ycbcr{x}{y}-whole.tif", tiff([page(rgb, encode=encode, photometric=YCBCR, tags=tags)]), want,
                   half=20)
        tiles = page(rgb, tile=(32, 16), compression="deflate", photometric=YCBCR, tags=tags,
                     encode=lambda t: zlib.compress(encode(t)))
        yield Kind(f"ycbcr{x}{y}-tiles.tif", tiff([tiles]), want, most=4, half=20)
    luma, reference = (.2126, .7152, .0722), (16, 235, 128, 240, 128, 240)
    planes = [16 + gray_scene() * (219 / 255), 60 + scene()[..., 0] / 2, 60 + scene()[..., 1] / 2]
    planes = [np.rint(p).astype(np.uint8) for p in planes]
    tags = {529: (RATIONAL, [v for c in luma for v in (round(c * 10000), 10000)]), 530: (SHORT, [1, 1]),
            532: (RATIONAL, [v for r in reference for v in (r, 1)])}
    yield Kind("ycbcr-video.tif", tiff([page(rgb, encode=lambda _: blocks(planes, 1, 1), photometric=YCBCR, tags=tags)]),
               rgb_of(planes, 1, 1, luma, reference))


def old_jpeg(x, y, way):
    """JPEG as TIFF 6 had it: a page whose first 8 bytes are the file's head, so that its data lies at 8."""
    whole = jpeg_of(scene(), x, y, quant=1)
    scan = whole.index(b"\xff\xda") + 2 + 12
    quantities, codes = whole.index(b"\xff\xdb") + 5, whole.index(b"\xff\xc4") + 4
    tags = {258: (SHORT, [8] * 3), 259: (SHORT, [6]), 530: (SHORT, [x, y])}
    if way == "file":              # the strip is the file
        tags.update({513: (LONG, [8]), 514: (LONG, [len(whole)])})
    elif way == "head":            # the strip is what lies behind the file's head
        tags.update({513: (LONG, [8]), 514: (LONG, [scan]), 273: (LONG, [8 + scan]), 279: (LONG, [len(whole) - scan])})
    else:                          # tables lie wherever their tags say
        dc = 8 + codes + 1
        ac = dc + 16 + 12 + 5
        tags.update({512: (SHORT, [1]), 519: (LONG, [8 + quantities] * 3), 520: (LONG, [dc] * 3), 521: (LONG, [ac] * 3),
                     273: (LONG, [8 + scan]), 279: (LONG, [len(whole) - scan])})
    return tiff([page(scene(), encode=lambda _: whole, photometric=YCBCR, tags=tags)])


def old_jpeg_kinds():
    for (x, y), way in itertools.product(((1, 1), (2, 1), (2, 2)), ("file", "head", "tables")):
        yield Kind(f"old-jpeg-{way}{x}{y}.tif", old_jpeg(x, y, way), scene(), mean=2, most=14, half=20)


def log_luminance(y):
    return np.rint(256 * (np.log2(np.maximum(y, 1e-9)) + 64) - .5).astype(np.int64)


def luminance(code):
    return np.exp2((code + .5) / 256 - 64)


def byte_planes(codes, size):
    """Rows as their highest bytes, then the next ones..., in runs of literals."""
    out = b""
    for row in codes:
        for shift in range(8 * (size - 1), -1, -8):
            plane = (row >> shift & 255).astype(np.uint8).tobytes()
            out += b"".join(bytes([len(plane[i:i + 127])]) + plane[i:i + 127] for i in range(0, len(plane), 127))
    return out


def light_matrix():
    """From RGB with the primaries of BT.709 and an even white to XYZ."""
    primaries = np.array([(.64, .33, .03), (.3, .6, .1), (.15, .06, .79)]).T
    return primaries * np.linalg.solve(primaries, np.ones(3))


def log_kinds():
    def shown_as(light):
        return np.clip(np.floor(256 * np.sqrt(np.maximum(light, 0))), 0, 255).astype(np.uint8)

    def log_page(codes, samples, compression, photometric, encode):
        tags = {258: (SHORT, [16] * samples), 259: (SHORT, [compression]), 277: (SHORT, [samples]),
                339: (SHORT, [2] * samples)}
        return tiff([page(codes, rows=16, photometric=photometric, tags=tags, encode=encode)])
    gray = log_luminance((gray_scene() / 255) ** 2)
    yield Kind("sgilog-gray.tif", log_page(gray, 1, 34676, LOGL, lambda t: byte_planes(t, 2)),
               shown_as(luminance(gray)))
    xyz = ((scene() + .5) / 256) ** 2 @ light_matrix().T
    total = xyz @ (1, 15, 3)
    u, v = (np.floor(410 * p / total).astype(np.int64) for p in (4 * xyz[..., 0], 9 * xyz[..., 1]))
    level = log_luminance(xyz[..., 1])
    y, u_, v_ = luminance(level), (u + .5) / 410, (v + .5) / 410
    decoded = np.dstack([y * 9 * u_ / (4 * v_), y, y * (12 - 3 * u_ - 20 * v_) / (4 * v_)])
    want = shown_as(decoded @ np.linalg.inv(light_matrix()).T)
    yield Kind("sgilog.tif", log_page(level << 16 | u << 8 | v, 3, 34676, LOGLUV, lambda t: byte_planes(t, 4)), want,
               mean=1, most=4)
    # A place in the chart that does not exist is neutral.
    short = np.rint(64 * (np.log2(np.maximum(gray_scene() / 255, .01) ** 2) + 12)).astype(np.int64)
    triples = (short << 14 | 0x3fff)
    neutral = np.repeat(shown_as(np.exp2((short + .5) / 64 - 12))[..., None], 3, 2)
    yield Kind("sgilog24.tif", log_page(triples, 3, 34677, LOGLUV, lambda t: np.dstack(
        [t >> 16, t >> 8 & 255, t & 255]).astype(np.uint8).tobytes()), neutral, mean=1.5, most=4)


KINDS = {kind.name: kind for kind in itertools.chain(integer_kinds(), float_kinds(), colour_kinds(), ycbcr_kinds(),
                                                     old_jpeg_kinds(),
                                                     log_kinds())}


@pytest.fixture(scope="module")
def client(binary, scratch):
    with served(binary, scratch, "tiff-values", KINDS.values()) as client:
        yield client


@pytest.mark.parametrize("name", KINDS)
def test_kind(client, name):
    check(client, KINDS[name])
