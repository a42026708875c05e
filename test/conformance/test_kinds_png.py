# SPDX-License-Identifier: BSD-2-Clause
"""Every kind of PNG."""
import struct

import numpy as np
import pytest
from make_images import adobe_like_profile, exif
from pngs import GRAY, GRAY_ALPHA, PALETTE, RGB, RGB_ALPHA, chunk, icc_chunk, png
from profiles import gray_profile

from kinds import (Kind, Refusal, check, check_refusal, deep_scene, gray_scene, near, rounded, scene, served, shown,
                   strict_and_lenient)

SRGB = ((.64, .33), (.30, .60), (.15, .06), (.3127, .3290))
ADOBE = ((.64, .33), (.21, .71), (.15, .06), (.3127, .3290))
BT2020 = ((.708, .292), (.170, .797), (.131, .046), (.3127, .3290))
CODED_P3, CODED_SRGB, CODED_BT2020 = (chunk(b"cICP", bytes(code)) for code in ((12, 13, 0, 1), (1, 13, 0, 1), (9, 14, 0, 1)))
P3 = ((.68, .32), (.265, .69), (.15, .06), (.3127, .3290))


def few_bits(bits):
    samples = gray_scene() >> (8 - bits)
    return samples, np.rint(samples * (255 / (2 ** bits - 1))).astype(np.uint8)


def opacity(w=97, h=67):
    return np.rint(np.tile(np.linspace(0, 255, w), (h, 1))).astype(np.uint8)


def gama(value):
    return chunk(b"gAMA", struct.pack(">I", value))


def chrm(xy):
    return chunk(b"cHRM", b"".join(struct.pack(">II", round(x * 1e5), round(y * 1e5)) for x, y in (xy[3], *xy[:3])))


def srgb_light(v):
    return np.where(v <= .04045, v / 12.92, ((v + .055) / 1.055) ** 2.4)


def bt709_light(v):
    return np.where(v < .0812, v / 4.5, ((v + .0993) / 1.0993) ** (1 / .45))


def of_light(light):
    light = np.clip(light, 0, 1)
    return np.rint(255 * np.where(light <= .0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - .055)).astype(np.uint8)


def to_xyz(xy):
    """The matrix of linear RGB of these primaries and white, all D65 here, to XYZ."""
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in xy]).T
    return columns[:, :3] * np.linalg.solve(columns[:, :3], columns[:, 3])


def seen(samples, light, xy=SRGB):
    """In sRGB what samples of 0 to 1 in these colours show."""
    linear = light(samples)
    return of_light(linear if samples.ndim == 2 else linear @ (np.linalg.inv(to_xyz(SRGB)) @ to_xyz(xy)).T)


def plain():
    for bits in (1, 2, 4):
        samples, want = few_bits(bits)
        half = 40 if bits == 1 else 12
        yield Kind(f"gray{bits}.png", png(samples, GRAY, bits), want, half=half)
        yield Kind(f"gray{bits}-interlaced.png", png(samples, GRAY, bits, interlaced=True), want, half=half)
    deep, deep_gray = deep_scene(), deep_scene(channels=1)
    for name, interlaced in (("", False), ("-interlaced", True)):
        yield Kind(f"gray8{name}.png", png(gray_scene(), GRAY, 8, interlaced=interlaced), gray_scene())
        yield Kind(f"rgb8{name}.png", png(scene(), RGB, 8, interlaced=interlaced), scene())
        yield Kind(f"gray16{name}.png", png(deep_gray, GRAY, 16, interlaced=interlaced), rounded(deep_gray))
        yield Kind(f"rgb16{name}.png", png(deep, RGB, 16, interlaced=interlaced), rounded(deep))
    for interlaced in (False, True):
        for w, h in ((1, 1), (1, 9), (9, 1), (3, 2)):
            small = scene(97, 67)[5:5 + h, 5:5 + w]
            yield Kind(f"{w}x{h}-{interlaced}.png", png(small, RGB, 8, interlaced=interlaced), small)


