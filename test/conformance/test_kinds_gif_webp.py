# SPDX-License-Identifier: BSD-2-Clause
"""Every kind of GIF and WebP: what is wanted of animations is their first frame on a clear canvas."""
import io

import numpy as np
import pytest
from gifs import frame, gif
from make_images import adobe_like_profile, exif
from PIL import Image as Picture
from webps import animated, canvas, riff

from kinds import Kind, Refusal, check, check_refusal, gray_scene, near, scene, served, shown, strict_and_lenient

EDGES = 90                     # at half the size, where palettes and opacity have sharp edges


def table(n, seed=0):
    """Colours that go from dark to light."""
    t = np.linspace(0, 1, n)
    return np.rint(np.stack([20 + 220 * t, 235 * t ** (2 + seed), 200 * t], 1)).astype(np.uint8)


def placed(picture, w, h, x, y):
    """On a clear canvas, as RGBA; picture has 3 or 4 channels."""
    canvas = np.zeros((h, w, 4), np.uint8)
    if picture.shape[2] == 3:
        picture = np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)])
    canvas[y:y + picture.shape[0], x:x + picture.shape[1]] = picture[:h - y, :w - x]
    return canvas


def gifs():
    gray = gray_scene()
    for bits in range(1, 9):
        index, colours = gray >> (8 - bits), table(2 ** bits)
        yield Kind(f"table{bits}.gif", gif(97, 67, [frame(index)], colours), colours[index], 1, half=EDGES)
    index, colours = gray >> 4, table(16)
    want = colours[index]

    def kind(name, data, picture=want):
        return Kind(f"{name}.gif", data, picture, 1, half=EDGES)
    yield kind("gif87a", gif(97, 67, [frame(index, control=False)], colours, b"GIF87a"))
    yield kind("interlaced", gif(97, 67, [frame(index, interlaced=True)], colours))
    for h in (1, 2, 3, 5, 9):
        yield kind(f"interlaced{h}", gif(97, h, [frame(index[:h], interlaced=True)], colours), want[:h])
    yield kind("one", gif(1, 1, [frame(index[:1, :1])], colours), want[:1, :1])
    yield kind("local-table", gif(97, 67, [frame(index, table=colours)]))
    yield kind("both-tables", gif(97, 67, [frame(index, table=colours)], table(4, 1)))
    yield kind("short-table", gif(97, 67, [frame(index % 5)], colours[:5]), colours[index % 5])
    grays = np.repeat(np.arange(16, dtype=np.uint8) * 17, 3).reshape(16, 3)
    yield kind("gray", gif(97, 67, [frame(index)], grays), grays[index][..., 0])
    clear = np.dstack([want, np.where(index == 7, 0, 255)])
    yield kind("clear", gif(97, 67, [frame(index, clear=7)], colours), clear)
    yield kind("clear-interlaced", gif(97, 67, [frame(index, clear=7, interlaced=True)], colours), clear)
    yield kind("clear-local", gif(97, 67, [frame(index, clear=7, table=colours)], table(2, 1)), clear)
    other = frame(15 - index, table=table(16, 1), clear=0)
    for disposal in range(4):
        yield kind(f"disposal{disposal}", gif(97, 67, [frame(index, disposal=disposal), other, other], colours))
    part = frame(index[:40, :50], 30, 20, disposal=2)
    yield kind("offset", gif(97, 67, [part, other], colours), placed(want[:40, :50], 97, 67, 30, 20))
    yield kind("offset-background", gif(97, 67, [part], colours, background=9), placed(want[:40, :50], 97, 67, 30, 20))
    yield kind("offset-clear", gif(97, 67, [frame(index[:40, :50], 30, 20, clear=7)], colours),
               placed(clear[:40, :50], 97, 67, 30, 20))
    yield kind("beyond-canvas", gif(97, 67, [frame(index[:60, :80], 40, 30)], colours), placed(want[:60, :80], 97, 67, 40, 30))
    yield kind("no-canvas", gif(0, 0, [frame(index)], colours))
    words = b"\x21\xfe\x05hello\0\x21\xff\x0bNETSCAPE2.0\x03\1\0\0\0\x21\x01\x0c" + bytes(12) + b"\1x\0"
    yield kind("extensions", gif(97, 67, [words, frame(index), words], colours))
    yield kind("no-end", gif(97, 67, [frame(index)], colours)[:-1])
    out = io.BytesIO()
    Picture.fromarray(scene()).quantize(200, dither=Picture.Dither.NONE).save(out, "GIF")
    yield kind("words", out.getvalue(), np.asarray(Picture.open(io.BytesIO(out.getvalue())).convert("RGB")))


def webp(picture, **options):
    out = io.BytesIO()
    Picture.fromarray(picture).save(out, "WEBP", **options)
    return out.getvalue()


def decoded(data):
    return np.asarray(Picture.open(io.BytesIO(data)))


