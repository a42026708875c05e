# SPDX-License-Identifier: BSD-2-Clause
"""Every kind of PSD and PSB, written by hand. Lab is wanted as lcms2 (Pillow's) and a formula of ours see it."""
import struct

import numpy as np
import pytest
from make_images import adobe_like_profile
from profiles import gray_profile
from psds import BITMAP, CMYK, DUOTONE, INDEXED, LAB, MULTICHANNEL, packbits, psd, resource, transparent

from kinds import (Kind, Refusal, check, check_refusal, deep_scene, gray_scene, near, printed, rounded, scene, served,
                   shown, strict_and_lenient)

D50 = np.array((.9642, 1, .8249))
# Bradford's, from D50 to the D65 of sRGB, and on to its light.
TO_SRGB = np.array([(3.1338561, -1.6168667, -.4906146), (-.9787684, 1.9161415, .0334540), (.0719453, -.2289914, 1.4052427)])


def opacity(w=97, h=67):
    return np.rint(np.tile(np.linspace(255, 40, w), (h, 1))).astype(np.uint8)


def of_lab(lightness, a, b):
    fy = (lightness + 16) / 116
    f = np.stack([fy + a / 500, fy, fy - b / 200], -1)
    xyz = np.where(f > 6 / 29, f ** 3, (f - 4 / 29) * 3 * (6 / 29) ** 2) * D50
    light = np.clip(xyz @ TO_SRGB.T, 0, 1)
    return np.rint(255 * np.where(light <= .0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - .055)).astype(np.uint8)


def lab_scene():
    """Within sRGB: L of 8 bits, a and b around 128."""
    picture = scene().astype(float)
    a, b = (128 + (picture[..., i] - 128) / 6 for i in (1, 2))
    return np.rint(np.dstack([70 + picture[..., 0] / 2, a, b])).astype(np.uint8)


def on_white(picture, o, most=255):
    share = o[..., None] / most
    return np.rint(picture * share + most * (1 - share)).astype(picture.dtype)


def coded(name, samples, want, mean=.5, most=1, **options):
    """Raw and packed, PSD and PSB."""
    large = options.pop("large_layers", None)
    for compression in (0, 1):
        yield Kind(f"{name}-{compression}.psd", psd(samples, compression, **options), want, mean, most)
        big = {**options, "layers": large} if large else options
        yield Kind(f"{name}-{compression}.psb", psd(samples, compression, large=True, **big), want, mean, most)