def clear():
    """Opacity of every kind."""
    o, deep, deep_gray = opacity(), deep_scene(), deep_scene(channels=1)
    for interlaced in (False, True):
        def kind(name, samples, colour_type, bits, want, before=b""):
            return Kind(f"{name}-{interlaced}.png", png(samples, colour_type, bits, before, interlaced), want, 1, half=70)
        yield kind("gray-alpha8", np.dstack([gray_scene(), o]), GRAY_ALPHA, 8, np.dstack([gray_scene(), o]))
        yield kind("rgb-alpha8", np.dstack([scene(), o]), RGB_ALPHA, 8, np.dstack([scene(), o]))
        deep_o = o.astype(np.uint16) * 257
        yield kind("gray-alpha16", np.dstack([deep_gray, deep_o]), GRAY_ALPHA, 16, np.dstack([rounded(deep_gray), o]))
        yield kind("rgb-alpha16", np.dstack([deep, deep_o]), RGB_ALPHA, 16, np.dstack([rounded(deep), o]))
        for bits in (1, 2, 4, 8):
            samples, want = few_bits(bits)
            key = int(samples[30, 40])
            yield kind(f"gray{bits}-key", samples, GRAY, bits, np.dstack([want, np.where(samples == key, 0, 255)]),
                       chunk(b"tRNS", struct.pack(">H", key)))
        # Keys of 16 bits must not hide neighbours that are equal in 8.
        key = int(deep_gray[30, 40])
        yield kind("gray16-key", deep_gray, GRAY, 16, np.dstack([rounded(deep_gray), np.where(deep_gray == key, 0, 255)]),
                   chunk(b"tRNS", struct.pack(">H", key)))
        for name, samples, bits, want in (("rgb8-key", scene(), 8, scene()), ("rgb16-key", deep, 16, rounded(deep))):
            key = samples[30, 40]
            hidden = np.where((samples == key).all(axis=2), 0, 255)
            yield kind(name, samples, RGB, bits, np.dstack([want, hidden]), chunk(b"tRNS", struct.pack(">3H", *key)))