def webps():
    clear = np.dstack([scene(), np.tile(np.linspace(0, 255, 97).astype(np.uint8), (67, 1))])
    lossy, lossless = webp(scene(), quality=90), webp(scene(), lossless=True)
    yield Kind("lossy.webp", lossy, decoded(lossy), 1, 6)
    yield Kind("lossless.webp", lossless, scene())
    yield Kind("lossless-gray.webp", webp(gray_scene(), lossless=True), np.dstack([gray_scene()] * 3))
    alpha = webp(clear, quality=90)
    yield Kind("lossy-alpha.webp", alpha, decoded(alpha), 1, 6)
    yield Kind("lossless-alpha.webp", webp(clear, lossless=True), clear)
    yield Kind("one.webp", webp(scene()[:1, :1], lossless=True), scene()[:1, :1])
    for n, turn in {3: lambda p: p[::-1, ::-1], 6: lambda p: np.rot90(p, -1), 7: lambda p: np.rot90(p, 2).transpose(1, 0, 2)}.items():
        yield Kind(f"turned{n}.webp", webp(scene(), lossless=True, exif=exif(n)[6:]), turn(scene()))
    yield Kind("turned6-marked.webp", webp(scene(), lossless=True, exif=exif(6)), np.rot90(scene(), -1))
    yield Kind("turned6-alpha.webp", webp(clear, lossless=True, exif=exif(6)[6:]), np.rot90(clear, -1))
    light = np.clip((scene() / 255) ** 2.2 @ np.array([[1.3985, 0, 0], [-.3985, 1, -.043], [0, 0, 1.043]]), 0, 1)
    adobe = np.rint(255 * np.where(light <= .0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - .055))
    yield Kind("icc.webp", webp(scene(), lossless=True, icc_profile=adobe_like_profile()), adobe, .8, 3)
    yield Kind("icc-broken.webp", webp(scene(), lossless=True, icc_profile=b"none"), scene())
    yield from animations(clear, lossless)


def animations(clear, lossless):
    part, seen = webp(scene()[:40, :50], lossless=True), webp(clear[:40, 30:80], lossless=True)
    whole = (lossless, 0, 0, 97, 67, 0)
    alpha = 16

    def kind(name, flags, frames, want):
        return Kind(f"{name}.webp", animated(97, 67, flags, frames), want, 1, half=EDGES)
    yield kind("animated", 0, [whole, (part, 4, 6, 50, 40, 0)], scene())
    for how in range(4):
        yield kind(f"how{how}", alpha, [(part, 30, 20, 50, 40, how), whole], placed(scene()[:40, :50], 97, 67, 30, 20))
        yield kind(f"how{how}-clear", alpha, [(seen, 30, 20, 50, 40, how), whole], placed(clear[:40, 30:80], 97, 67, 30, 20))
    # The header does not say that there is opacity, but nothing lies beside the frame.
    yield kind("unannounced", 0, [(part, 30, 20, 50, 40, 0), whole], placed(scene()[:40, :50], 97, 67, 30, 20))


def kinds():
    yield from gifs()
    yield from webps()


def refusals():
    colours, index = table(16), gray_scene() >> 4
    yield Refusal("no-table.gif", gif(97, 67, [frame(index)]), 500, "damaged")
    yield Refusal("no-frame.gif", gif(97, 67, [], colours), 500, "damaged")
    yield Refusal("flat.gif", gif(97, 67, [frame(index)[:8] + b"\x2c" + bytes(9) + b"\4\0"], colours), 500, "damaged")
    yield Refusal("no-picture.webp", riff(canvas(97, 67, 0)), 500, "damaged")
    yield Refusal("no-chunks.webp", riff(), 500, "damaged")


def damaged():
    """(name, data, what is recovered, rows that are surely there); None for nothing."""
    lossless, lossy = webp(scene(), lossless=True), webp(scene(), quality=90)
    index = gray_scene() >> 4
    yield "cut.gif", gif(97, 67, [frame(index)], table(16))[:-2000], table(16)[index], 30
    yield "cut-lossless.webp", lossless[:-1500], scene(), 30
    yield "cut.webp", lossy[:len(lossy) * 3 // 4], decoded(lossy), 16
    # libwebp gives nothing of an animation's frame that is not whole.
    yield "cut-frame.webp", animated(97, 67, 16, [(lossless, 0, 0, 97, 67, 0)])[:-1500], None, 0


KINDS = {kind.name: kind for kind in kinds()}
REFUSALS = {refusal.name: refusal for refusal in refusals()}
DAMAGED = {name: rest for name, *rest in damaged()}


@pytest.fixture(scope="module")
def client(binary, scratch):
    damaged_ones = strict_and_lenient({name: data for name, (data, *_) in DAMAGED.items()})
    with served(binary, scratch, "gif-webp", [*KINDS.values(), *REFUSALS.values(), *damaged_ones]) as client:
        yield client


@pytest.mark.parametrize("name", KINDS)
def test_kind(client, name):
    check(client, KINDS[name])


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal(client, name):
    check_refusal(client, REFUSALS[name])


@pytest.mark.parametrize("name", DAMAGED)
def test_damage(client, name):
    """An error, or by recover the rows that are there."""
    _, want, rows = DAMAGED[name]
    assert client.get(f"/iiif/3/strict-{name}/full/max/0/default.png").status == 500
    if want is None:
        assert client.get(f"/iiif/3/{name}/full/max/0/default.png").status == 500
        return
    picture = shown(client, name, "full/max/0/default.png")[..., :3]
    near(picture[:rows], want[:rows].astype(np.float32), 1, 12, name)
    assert (picture[-1] == 255).all()
