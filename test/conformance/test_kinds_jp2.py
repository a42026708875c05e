# SPDX-License-Identifier: BSD-2-Clause
"""Every kind of JPEG 2000. The files are lossless where nothing else is said, so what they hold is known."""
import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from jp2_images import box, definitions, enumerated, jp2, profile
from jp2_streams import (COM, CRG, PLM, PPM, PPT, compressed, merged, put_together, taken_apart,
                         with_packed_headers)
from kinds import Kind, Refusal, check, check_refusal, deep_scene, gray_scene, lab_of, rounded, scene, served
from make_images import adobe_like_profile

W, H = 97, 67
CORPUS = Path(__file__).parent.parent / "fuzz" / "corpus" / "fuzz_jp2"
COLOURS = ((0, 1), (0, 2), (0, 3))
CIELAB = 14
GRAY, RGB, YCC, CMYK, LAB = (enumerated(space) for space in (17, 16, 18, 12, CIELAB))


def few_bits(picture, bits):
    """A deep picture in that many bits, and as it will be shown."""
    samples = (picture.astype(np.uint32) << 8 if bits > 16 else picture) >> ((24 if bits > 16 else 16) - bits)
    return samples, np.rint(samples * (255 / (2 ** bits - 1))).astype(np.uint8)


def signed(samples, bits):
    return samples.astype(np.int64) - (1 << (bits - 1))


def opacity(w=W, h=H):
    return np.rint(np.tile(np.linspace(0, 255, w), (h, 1))).astype(np.uint8)


def wrapped(stream, components, *boxes):
    return jp2(stream, W, H, components, *boxes)


def depths():
    deep, deep_gray = deep_scene(), deep_scene(channels=1)
    for bits in (1, 2, 3, 4, 7, 8, 9, 10, 12, 15, 16, 20, 24):
        samples, want = few_bits(deep_gray, bits)
        half = 60 if bits == 1 else 12
        yield Kind(f"gray{bits}.j2k", compressed(samples, bits=bits), want, half=half)
        if bits > 1:
            stream = compressed(signed(samples, bits), bits=bits, is_signed=True)
            yield Kind(f"signed{bits}.j2k", stream, want, half=half)
    for bits in (4, 8, 10, 12, 16):
        samples, want = few_bits(deep, bits)
        yield Kind(f"rgb{bits}.jp2", wrapped(compressed(samples, bits=bits), 3, RGB), want)
        stream = compressed(signed(samples, bits), bits=bits, is_signed=True)
        yield Kind(f"rgb{bits}-signed.jp2", wrapped(stream, 3, RGB), want)
    stream = compressed(deep >> 4, "-I", "-r", "8", bits=12)
    yield Kind("rgb12-lossy.j2k", stream, rounded(deep), mean=2, most=12, seam=2)
    for name, mixture in (("8-12-5", (8, 12, 5)), ("4-8-1", (4, 8, 1)), ("16-8-8", (16, 8, 8))):
        planes = [few_bits(deep[..., i], bits) for i, bits in enumerate(mixture)]
        stream = merged(*((compressed(p, "-n", "4", bits=b), 1, 1) for (p, _), b in zip(planes, mixture)), w=W, h=H)
        yield Kind(f"mixed-{name}.jp2", wrapped(stream, 3, RGB), np.dstack([want for _, want in planes]),
                   half=60 if 1 in mixture else 12)
    stream = merged((compressed(scene()[..., 0], "-n", "4"), 1, 1),
                    (compressed(signed(scene()[..., 1], 8), "-n", "4", is_signed=True), 1, 1),
                    (compressed(scene()[..., 2], "-n", "4"), 1, 1), w=W, h=H)
    yield Kind("signed-green.jp2", wrapped(stream, 3, RGB), scene())
    bilevel = gray_scene() > 128
    want = bilevel * np.uint8(255)
    yield Kind("bilevel.jpx", wrapped(compressed(~bilevel, bits=1), 1, enumerated(0)), want, half=140)
    yield Kind("bilevel2.jpx", wrapped(compressed(bilevel, bits=1), 1, enumerated(15)), want, half=140)