def palettes():
    for bits in (1, 2, 4, 8):
        n = 2 ** bits
        colours = np.stack([np.linspace(20, 250, n), np.linspace(240, 0, n), np.linspace(0, 130, n)], 1).astype(np.uint8)
        opaque = np.linspace(0, 255, n // 2 + 1).astype(np.uint8)
        samples = gray_scene() >> (8 - bits)
        plte, trns = chunk(b"PLTE", colours.tobytes()), chunk(b"tRNS", opaque.tobytes())
        hidden = np.concatenate([opaque, np.full(n - len(opaque), 255)])[samples]
        for interlaced in (False, True):
            yield Kind(f"palette{bits}-{interlaced}.png", png(samples, PALETTE, bits, plte, interlaced), colours[samples], half=60)
            yield Kind(f"palette{bits}-clear-{interlaced}.png", png(samples, PALETTE, bits, plte + trns, interlaced),
                       np.dstack([colours[samples], hidden]), 1, half=90)


def colours():
    """One chunk after another that says what the samples mean, and their order of precedence."""
    def rgb(name, before, want, **tolerances):
        return Kind(f"{name}.png", png(scene(), RGB, 8, before), want, **{"mean": .6, "most": 2, **tolerances})
    unit, icc, green = scene() / 255, adobe_like_profile(), chunk(b"sRGB", b"\0")
    as_adobe, as_p3 = seen(unit, lambda v: v ** 2.2, ADOBE), seen(unit, srgb_light, P3)
    dark = seen(unit, lambda v: v ** 1.8)
    yield rgb("linear", gama(100000), seen(unit, lambda v: v))
    yield rgb("gamma18", gama(55556), dark)
    yield rgb("gamma22", gama(45455), scene())
    yield rgb("gamma22-srgb", gama(45455) + chrm(SRGB), scene(), most=0, mean=0)
    yield rgb("adobe-like", gama(45455) + chrm(ADOBE), as_adobe)
    yield rgb("p3-primaries", chrm(P3), as_p3)
    yield rgb("srgb-over-gamma", gama(55556) + chrm(ADOBE) + green, scene())
    yield rgb("srgb-before-gamma", green + gama(55556) + chrm(ADOBE), scene())
    yield rgb("icc-over-gamma", gama(55556) + icc_chunk(icc), as_adobe)
    yield rgb("icc-over-srgb", green + icc_chunk(icc), as_adobe)
    yield rgb("icc-before-srgb", icc_chunk(icc) + green, as_adobe)
    yield rgb("cicp", CODED_P3, as_p3)
    yield rgb("cicp-over-all", gama(55556) + icc_chunk(icc) + CODED_P3, as_p3)
    yield rgb("cicp-srgb-over-icc", icc_chunk(icc) + CODED_SRGB, scene())
    yield rgb("cicp-bt2020", CODED_BT2020, seen(unit, bt709_light, BT2020))
    yield rgb("cicp-unknown", chunk(b"cICP", b"\2\2\0\1") + icc_chunk(icc), as_adobe)
    yield rgb("cicp-with-matrix", chunk(b"cICP", b"\1\1\1\1") + icc_chunk(icc), as_adobe)
    yield rgb("icc-broken", gama(55556) + icc_chunk(icc[:60]), dark)
    yield rgb("icc-gray", gama(55556) + icc_chunk(gray_profile(1.0)), dark)
    yield rgb("gamma-zero", gama(0), scene())
    yield rgb("gamma-absurd", gama(1), scene())
    yield rgb("primaries-absurd", gama(55556) + chrm(((0, 0),) * 4), scene())
    yield rgb("gamma-twice", gama(55556) + gama(100000), dark)
    yield rgb("gamma-cut", chunk(b"gAMA", b"\0\0\1"), scene())
    yield from gray_and_deep(icc)


def gray_and_deep(icc):
    gray, deep = gray_scene() / 255, deep_scene() / 65535
    yield Kind("gray-linear.png", png(gray_scene(), GRAY, 8, gama(100000)), seen(gray, lambda v: v))
    yield Kind("gray-gamma22.png", png(gray_scene(), GRAY, 8, gama(45455)), gray_scene(), 0, 0)
    yield Kind("gray-icc.png", png(gray_scene(), GRAY, 8, icc_chunk(gray_profile(1.0))), seen(gray, lambda v: v))
    yield Kind("gray-cicp.png", png(gray_scene(), GRAY, 8, CODED_BT2020), seen(gray, bt709_light))
    yield Kind("gray-alpha-linear.png", png(np.dstack([gray_scene(), opacity()]), GRAY_ALPHA, 8, gama(100000)),
               np.dstack([seen(gray, lambda v: v), opacity()]))
    yield Kind("deep-linear.png", png(deep_scene(), RGB, 16, gama(100000)), seen(deep, lambda v: v), .6, 2)
    yield Kind("deep-icc.png", png(deep_scene(), RGB, 16, icc_chunk(icc)), seen(deep, lambda v: v ** 2.2, ADOBE), .6, 2)
    ramp = np.tile(np.arange(64, dtype=np.uint16) * 64, (32, 1))
    yield Kind("deep-gray-linear-shadows.png", png(ramp, GRAY, 16, gama(100000)), seen(ramp / 65535, lambda v: v))
    plte = chunk(b"PLTE", np.repeat(np.arange(256, dtype=np.uint8), 3).tobytes())
    yield Kind("palette-linear.png", png(gray_scene(), PALETTE, 8, gama(100000) + plte),
               seen(np.dstack([gray] * 3), lambda v: v), .6, 2)


def broken(whole):
    """The same with a wrong sum behind its last chunk."""
    return whole[:-1] + bytes([whole[-1] ^ 1])


def odd():
    """What surrounds the pixels."""
    whole = png(scene(), RGB, 8)
    start, end = whole.index(b"IDAT") - 4, whole.index(b"IEND") - 4
    body = whole[start + 8:end - 4]
    pieces = b"".join(chunk(b"IDAT", body[i:i + 97]) for i in range(0, len(body), 97))
    yield Kind("many-idats.png", whole[:start] + chunk(b"IDAT", b"") + pieces + whole[end:], scene())
    yield Kind("no-iend.png", whole[:end], scene())
    yield Kind("trailing.png", whole + b"garbage" * 99, scene())
    yield Kind("bad-sums.png", png(scene(), RGB, 8, broken(gama(100000)) + broken(CODED_P3) + broken(chunk(b"tEXt", b"Title\0none"))), scene())
    frame = struct.pack(">IIIIIHHBB", 0, 97, 67, 0, 0, 1, 10, 0, 0)
    moving = chunk(b"acTL", struct.pack(">II", 2, 0)) + chunk(b"fcTL", frame)
    second = chunk(b"fcTL", struct.pack(">I", 1) + frame[4:]) + chunk(b"fdAT", struct.pack(">I", 2) + body)
    yield Kind("animated.png", png(scene(), RGB, 8, moving, after=second), scene())
    still = chunk(b"acTL", struct.pack(">II", 1, 0))
    yield Kind("animated-apart.png", png(scene(), RGB, 8, still, after=chunk(b"fcTL", frame) + second[38:]), scene())
    for n, turn in {3: lambda p: p[::-1, ::-1], 5: lambda p: p.transpose(1, 0, 2), 6: lambda p: np.rot90(p, -1)}.items():
        yield Kind(f"turned{n}.png", png(scene(), RGB, 8, chunk(b"eXIf", exif(n)[6:])), turn(scene()))
    yield Kind("turned6-deep.png", png(deep_scene(), RGB, 16, chunk(b"eXIf", exif(6)[6:]), True), np.rot90(rounded(deep_scene()), -1))
    yield Kind("turned-by-bad-sum.png", png(scene(), RGB, 8, broken(chunk(b"eXIf", exif(6)[6:]))), scene())


def kinds():
    for group in (plain, clear, palettes, colours, odd):
        yield from group()


def refusals():
    for name, code in (("pq", (9, 16, 0, 1)), ("hlg", (9, 18, 0, 1)), ("narrow", (1, 1, 0, 0))):
        yield Refusal(f"{name}.png", png(scene(), RGB, 8, chunk(b"cICP", bytes(code))), 501, "unsupported")
    plte = chunk(b"PLTE", bytes(768))
    yield Refusal("palette-bad-sum.png", png(gray_scene(), PALETTE, 8, broken(plte)), 500, "damaged")
    yield Refusal("no-palette.png", png(gray_scene(), PALETTE, 8), 500, "damaged")
    yield Refusal("unknown-critical.png", png(scene(), RGB, 8, chunk(b"ABCD", b"")), 500, "damaged")
    yield Refusal("three-bits.png", png(gray_scene(), GRAY, 3), 500, "damaged")


def damaged():
    """(name, data, rows that are surely there) of pictures whose lower part is lost."""
    whole, passes = png(scene(), RGB, 8), png(scene(), RGB, 8, interlaced=True)
    start, end = whole.index(b"IDAT") + 4, whole.index(b"IEND") - 4
    yield "cut.png", whole[:start + (end - start) // 2], 20
    yield "cut-deep.png", png(deep_scene(), RGB, 16)[:-9000], 20
    # Six of seven passes: the even rows.
    yield "cut-interlaced.png", passes[:-3000], 0
    yield "bad-sum.png", whole[:end - 1] + bytes([whole[end - 1] ^ 1]) + whole[end:], 67
    yield "bad-pixels.png", whole[:start + 9000] + b"\xff" * 99 + whole[start + 9099:], 30


KINDS = {kind.name: kind for kind in kinds()}
REFUSALS = {refusal.name: refusal for refusal in refusals()}
DAMAGED = {name: (data, rows) for name, data, rows in damaged()}


@pytest.fixture(scope="module")
def client(binary, scratch):
    damaged_ones = strict_and_lenient({name: data for name, (data, _) in DAMAGED.items()})
    with served(binary, scratch, "png", [*KINDS.values(), *REFUSALS.values(), *damaged_ones]) as client:
        yield client


@pytest.mark.parametrize("name", KINDS)
def test_kind(client, name):
    check(client, KINDS[name])


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal(client, name):
    check_refusal(client, REFUSALS[name])


@pytest.mark.parametrize("name", DAMAGED)
def test_damage(client, name):
    """An error, or by recover the rows that are there, on white."""
    rows = DAMAGED[name][1]
    assert client.get(f"/iiif/3/strict-{name}/full/max/0/default.png").status == 500
    picture = shown(client, name, "full/max/0/default.png")
    if rows:
        near(picture[:rows], scene().astype(np.float32)[:rows], .5, 1, name)
    else:
        near(picture[::2], scene().astype(np.float32)[::2], .5, 1, name)
        assert np.abs(picture - scene()).mean() < 12
    if name.startswith("cut.") or name == "cut-deep.png":
        assert (picture[-1] == 255).all()


def test_ignored_profiles_are_logged(client):
    shown(client, "icc-broken.png", "full/31,/0/default.png")
    shown(client, "primaries-absurd.png", "full/31,/0/default.png")
    log = client.stack.log("lorikeet-a.log") + client.stack.log("lorikeet-b.log")
    assert "a profile that libpng refuses is ignored" in log and "primaries that make no sense are ignored" in log
