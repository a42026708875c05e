# SPDX-License-Identifier: BSD-2-Clause
"""Every kind of HEIC and AVIF: coded by heif-enc, put together by heifs.py. The codecs are lossy: what was put in is wanted,
within their loss."""
import numpy as np
import pytest
from heifs import box, coded, heif, imir, irot, nclx
from make_images import adobe_like_profile
from pngs import GRAY, RGB, RGB_ALPHA, icc_chunk, png
from profiles import gray_profile

from kinds import Kind, Refusal, check, check_refusal, deep_scene, gray_scene, rounded, scene, served

FINE = ("-q", "97", "-p", "chroma=444")
BOTH = ("avif", "heic")
# What adobe_like_profile means, and P3, in linear sRGB.
WIDE = np.array([(1.3985, 0, 0), (-.3985, 1, -.043), (0, 0, 1.043)])
P3 = np.array([(1.2249, -.2247, 0), (-.0420, 1.0419, 0), (-.0197, -.0786, 1.0979)])


def opacity(w, h):
    return np.rint(np.tile(np.linspace(0, 255, w), (h, 1))).astype(np.uint8)


def srgb(light):
    light = np.clip(light, 0, 1)
    return np.rint(255 * np.where(light <= .0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - .055)).astype(np.uint8)


def light_of(picture):
    v = picture / 255
    return np.where(v <= .04045, v / 12.92, ((v + .055) / 1.055) ** 2.4)


def gray_rgb(picture):
    return np.dstack([picture] * 3)


def codings():
    for kind in BOTH:
        for chroma in ("420", "422", "444"):
            yield Kind(f"{chroma}.{kind}", coded(scene(), kind, "-q", "97", "-p", f"chroma={chroma}"), scene(), 2, 14)
        exact = ("-L", "-p", "chroma=444", "--matrix_coefficients=0")
        yield Kind(f"lossless.{kind}", coded(scene(), kind, *exact), scene(), .5, 1)
        for matrix in (1, 6, 9):
            for full in (0, 1):
                data = coded(scene(), kind, *FINE, f"--matrix_coefficients={matrix}", f"--full_range_flag={full}")
                yield Kind(f"matrix{matrix}-{full}.{kind}", data, scene(), 1.5, 9)
        yield Kind(f"mono.{kind}", coded(gray_scene(), kind, "-q", "97"), gray_rgb(gray_scene()), 1, 6)
        clear = np.dstack([scene(), opacity(97, 67)])
        yield Kind(f"clear.{kind}", coded(clear, kind, *FINE), clear, 2, 14)
        yield Kind(f"thumbnail.{kind}", coded(scene(), kind, *FINE, "-t", "32"), scene(), 1.5, 9)
        yield Kind(f"small.{kind}", coded(scene()[:9, :5], kind, *FINE), scene()[:9, :5], 2.5, 12)


def deep():
    o = opacity(97, 67)
    clear = np.dstack([deep_scene(), o.astype(np.uint16) * 257])
    # Of 10 bits heif-enc codes AVIF in this one way only.
    ten = coded(png(deep_scene(), RGB, 16), "avif", "-q", "97", "-p", "chroma=422", "-b", "10")
    yield Kind("deep10.avif", ten, rounded(deep_scene()), 2, 14)
    for kind, bits in (("avif", 12), ("heic", 10), ("heic", 12)):
        many = (*FINE, "-b", str(bits))
        yield Kind(f"deep{bits}.{kind}", coded(png(deep_scene(), RGB, 16), kind, *many), rounded(deep_scene()), 1.5, 9)
        gray = deep_scene(channels=1)
        yield Kind(f"deep{bits}-mono.{kind}", coded(png(gray, GRAY, 16), kind, *many), gray_rgb(rounded(gray)), 1, 6)
        yield Kind(f"deep{bits}-clear.{kind}", coded(png(clear, RGB_ALPHA, 16), kind, *many),
                   np.dstack([rounded(deep_scene()), o]), 2, 14)
        want = srgb((deep_scene() / 65535) ** 2.2 @ WIDE)
        yield Kind(f"deep{bits}-icc.{kind}", coded(png(deep_scene(), RGB, 16, icc_chunk(adobe_like_profile())), kind, *many),
                   want, 3, 30)