def columns(table, *bits, sign=0):
    """A pclr box of an entries x columns table, whose columns have these bits."""
    rows = b"".join(int(v).to_bytes((b + 7) // 8, "big", signed=v < 0) for row in table for v, b in zip(row, bits))
    return box(b"pclr", struct.pack(">HB", len(table), len(bits)) + bytes(b - 1 | sign for b in bits) + rows)


def mapped(*channels):
    """A cmap box of (component, column), column None for the component itself."""
    return box(b"cmap", b"".join(struct.pack(">HBB", c, k is not None, k or 0) for c, k in channels))


RGB_MAP = mapped((0, 0), (0, 1), (0, 2))


def palettes():
    level = np.arange(256)
    ramp = np.stack([level, 255 - level, np.rint(128 + 100 * np.sin(level / 40))], -1).astype(np.int64)
    index = compressed(gray_scene())
    want = ramp[gray_scene()].astype(np.uint8)
    yield Kind("palette.jp2", wrapped(index, 1, RGB, columns(ramp, 8, 8, 8), RGB_MAP), want)
    yield Kind("palette-swapped.jp2", wrapped(index, 1, RGB, columns(ramp[:, ::-1], 8, 8, 8),
                                              mapped((0, 2), (0, 1), (0, 0))), want)
    yield Kind("palette-defined.jp2", wrapped(index, 1, RGB, columns(ramp[:, ::-1], 8, 8, 8), RGB_MAP,
                                              definitions((0, 3), (0, 2), (0, 1))), want)
    yield Kind("palette-signed.jp2", wrapped(index, 1, RGB, columns(ramp - 128, 8, 8, 8, sign=128), RGB_MAP), want)
    yield Kind("palette5.jp2", wrapped(index, 1, RGB, columns(ramp >> 3, 5, 5, 5), RGB_MAP),
               np.rint((ramp >> 3) * 255 / 31)[gray_scene()].astype(np.uint8))
    deep = ramp * 257
    yield Kind("palette16.jp2", wrapped(index, 1, RGB, columns(deep, 16, 16, 16), RGB_MAP), want)
    yield Kind("palette-mixed.jp2", wrapped(index, 1, RGB, columns(ramp * (257, 1, 16), 16, 8, 12), RGB_MAP),
               np.rint(ramp * (1, 1, 255 * 16 / 4095))[gray_scene()].astype(np.uint8))
    wide = np.arange(1000)
    wide = np.stack([wide * 65, 65535 - wide * 60, 20000 + wide * 30], -1)
    steps = deep_scene(channels=1) >> 6
    yield Kind("palette1000.jp2", wrapped(compressed(steps, bits=10), 1, RGB, columns(wide, 16, 16, 16), RGB_MAP),
               rounded(wide[np.minimum(steps, 999)]))
    four = np.concatenate([ramp, level[:, None]], -1)
    yield Kind("palette-opacity.jp2",
               wrapped(index, 1, RGB, columns(four, 8, 8, 8, 8), mapped((0, 0), (0, 1), (0, 2), (0, 3)),
                       definitions(*COLOURS, (1, 0))), four[gray_scene()].astype(np.uint8), most=2)
    yield Kind("palette-gray.jp2", wrapped(index, 1, GRAY, columns(ramp[:, 1:2], 8), mapped((0, 0))),
               want[..., 1])
    yield Kind("palette-ycc.jp2", wrapped(index, 1, YCC, columns(ycc(ramp[None])[0], 8, 8, 8), RGB_MAP), want,
               mean=1, most=2)
    both = merged((compressed(gray_scene(), "-n", "4"), 1, 1), (compressed(opacity(), "-n", "4"), 1, 1), w=W, h=H)
    yield Kind("palette-and-opacity.jp2",
               wrapped(both, 2, RGB, columns(ramp, 8, 8, 8), mapped((0, 0), (0, 1), (0, 2), (1, None)),
                       definitions(*COLOURS, (1, 0))), np.dstack([want, opacity()]), most=2)


def channels():
    o, gray, deep = opacity(), gray_scene(), deep_scene()
    rgba = np.dstack([scene(), o])
    yield Kind("swapped.jp2", wrapped(compressed(scene()[..., ::-1]), 3, RGB, definitions(*COLOURS[::-1])), scene())
    yield Kind("rgba.jp2", wrapped(compressed(rgba), 4, RGB, definitions(*COLOURS, (1, 0))), rgba, most=2)
    yield Kind("rgba.j2k", compressed(rgba), rgba, most=2)
    yield Kind("argb.jp2", wrapped(compressed(rgba[..., (3, 0, 1, 2)], "-mct", "0"), 4, RGB,
                                   definitions((1, 0), *COLOURS)), rgba, most=2)
    yield Kind("unspecified.jp2", wrapped(compressed(rgba), 4, RGB, definitions(*COLOURS, (65535, 65535))), scene())
    yield Kind("undefined.jp2", wrapped(compressed(rgba), 4, RGB), scene())
    yield Kind("gray-alpha.jp2", wrapped(compressed(np.dstack([gray, o])), 2, GRAY, definitions((0, 1), (1, 0))),
               np.dstack([gray, o]), most=2)
    yield Kind("gray-alpha-of-1.jp2", wrapped(compressed(np.dstack([gray, o])), 2, GRAY,
                                              definitions((0, 1), (1, 1))), np.dstack([gray, o]), most=2)
    yield Kind("gray-alpha.j2k", compressed(np.dstack([gray, o])), np.dstack([gray, o]), most=2)
    yield Kind("single-rgb.jp2", wrapped(compressed(gray), 1, RGB), gray)
    deep_o = o.astype(np.uint16) * 257
    yield Kind("rgba16.jp2", wrapped(compressed(np.dstack([deep, deep_o]), bits=16), 4, RGB,
                                     definitions(*COLOURS, (1, 0))), np.dstack([rounded(deep), o]), most=2)
    mask = np.tile(np.arange(W) >= 48, (H, 1))
    stream = merged((compressed(deep_scene(channels=1), "-n", "4", bits=16), 1, 1),
                    (compressed(mask, "-n", "4", bits=1), 1, 1), w=W, h=H)
    yield Kind("gray16-mask.jp2", wrapped(stream, 2, GRAY, definitions((0, 1), (1, 0))),
               np.dstack([rounded(deep_scene(channels=1)), mask * np.uint8(255)]), half=140, seam=2)
    # What was multiplied by little has lost colour.
    faded = np.rint(scene() * (o[..., None] / 255)).astype(np.uint8)
    yield Kind("premultiplied.jp2", wrapped(compressed(np.dstack([faded, o])), 4, RGB,
                                            definitions(*COLOURS, (2, 0))), rgba, mean=.6, most=2)
    faded = np.rint(deep * (deep_o[..., None] / 65535)).astype(np.uint16)
    stream = compressed(np.dstack([faded, deep_o]), bits=16)
    yield Kind("premultiplied16.jp2", wrapped(stream, 4, RGB, definitions(*COLOURS, (2, 0))),
               np.dstack([rounded(deep), o]), mean=.6, most=2)


def ycc(rgb, most=255):
    """JFIF's, of 8 bits or deeper."""
    middle = (most + 1) / 2
    matrix = np.array(((.299, .587, .114), (-.168736, -.331264, .5), (.5, -.418688, -.081312)))
    return np.clip(np.rint(rgb @ matrix.T + (0, middle, middle)), 0, most).astype(np.int64)


def subsampled(planes, steps, x0=0, y0=0, bits=8):
    """A codestream whose planes have only the samples of the points of the grid that the steps divide."""
    parts = []
    for plane, (dx, dy) in zip(planes, steps):
        samples = plane[-y0 % dy::dy, -x0 % dx::dx]
        corner = f"{-(-x0 // dx)},{-(-y0 // dy)}"
        parts.append((compressed(samples, "-n", "4", "-d", corner, bits=bits), dx, dy))
    return merged(*parts, w=planes[0].shape[1], h=planes[0].shape[0], x0=x0, y0=y0)


def sampled():
    planes = list(ycc(scene()).transpose(2, 0, 1))
    # Between the points that have chroma, and beyond the last ones, it is a guess.
    for name, step in (("444", (1, 1)), ("422", (2, 1)), ("440", (1, 2)), ("420", (2, 2)), ("411", (4, 1)),
                       ("410", (4, 4)), ("odd", (3, 3))):
        for corner in ((0, 0), (1, 1), (6, 3)):
            stream = subsampled(planes, ((1, 1), step, step), *corner)
            yield Kind(f"ycc{name}-{corner[0]}{corner[1]}.jp2", wrapped(stream, 3, YCC), scene(), mean=1.2,
                       most=6 * max(step))
    stream = subsampled(planes, ((1, 1), (2, 2), (2, 2)))
    yield Kind("ycc420.j2k", stream, scene(), mean=1, most=6)
    yield Kind("ycc420-rgb.jp2", wrapped(stream, 3, RGB), scene(), mean=1, most=6)
    yield Kind("ycbcr2-420.jpx", wrapped(stream, 3, enumerated(3)), scene(), mean=1, most=6)
    for corner in ((0, 0), (1, 1)):
        stream = subsampled([*planes, opacity()], ((1, 1), (2, 2), (2, 2), (1, 1)), *corner)
        yield Kind(f"ycc420-alpha-{corner[0]}.jp2", wrapped(stream, 4, YCC, definitions(*COLOURS, (1, 0))),
                   np.dstack([scene(), opacity()]), mean=1, most=10)
    for bits in (10, 16):
        most = 2 ** bits - 1
        deep = list(ycc(scene() * (most / 255), most).transpose(2, 0, 1))
        yield Kind(f"ycc444-{bits}.jp2", wrapped(compressed(np.dstack(deep), "-mct", "0", bits=bits), 3, YCC),
                   scene(), mean=1, most=2)
        stream = subsampled(deep, ((1, 1), (2, 2), (2, 2)), bits=bits)
        yield Kind(f"ycc420-{bits}.jp2", wrapped(stream, 3, YCC), scene(), mean=1, most=6)
    # All of it with fewer samples than the grid: shown at the grid's size.
    for step in ((2, 1), (2, 2)):
        stream = subsampled(list(scene().transpose(2, 0, 1)), (step,) * 3)
        yield Kind(f"all-{step[0]}{step[1]}.jp2", wrapped(stream, 3, RGB), scene(), mean=1, most=8)
        yield Kind(f"gray-{step[0]}{step[1]}.jp2", wrapped(subsampled([gray_scene()], (step,)), 1, GRAY),
                   gray_scene(), mean=1, most=8)


# What is printed with no ink, cyan, magenta, both, yellow, and so on: square roots of linear light, of 4096
# (lib/image/press.h).
PRIMARIES = np.array((
    (4096, 4096, 4096), (-814, 2665, 3805), (3751, 530, 2098), (677, 704, 2196), (4096, 3860, 528), (-91, 2529, 1160),
    (3769, 441, 544), (787, 787, 829), (531, 479, 492), (-341, 271, 531), (531, -193, 228), (8, -227, 71),
    (429, 416, -78), (-333, 319, 0), (518, -54, -284), (0, 0, 0))) / 4096


def srgb(light):
    light = np.clip(light, 0, 1)
    return np.where(light <= .0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - .055) * 255


def printed(ink):
    """CMYK, 1 is full ink, without a profile."""
    root = 0
    for spot, primary in enumerate(PRIMARIES):
        share = np.prod([ink[..., i] if spot >> i & 1 else 1 - ink[..., i] for i in range(4)], 0)
        root += share[..., None] * primary
    return np.rint(srgb(np.maximum(root, 0) ** 2)).astype(np.uint8)


def lab_samples(rgb, bits, ranges=(100, 170, 200), offsets=(0, .5, .375)):
    most = 2 ** bits - 1
    samples = lab_of(rgb) / ranges * most + np.array(offsets) * 2 ** bits
    return np.clip(np.rint(samples), 0, most).astype(np.int64)


def lab_colour(*parameters):
    return box(b"colr", struct.pack(f">BBBI{len(parameters)}I", 1, 0, 0, CIELAB, *parameters))


def converted(samples, icc, mode):
    """By lcms2, relative with black point compensation."""
    done = ImageCms.profileToProfile(Image.fromarray(samples, mode), io.BytesIO(icc), ImageCms.createProfile("sRGB"), 1,
                                     outputMode="RGB", flags=0x2000)
    return np.asarray(done) if mode == "RGB" else np.asarray(done)[..., 0]


def gray_profile(gamma=1.8):
    """A minimal one of version 2."""
    tags = {b"wtpt": b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061),
            b"kTRC": b"curv\0\0\0\0" + struct.pack(">IHH", 1, int(gamma * 256), 0)}
    table, data = struct.pack(">I", len(tags)), b""
    for name, body in tags.items():
        table += name + struct.pack(">II", 132 + 12 * len(tags) + len(data), len(body))
        data += body
    head = struct.pack(">I4xI4s4s4s", 132 + 12 * len(tags) + len(data), 0x02100000, b"mntr", b"GRAY", b"XYZ ")
    head += b"\0" * 12 + b"acsp" + b"\0" * 28 + struct.pack(">3i", 63190, 65536, 54061)
    return head + b"\0" * (128 - len(head)) + table + data


def any_profile(icc):
    return box(b"colr", b"\3\0\0" + icc)


def colours():
    ink = np.dstack([255 - scene(), opacity() // 2])
    for bits in (8, 12, 16):
        samples = np.rint(ink * ((2 ** bits - 1) / 255)).astype(np.uint16)
        yield Kind(f"cmyk{bits}.jp2", wrapped(compressed(samples, bits=bits), 4, CMYK),
                   printed(samples / (2 ** bits - 1)), most=3)
    five = compressed(np.dstack([ink, opacity()]))
    yield Kind("cmyk-alpha.jp2", wrapped(five, 5, CMYK, definitions(*COLOURS, (0, 4), (1, 0))),
               np.dstack([printed(ink / 255), opacity()]), most=3)
    yield Kind("kymc.jp2", wrapped(compressed(ink[..., ::-1], "-mct", "0"), 4, CMYK,
                                   definitions((0, 4), *COLOURS[::-1])), printed(ink / 255), most=3)

    # Eight bits of Lab are coarse.
    yield Kind("lab8.jpx", wrapped(compressed(lab_samples(scene(), 8), "-mct", "0"), 3, LAB), scene(), mean=1.5, most=9)
    yield Kind("lab16.jpx", wrapped(compressed(lab_samples(scene(), 16), "-mct", "0", bits=16), 3, LAB), scene(),
               mean=.6, most=2)
    signs = signed(lab_samples(scene(), 8, (100, 255, 255), (0, .5, .5)), 8)
    stream = compressed(signs, "-mct", "0", is_signed=True)
    for name, more in (("", ()), ("-d50", (0x00443530,))):
        yield Kind(f"lab-ranges{name}.jpx", wrapped(stream, 3, lab_colour(100, 0, 255, 128, 255, 128, *more)), scene(),
                   mean=1.5, most=9)

    # Inside of sRGB: at its edge a step of the one is many of the other.
    wide, mild = adobe_like_profile(), scene() // 4 + 96
    plain, deep, want = compressed(mild), deep_scene() // 4 + (96 << 8), converted(mild, wide, "RGB")
    yield Kind("profile.jp2", wrapped(plain, 3, profile(wide)), want, most=2)
    yield Kind("any-profile.jpx", wrapped(plain, 3, any_profile(wide)), want, most=2)
    yield Kind("profile16.jp2", wrapped(compressed(deep, bits=16), 3, profile(wide)),
               converted(rounded(deep), wide, "RGB"), mean=.6, most=2)
    yield Kind("profile-alpha.jp2", wrapped(compressed(np.dstack([mild, opacity()])), 4, profile(wide),
                                            definitions(*COLOURS, (1, 0))), np.dstack([want, opacity()]), most=3)
    stream = subsampled(list(ycc(mild).transpose(2, 0, 1)), ((1, 1), (2, 2), (2, 2)))
    yield Kind("profile-of-ycc420.jp2", wrapped(stream, 3, profile(wide)), want, mean=1, most=8)
    want = converted(gray_scene(), gray_profile(), "L")
    yield Kind("gray-profile.jp2", wrapped(compressed(gray_scene()), 1, profile(gray_profile())), want)
    yield Kind("gray-profile16.jp2", wrapped(compressed(gray_scene().astype(np.uint16) * 257, bits=16), 1,
                                             profile(gray_profile())), want)
    stream, vendors = compressed(scene()), box(b"colr", b"\4\0\0" + b"vendor's own 1234")
    yield Kind("broken-profile.jp2", wrapped(stream, 3, profile(b"\0" * 16 + b"RGB " + b"\0" * 200)), scene())
    yield Kind("second-colour.jpx", wrapped(stream, 3, vendors, enumerated(21), RGB, YCC), scene())


def structure():
    picture, gray = scene(), gray_scene()
    for order in ("LRCP", "RLCP", "RPCL", "PCRL", "CPRL"):
        yield Kind(f"{order}.j2k", compressed(picture, "-p", order), picture)
        precincts = ("-c", "[16,16],[8,8]", "-b", "8,8", "-n", "3")
        yield Kind(f"{order}-tiles.j2k", compressed(picture, "-p", order, "-t", "40,30", *precincts), picture)
        yield Kind(f"{order}-layers.j2k", compressed(picture, "-p", order, "-r", "30,9,1", "-t", "64,64"), picture)
    for name, words in {
            "offset": ("-d", "5,3"), "tile-offset": ("-d", "37,21", "-T", "5,3", "-t", "50,50", "-n", "4"),
            "tiles-far": ("-d", "300,200", "-T", "290,190", "-t", "33,31", "-n", "3"),
            "levels0": ("-n", "1"), "levels6": ("-n", "7"),
            "poc": ("-t", "64,64", "-n", "5", "-POC", "T1=0,0,1,3,3,RLCP/T1=3,0,1,5,3,CPRL"),
            "plt": ("-PLT", "-t", "50,50"), "tlm": ("-TLM", "-t", "50,50"), "sop": ("-SOP",), "eph": ("-EPH",),
            "parts-r": ("-TP", "R", "-t", "50,50"),
            "parts-c": ("-TP", "C", "-p", "CPRL", "-PLT", "-TLM"), "parts-l": ("-TP", "L", "-r", "30,9,1"),
            "roi": ("-ROI", "c=0,U=12"), "comment": ("-C", "a comment"), "precincts": ("-c", "[32,32]", "-b", "16,16"),
            "blocks": ("-b", "4,64"), "no-mct": ("-mct", "0"), "guard": ("-GuardBits", "5")}.items():
        yield Kind(f"{name}.j2k", compressed(picture, *words), picture)
    for mode in (1, 2, 4, 8, 16, 32, 63):
        yield Kind(f"mode{mode}.j2k", compressed(picture, "-M", str(mode)), picture)
    for name, words in {"97": (), "97-tiles": ("-t", "50,50", "-n", "4"), "97-layers": ("-q", "30,40,50"),
                        "97-offset": ("-d", "5,3")}.items():
        yield Kind(f"irreversible-{name}.j2k", compressed(picture, "-I", *words), picture, mean=1, most=8, seam=2)
        yield Kind(f"irreversible-{name}-gray.j2k", compressed(gray, "-I", *words), gray, mean=1, most=8, seam=2)
    segments, parts = taken_apart(compressed(picture, "-t", "50,50"))
    more = [(CRG, struct.pack(">6H", *range(6))), (COM, b"\0\1what is this?"), (PLM, b"\0\1\5")]
    yield Kind("crg-com-plm.j2k", put_together(segments + more, parts), picture)
    marked = compressed(picture, "-SOP", "-EPH", "-t", "50,50", "-n", "3")
    yield Kind("ppt.j2k", with_packed_headers(marked, PPT), picture)
    yield Kind("ppm.j2k", with_packed_headers(marked, PPM), picture)
    small, small_gray, small_deep = scene(48, 40), gray_scene(48, 40), deep_scene(48, 40, 1)
    # By Debian's ojph_compress: -reversible true, -qstep 0.02, -reversible true; -num_decomps 3.
    for name, want, options in (("gray", small_gray, {}), ("rgb", small, {"mean": 2, "most": 8, "seam": 2}),
                                ("gray12", rounded(small_deep), {})):
        yield Kind(f"ht-{name}.j2k", (CORPUS / f"ht-{name}.j2k").read_bytes(), want, **options)
    for w, h in ((1, 1), (1, 40), (40, 1), (3, 2), (17, 16), (33, 31)):
        levels = ("-n", str(min(w, h).bit_length()))
        yield Kind(f"small-{w}x{h}.j2k", compressed(scene(w, h), *levels), scene(w, h), mean=1)
        deep = deep_scene(w, h)
        yield Kind(f"small-{w}x{h}-deep.j2k", compressed(deep, *levels, bits=16), rounded(deep), mean=1)


def long_box(kind, content):
    return struct.pack(">I4sQ", 1, kind, 16 + len(content)) + content


def endless_box(kind, content):
    return struct.pack(">I4s", 0, kind) + content


def file_of(*boxes, brand=b"jpx "):
    return b"\0\0\0\x0cjP  \r\n\x87\n" + box(b"ftyp", brand + b"\0\0\0\0" + brand) + b"".join(boxes)


def image_header(components=3):
    return box(b"ihdr", struct.pack(">IIHBBBB", H, W, components, 7, 7, 0, 0))


def boxes():
    picture = scene()
    stream, other = compressed(picture), compressed(255 - picture)
    swapped = compressed(picture[..., ::-1])
    swap = definitions(*COLOURS[::-1])
    header = box(b"jp2h", image_header() + RGB)
    code, note = box(b"jp2c", stream), box(b"xml ", b"<note/>")
    need = box(b"rreq", b"\1\xc0\x40\0\1\0\5\x80\0\0")
    for name, content in {
            "between.jp2": (note, header, note, box(b"uuid", b"\0" * 40), code, note, note),
            "code-first.jp2": (code, header), "code-first-notes.jp2": (note, code, note, header, note),
            "endless-code.jp2": (header, endless_box(b"jp2c", stream)),
            "long-code.jp2": (header, long_box(b"jp2c", stream)),
            "long-header.jp2": (long_box(b"jp2h", image_header() + long_box(b"colr", b"\1\0\0\0\0\0\x10")), code),
            "endless-colour.jp2": (box(b"jp2h", image_header() + endless_box(b"colr", b"\1\0\0\0\0\0\x10")), code),
            "garbage-behind.jp2": (header, code, b"\xff\xfe garbage that is no box"),
            "code-first-garbage.jp2": (code, b"\xff\xfe garbage that is no box"),
            "no-colour.jp2": (box(b"jp2h", image_header()), code),
            "bpcc.jp2": (box(b"jp2h", image_header() + box(b"bpcc", b"\7\7\7") + RGB), code),
            "reader-requirements.jpx": (need, header, code),
            "several.jpx": (need, header, code, box(b"jp2c", other)),
            "several-headers.jpx": (need, header, box(b"jpch", image_header()), box(b"jplh", box(b"cgrp", RGB)),
                                    box(b"jpch", image_header()), box(b"jplh", box(b"cgrp", YCC) + swap),
                                    code, box(b"jp2c", other)),
            "own-headers.jpx": (need, box(b"jp2c", swapped), box(b"jpch", image_header()),
                                box(b"jplh", box(b"cgrp", RGB) + swap)),
            "layer-over-file.jpx": (box(b"jp2h", image_header() + YCC),
                                    box(b"jplh", box(b"cgrp", RGB) + swap), box(b"jp2c", swapped))}.items():
        yield Kind(name, file_of(*content, brand=b"jp2 " if name.endswith("2") else b"jpx "), picture)


def cut(stream, n):
    return stream[:len(stream) - n]


def nested(levels):
    """Groups of colours within groups."""
    groups = b"".join(struct.pack(">I4s", 8 * (levels - i), b"cgrp") for i in range(levels))
    return box(b"jp2h", image_header() + groups)


def refusals():
    picture = scene()
    stream, tiled = compressed(picture), compressed(picture, "-t", "50,50")
    for name, data in {"cut-tile": cut(tiled, 60), "cut-half": cut(tiled, len(tiled) // 2), "cut-head": tiled[:60],
                       "no-code": file_of(box(b"jp2h", image_header() + RGB)),
                       "long-box": file_of(box(b"jp2h", image_header()), struct.pack(">I4sQ", 1, b"jp2c", 1 << 60)),
                       "deep-groups": file_of(nested(300000)),
                       "few-channels": wrapped(stream, 3, CMYK),
                       "no-mapping": wrapped(compressed(gray_scene()), 1, RGB, columns([[1, 2, 3]], 8, 8, 8)),
                       "short-palette": wrapped(compressed(gray_scene()), 1, RGB, RGB_MAP,
                                                box(b"pclr", b"\1\0\3\7\7\7 too short"))}.items():
        yield Refusal(f"{name}.jp2", data, 500, "damaged")
    deep = bytearray(compressed(gray_scene()))
    deep[42] = 37
    segments, parts = taken_apart(stream)
    four = np.dstack([picture, opacity()])
    halves = subsampled(list(four.transpose(2, 0, 1)), ((1, 1), (1, 1), (1, 1), (2, 2)))
    chroma = subsampled(list(picture.transpose(2, 0, 1)), ((1, 1), (2, 2), (2, 1)))
    for name, data in {
            "bits38": bytes(deep), "matrix": put_together(segments + [(0xff74, b"\0" * 8)], parts),
            "nine": compressed(np.dstack([picture] * 3), "-mct", "0"), "five": compressed(np.dstack([four, opacity()])),
            "romm": wrapped(stream, 3, enumerated(21)), "ycck": wrapped(compressed(four), 4, enumerated(13)),
            "lab-d65": wrapped(stream, 3, lab_colour(100, 0, 170, 128, 200, 96, 0x00443635)),
            "halved-opacity": wrapped(halves, 4, RGB, definitions(*COLOURS, (1, 0))),
            "two-chromas": wrapped(chroma, 3, YCC),
            "fragments": file_of(box(b"jp2h", image_header() + RGB), box(b"ftbl", b"\0" * 20))}.items():
        yield Refusal(f"{name}.jpx", data, 501, "unsupported")


SECTIONS = (depths, palettes, channels, sampled, colours, structure, boxes)
KINDS = {kind.name: kind for section in SECTIONS for kind in section()}
REFUSALS = {refusal.name: refusal for refusal in refusals()}


@pytest.fixture(scope="module")
def client(binary, scratch):
    with served(binary, scratch, "jp2", [*KINDS.values(), *REFUSALS.values()]) as client:
        yield client


@pytest.mark.parametrize("name", KINDS)
def test_kind(client, name):
    check(client, KINDS[name])


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal(client, name):
    check_refusal(client, REFUSALS[name])