def plain():
    deep, deep_gray, gray = deep_scene(), deep_scene(channels=1)[..., None], gray_scene()
    yield from coded("rgb", scene(), scene())
    yield from coded("rgb16", deep, rounded(deep))
    yield from coded("gray", gray[..., None], gray)
    yield from coded("gray16", deep_gray, rounded(deep_gray[..., 0]))
    yield from coded("duotone", gray[..., None], gray, mode=DUOTONE, table=bytes(530))
    yield from coded("duotone16", deep_gray, rounded(deep_gray[..., 0]), mode=DUOTONE, table=bytes(530))
    for kind in coded("bitmap", (gray < 128)[..., None].astype(np.uint8), np.where(gray < 128, 0, 255), mode=BITMAP):
        kind.half = 60
        yield kind
    table = np.stack([np.arange(256), 255 - np.arange(256), np.arange(256) // 2]).astype(np.uint8)
    yield from coded("indexed", gray[..., None], table.T[gray], mode=INDEXED, table=table.tobytes())
    yield Kind("one.psd", psd(scene()[:1, :1], 1), scene()[:1, :1])


def inks_and_lab():
    picture = scene().astype(np.uint8)
    inks = np.dstack([255 - picture, np.rint(gray_scene() / 4).astype(np.uint8)])
    yield from coded("cmyk", 255 - inks, printed(inks), .6, 2, mode=CMYK)
    yield from coded("cmyk16", (255 - inks).astype(np.uint16) * 257, printed(inks), .6, 2, mode=CMYK)
    lab = lab_scene()
    want = of_lab(lab[..., 0] / 2.55, lab[..., 1] - 128., lab[..., 2] - 128.)
    yield from coded("lab", lab, want, .6, 2, mode=LAB)
    fine = np.dstack([lab[..., 0] * 257., lab[..., 1] * 256., lab[..., 2] * 256.]).astype(np.uint16)
    yield from coded("lab16", fine, want, .6, 2, mode=LAB)


def clear():
    o, deep = opacity(), deep_scene()
    deep_o = o.astype(np.uint16) * 257
    options = {"layers": transparent()[4:], "large_layers": transparent(True)[8:]}

    def both(name, colours, want, **more):
        yield from coded(name, np.dstack([on_white(colours, o), o]), np.dstack([want, o]), .8, 3.5, **options, **more)
    yield from both("clear", scene(), scene())
    yield from both("clear-gray", gray_scene()[..., None], gray_scene())
    yield from coded("clear16", np.dstack([on_white(deep, deep_o, 65535), deep_o]), np.dstack([rounded(deep), o]), .8, 2, **options)
    inks = np.dstack([255 - scene(), np.rint(gray_scene() / 4).astype(np.uint8)])
    yield from both("clear-cmyk", 255 - inks, printed(inks), mode=CMYK)
    # A saved selection, and channels of other use.
    yield from coded("selection", np.dstack([scene(), o]), scene(), layers=struct.pack(">h", 3) + bytes(40))
    yield from coded("spots", np.dstack([scene(), o, o, o]), scene())
    yield from coded("clear-and-spots", np.dstack([on_white(scene(), o), o, o, o]), np.dstack([scene(), o]), .8, 3.5, **options)


def described():
    icc = adobe_like_profile()
    light = np.clip((scene() / 255) ** 2.2 @ np.array([[1.3985, 0, 0], [-.3985, 1, -.043], [0, 0, 1.043]]), 0, 1)
    adobe = np.rint(255 * np.where(light <= .0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - .055))
    others = resource(0x03ED, bytes(16)) + resource(0x0421, b"\0\0\0\1\1" + bytes(9)) + resource(0x0404, b"odd")
    yield from coded("icc", scene(), adobe, .8, 3, resources=others + resource(0x040F, icc))
    linear = gray_scene() / 255
    yield from coded("gray-icc", gray_scene()[..., None],
                     np.rint(255 * np.where(linear <= .0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - .055)), .6, 1.5,
                     resources=resource(0x040F, gray_profile(1.0)))
    yield from coded("icc-broken", scene(), scene(), resources=resource(0x040F, b"none"))
    yield from coded("icc-of-another", scene(), scene(), resources=resource(0x040F, gray_profile(1.0)))


def kinds():
    for group in (plain, inks_and_lab, clear, described):
        yield from group()


def refusals():
    whole = psd(scene(), 0)

    def patched(at, *values):
        return whole[:at] + bytes(values) + whole[at + len(values):]
    yield Refusal("multichannel.psd", psd(scene(), 0, mode=MULTICHANNEL), 501, "unsupported")
    yield Refusal("floats.psd", patched(22, 0, 32), 501, "unsupported")
    yield Refusal("zip.psd", psd(scene(), 2), 501, "unsupported")
    yield Refusal("zip-predicted.psd", psd(scene(), 3), 501, "unsupported")
    yield Refusal("mode5.psd", patched(24, 0, 5), 501, "unsupported")
    yield Refusal("bitmap8.psd", patched(24, 0, 0), 501, "unsupported")
    yield Refusal("layers-only.psd", psd(scene(), 0, resources=resource(0x0421, b"\0\0\0\1\0" + bytes(9))), 501, "unsupported")
    yield Refusal("version3.psd", patched(4, 0, 3), 501, "unsupported")
    yield Refusal("two-of-three.psd", patched(12, 0, 2), 500, "damaged")
    yield Refusal("many-channels.psd", patched(12, 0, 57), 500, "damaged")
    yield Refusal("no-table.psd", psd(gray_scene()[..., None], 0, mode=INDEXED), 500, "damaged")
    yield Refusal("wide.psd", patched(18, 0, 0, 117, 49), 500, "damaged")
    yield Refusal("header.psd", whole[:30], 500, "damaged")


def damaged():
    """(name, data) of files that lack the lower half of their last channel."""
    yield "cut.psd", psd(scene(), 0)[:-97 * 33]
    yield "cut16.psd", psd(deep_scene(), 0)[:-97 * 33 * 2]
    lost = sum(len(packbits(scene()[y, :, 2].tobytes())) for y in range(34, 67))
    yield "cut-packed.psd", psd(scene(), 1)[:-lost]
    yield "cut.psb", psd(scene(), 1, large=True)[:-lost]


KINDS = {kind.name: kind for kind in kinds()}
REFUSALS = {refusal.name: refusal for refusal in refusals()}
DAMAGED = dict(damaged())


@pytest.fixture(scope="module")
def client(binary, scratch):
    with served(binary, scratch, "psd", [*KINDS.values(), *REFUSALS.values(), *strict_and_lenient(DAMAGED)]) as client:
        yield client


@pytest.mark.parametrize("name", KINDS)
def test_kind(client, name):
    check(client, KINDS[name])


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal(client, name):
    check_refusal(client, REFUSALS[name])


@pytest.mark.parametrize("name", DAMAGED)
def test_damage(client, name):
    """An error, or by recover the rows that are there in all channels, on white."""
    assert client.get(f"/iiif/3/strict-{name}/full/max/0/default.png").status == 500
    picture = shown(client, name, "full/max/0/default.png")
    near(picture[:34], scene().astype(np.float32)[:34], .5, 1, name)
    assert (picture[34:] == 255).all()