def coloured():
    for kind in BOTH:
        icc = adobe_like_profile()
        want = srgb((scene() / 255) ** 2.2 @ WIDE)
        data = coded(png(scene(), RGB, 8, icc_chunk(icc)), kind, *FINE)
        yield Kind(f"icc.{kind}", data, want, 2.5, 25)
        linear = coded(png(gray_scene(), GRAY, 8, icc_chunk(gray_profile(1.0))), kind, "-q", "97")
        yield Kind(f"gray-icc.{kind}", linear, srgb(gray_scene() / 255), 2, 14)
        tile = [coded(scene(128, 80), kind, *FINE)]

        def by_code(primaries, transfer):
            return heif(128, 80, tile, 1, 128, 80, (nclx(primaries, transfer, 6, 1),), kind)
        yield Kind(f"code-srgb.{kind}", by_code(1, 13), scene(128, 80), 1.5, 9)
        yield Kind(f"code-none.{kind}", by_code(2, 2), scene(128, 80), 1.5, 9)
        yield Kind(f"code-p3.{kind}", by_code(12, 13), srgb(light_of(scene(128, 80)) @ P3.T), 2.5, 25)
        yield Kind(f"code-linear.{kind}", by_code(1, 8), srgb(scene(128, 80) / 255), 2.5, 25)
        both = heif(128, 80, tile, 1, 128, 80, (nclx(12, 13, 6, 1), box(b"colr", b"prof" + icc)), kind)
        yield Kind(f"code-and-icc.{kind}", both,
                   srgb((scene(128, 80) / 255) ** 2.2 @ WIDE), 2.5, 25)


def assembled():
    for kind in BOTH:
        picture = scene(128, 128)
        tiles = [coded(np.ascontiguousarray(picture[y:y + 64, x:x + 64]), kind, *FINE) for y in (0, 64) for x in (0, 64)]
        for name, properties, turn in (("", (), lambda p: p), ("-turned", (irot(1),), np.rot90),
                                       ("-mirrored", (imir(1),), lambda p: p[:, ::-1]),
                                       ("-flipped", (imir(0),), lambda p: p[::-1]),
                                       ("-both", (irot(3), imir(0)), lambda p: np.rot90(p, 3)[::-1])):
            yield Kind(f"grid{name}.{kind}", heif(119, 101, tiles, 2, 64, 64, properties, kind), turn(picture[:101, :119]), 1.5, 9)
        whole = [coded(scene(128, 80), kind, *FINE)]
        for quarters in range(4):
            yield Kind(f"turned{quarters}.{kind}", heif(128, 80, whole, 1, 128, 80, (irot(quarters),), kind),
                       np.rot90(scene(128, 80), quarters), 1.5, 9)


def kinds():
    for group in (codings, deep, coloured, assembled):
        yield from group()


def refusals():
    tile = [coded(scene(128, 80), "avif", *FINE)]
    for name, transfer in (("pq", 16), ("hlg", 18)):
        yield Refusal(f"{name}.avif", heif(128, 80, tile, 1, 128, 80, (nclx(9, transfer, 6, 1),)), 501, "unsupported")
    whole = coded(scene(), "heic", *FINE)
    yield Refusal("jpeg-inside.heif", whole.replace(b"ftypheic", b"ftypjpeg"), 501, "unsupported")
    yield Refusal("cut-header.heic", whole[:200], 500, "damaged")


KINDS = {kind.name: kind for kind in kinds()}
REFUSALS = {refusal.name: refusal for refusal in refusals()}


@pytest.fixture(scope="module")
def client(binary, scratch):
    cut = [Refusal(f"cut.{kind}", coded(scene(), kind, *FINE)[:-400], 500, "damaged") for kind in BOTH]
    with served(binary, scratch, "heif", [*KINDS.values(), *REFUSALS.values(), *cut]) as client:
        yield client


@pytest.mark.parametrize("name", KINDS)
def test_kind(client, name):
    check(client, KINDS[name])


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal(client, name):
    check_refusal(client, REFUSALS[name])


@pytest.mark.parametrize("kind", BOTH)
def test_damage(client, kind):
    assert client.get(f"/iiif/3/cut.{kind}/full/max/0/default.png").status == 500
