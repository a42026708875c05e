# SPDX-License-Identifier: BSD-2-Clause
"""Every kind of JPEG. What Pillow (libjpeg-turbo's whole decoding, its own smooth upsampling) makes of it is wanted."""
import io
import itertools
import struct
import subprocess

import numpy as np
import pytest
from make_images import adobe_like_profile, exif
from PIL import Image as Picture
from profiles import gray_profile, ink_profile, scanner_profile
from writers import jpeg, jpeg_of, segment, shrink, ycc

from kinds import (LUMA, Kind, Refusal, check, check_refusal, gray_scene, in_srgb, near, printed, scene, served,
                   shown, strict_and_lenient)

ADOBE = {n: segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([n])) for n in (0, 1, 2, 7)}
JFIF = segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")


def decoded(data):
    picture = Picture.open(io.BytesIO(data))
    return np.asarray(picture)


def saved(picture=None, **options):
    out = io.BytesIO()
    (Picture.fromarray(scene()) if picture is None else picture).save(out, "JPEG", **{"quality": 95, **options})
    return out.getvalue()


def tool(*command, data):
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


def before_frame(data, *segments):
    """Further segments behind SOI."""
    return data[:2] + b"".join(segments) + data[2:]


def inks(picture):
    """Some CMYK of a picture: with black taken out."""
    rest = 255 - picture.astype(int)
    black = rest.min(axis=2, keepdims=True) // 2
    return np.concatenate([rest - black, black], 2).astype(np.uint8)


def cmyk_planes(cmyk, x=1, y=1):
    """Of four samples, the second and third x by y coarser."""
    first, second, third, fourth = (cmyk[..., i] for i in range(4))
    return [(first, x, y), (shrink(second, x, y), 1, 1), (shrink(third, x, y), 1, 1), (fourth, x, y)]


def ycck(cmyk):
    """As Adobe writes it: C, M, Y, which decoders turn over once more, in YCbCr; K turned over beside them."""
    return np.dstack([*ycc(cmyk[..., :3]), 255 - cmyk[..., 3]])


def shrink_by_half_again(plane):
    """Two samples of three across."""
    h, w = plane.shape
    return np.asarray(Picture.fromarray(plane).resize((-(-w * 2 // 3), h), Picture.Resampling.BOX))


def kind(name, data, mean=1.2, most=12, **words):
    return Kind(name, data, decoded(data), mean, most, **words)


def samplings():
    for name, x, y in (("444", 1, 1), ("422", 2, 1), ("440", 1, 2), ("420", 2, 2), ("411", 4, 1), ("410", 4, 2),
                       ("441", 1, 4), ("311", 3, 1)):
        yield kind(f"s{name}.jpg", jpeg_of(scene(), x, y), 2, 14)
    y, cb, cr = ycc(scene())
    w, h = 97, 67
    unequal = jpeg(w, h, [(y, 2, 2), (shrink(cb, 2, 1), 1, 2), (shrink(cr, 1, 2), 2, 1)])
    yield kind("unequal-chroma.jpg", unequal, 1.5, 14)
    yield kind("coarse-luma.jpg", jpeg(w, h, [(shrink(y, 2, 1), 1, 1), (cb, 2, 1), (cr, 2, 1)]), 1.5, 14)
    coarse = [(scene()[..., 0], 2, 1), (shrink(scene()[..., 1], 2, 1), 1, 1), (shrink(scene()[..., 2], 2, 1), 1, 1)]
    yield kind("rgb-subsampled.jpg", jpeg(w, h, coarse, ids=b"RGB"), 1.5, 14)
    # More blocks than an MCU may have, but each component is alone in its scan.
    yield kind("s44.jpg", jpeg_of(scene(), 4, 4, interleaved=False), 3, 20)
    # The same number everywhere is full resolution.
    yield kind("all-twice.jpg", jpeg(w, h, [(c, 2, 2) for c in (y, cb, cr)], interleaved=False))
    yield kind("gray-twice.jpg", jpeg(w, h, [(gray_scene(), 2, 2)]))
    # Neither Pillow nor anybody but raw readers do fractions: the scene itself is wanted.
    two_thirds = [shrink_by_half_again(c) for c in (cb, cr)]
    yield Kind("fractions.jpg", jpeg(w, h, [(y, 3, 1)] + [(c, 2, 1) for c in two_thirds]), scene(), 2, 18)


def codings():
    yield kind("baseline.jpg", saved())
    yield kind("progressive.jpg", saved(progressive=True))
    yield kind("gray.jpg", saved(Picture.fromarray(gray_scene())))
    yield kind("gray-progressive.jpg", saved(Picture.fromarray(gray_scene()), progressive=True))
    plain = saved(subsampling="4:2:0")
    yield kind("extended.jpg", plain.replace(b"\xff\xc0", b"\xff\xc1", 1))
    yield kind("deep-tables.jpg", saved(qtables=[[1] * 63 + [300]] * 2))
    yield kind("height-again.jpg", plain[:-2] + segment(0xDC, struct.pack(">H", 67)) + plain[-2:])
    for name, words in (("arithmetic", ["-arithmetic"]), ("arithmetic-progressive", ["-arithmetic", "-progressive"]),
                        ("arithmetic-restarts", ["-arithmetic", "-restart", "1"]),
                        ("progressive-restarts", ["-progressive", "-restart", "1"]),
                        ("restarts", ["-restart", "1"]), ("restarts-by-block", ["-restart", "2B"]),
                        ("optimized", ["-optimize"])):
        yield kind(f"{name}.jpg", tool("jpegtran", *words, data=plain))
    yield kind("scans.jpg", jpeg_of(scene(), 2, 2, interleaved=False))
    yield kind("rgb-by-adobe.jpg", before_frame(jpeg(97, 67, [(scene()[..., i], 1, 1) for i in range(3)]), ADOBE[0]))
    yield kind("rgb-by-names.jpg", jpeg(97, 67, [(scene()[..., i], 1, 1) for i in range(3)], ids=b"RGB"))
    yield kind("odd-ids.jpg", jpeg_of(scene(), 2, 2, ids=(0, 17, 200)))
    # JFIF and Adobe's marker say more than names.
    yield kind("names-lie.jpg", before_frame(jpeg_of(scene(), 2, 2, ids=b"RGB"), JFIF))
    yield kind("names-lie-to-adobe.jpg", before_frame(jpeg_of(scene(), 2, 2, ids=b"RGB"), ADOBE[1]))
    for n in (2, 7):
        yield kind(f"adobe-lies{n}.jpg", before_frame(jpeg_of(scene(), 2, 2), ADOBE[n]))
    yield kind("adobe-lies-of-gray.jpg", before_frame(jpeg(97, 67, [(gray_scene(), 1, 1)]), ADOBE[1]))
    yield kind("adobe-short.jpg", before_frame(jpeg_of(scene(), 2, 2), segment(0xEE, b"Adobe\0\x64\0")))


def wrappings():
    plain = saved()
    yield Kind("no-end.jpg", plain[:-2], decoded(plain), 1.2, 12)
    yield kind("garbage.jpg", plain + b"\0garbage\xff\xd8\xff" * 50)
    yield kind("fill-bytes.jpg", plain[:2] + b"\xff" * 9 + plain[2:])
    yield kind("comment.jpg", before_frame(plain, segment(0xFE, b"\xff\xd9\xff\xd8 not the end")))
    thumbnail = saved(Picture.new("RGB", (16, 16), (255, 0, 0)))
    yield kind("thumbnail.jpg", before_frame(plain, segment(0xE1, exif(1) + thumbnail)))
    for i, order in enumerate(itertools.permutations((JFIF, ADOBE[1], segment(0xE1, exif(1))))):
        yield kind(f"order{i}.jpg", before_frame(jpeg_of(scene(), 2, 2), *order))
    pair = io.BytesIO()
    Picture.fromarray(scene()).save(pair, "MPO", quality=95, save_all=True,
                                    append_images=[Picture.new("RGB", (97, 67), (255, 0, 0))])
    yield kind("pair.mpo", pair.getvalue())
    mpf = segment(0xE2, b"MPF\0MM\0*\0\0\0\x08\0\0\0\0\0\0")
    yield kind("two-pictures.jpg", before_frame(plain, mpf) + saved(Picture.new("RGB", (97, 67), (255, 0, 0))))
    for side in (1, 2, 7, 8, 9, 17):
        yield kind(f"side{side}.jpg", saved(Picture.fromarray(scene(side, side)), subsampling="4:4:4"))
    yield kind("thin.jpg", saved(Picture.fromarray(scene(300, 1))))


def profiled():
    icc = adobe_like_profile()
    plain = saved()
    want = in_srgb(decoded(plain), icc)
    cuts = [0, 100, 250, len(icc)]
    pieces = [segment(0xE2, b"ICC_PROFILE\0" + bytes([i + 1, 3]) + icc[cuts[i]:cuts[i + 1]]) for i in range(3)]
    yield Kind("icc.jpg", before_frame(plain, *pieces), want, 1.6, 16)
    yield Kind("icc-disordered.jpg", before_frame(plain, pieces[2], pieces[0], pieces[1]), want, 1.6, 16)
    scanned = saved(icc_profile=scanner_profile())
    yield Kind("icc-grid.jpg", scanned, in_srgb(decoded(scanned), scanner_profile()), 2, 25)
    gray = saved(Picture.fromarray(gray_scene()), icc_profile=gray_profile(1.4))
    yield Kind("icc-gray.jpg", gray, in_srgb(decoded(gray), gray_profile(1.4))[..., 1], 1.2, 8)
    four = io.BytesIO()
    Picture.fromarray(inks(scene()), "CMYK").save(four, "JPEG", quality=95, icc_profile=ink_profile())
    yield Kind("icc-inks.jpg", four.getvalue(), in_srgb(decoded(four.getvalue()), ink_profile()), 2, 20)
    # For another kind of image: as if there was none.
    yield kind("icc-of-others.jpg", saved(icc_profile=ink_profile()))
    yield kind("icc-incomplete.jpg", before_frame(plain, pieces[0], pieces[2]))
    yield kind("icc-broken.jpg", before_frame(plain, segment(0xE2, b"ICC_PROFILE\0\1\1" + icc[:200])))


def four_inks():
    cmyk = inks(scene())
    for name, sampling in (("", (1, 1)), ("-subsampled", (2, 2))):
        files = {"cmyk": jpeg(97, 67, cmyk_planes(cmyk, *sampling)),
                 "cmyk-adobe": before_frame(jpeg(97, 67, cmyk_planes(255 - cmyk, *sampling)), ADOBE[0]),
                 "ycck": before_frame(jpeg(97, 67, cmyk_planes(ycck(cmyk), *sampling)), ADOBE[2])}
        for what, data in files.items():
            seen = 255 - decoded(data) if what == "cmyk" else decoded(data)  # Pillow turns all of them over
            assert np.abs(seen.astype(int) - cmyk).mean() < 4, what
            yield Kind(f"{what}{name}.jpg", data, printed(seen), .3, 4)
    for n in (1, 7):
        lie = before_frame(jpeg(97, 67, cmyk_planes(ycck(cmyk))), ADOBE[n])
        yield Kind(f"adobe-lies-of-four{n}.jpg", lie, printed(cmyk), 1.5, 14)
    thirds = [cmyk[..., 0], *(shrink_by_half_again(cmyk[..., i]) for i in (1, 2, 3))]
    fractions = jpeg(97, 67, [(c, 2 + (i == 0), 1) for i, c in enumerate(thirds)])
    yield Kind("cmyk-fractions.jpg", fractions, printed(cmyk), 2, 20)
    inverted = [255 - cmyk[..., i] for i in range(4)]
    black = jpeg(97, 67, [*((c, 2, 1) for c in inverted[:3]), (shrink(inverted[3], 2, 1), 1, 1)])
    yield Kind("cmyk-coarse-black.jpg", before_frame(black, ADOBE[0]), printed(cmyk), 2, 20)
    cyan = jpeg(97, 67, [(shrink(inverted[0], 2, 1), 1, 1), *((c, 2, 1) for c in inverted[1:])])
    yield Kind("cmyk-coarse-cyan.jpg", before_frame(cyan, ADOBE[0]), printed(cmyk), 3, 30)
    pillows = io.BytesIO()
    Picture.fromarray(cmyk, "CMYK").save(pillows, "JPEG", quality=95, progressive=True)
    yield Kind("cmyk-pillow.jpg", pillows.getvalue(), printed(cmyk), 1.5, 14)


def kinds():
    for group in (samplings, codings, wrappings, profiled, four_inks):
        yield from group()


def refusals():
    plain = saved(subsampling="4:4:4")
    frame = plain.index(b"\xff\xc0")
    for code in (0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF):
        yield Refusal(f"frame{code:x}.jpg", plain[:frame + 1] + bytes([code]) + plain[frame + 2:], 501, "unsupported")
    yield Refusal("twelve-bit.jpg", plain[:frame + 4] + b"\x0c" + plain[frame + 5:], 501, "unsupported")
    yield Refusal("height-later.jpg", plain[:frame + 5] + b"\0\0" + plain[frame + 7:], 501, "unsupported")
    for n in (2, 5):
        some = jpeg(97, 67, [(gray_scene(), 1, 1)] * n, ids=range(n), interleaved=False)
        yield Refusal(f"components{n}.jpg", some, 501, "unsupported")
    steps = segment(0xDE, plain[frame + 4:frame + 19])
    yield Refusal("hierarchical.jpg", before_frame(plain, steps), 501, "unsupported")
    yield Refusal("jpeg-ls.jpg", plain[:2] + plain[frame:frame + 1] + b"\xf7" + plain[frame + 2:], 501, "unsupported")
    y, cb, cr = ycc(scene())
    fractions = jpeg(97, 67, [(shrink_by_half_again(y), 2, 1), (cb, 3, 1), (cr, 3, 1)])
    yield Refusal("coarse-luma-fractions.jpg", fractions, 501, "unsupported")
    yield Refusal("no-frame.jpg", plain[:frame] + b"\xff\xd9", 500, "damaged")


def damaged():
    """(name, data) of pictures whose lower part, or a colour, is lost."""
    big = saved(Picture.fromarray(scene(400, 300)), subsampling="4:2:0")
    yield "cut.jpg", big[:len(big) // 2]
    yield "cut-progressive.jpg", saved(Picture.fromarray(scene(400, 300)), progressive=True)[:-2000]
    arithmetic = tool("jpegtran", "-arithmetic", data=big)
    yield "cut-arithmetic.jpg", arithmetic[:len(arithmetic) // 2]
    scans = jpeg_of(scene(400, 300), 2, 2, interleaved=False)
    yield "lost-scan.jpg", scans[:scans.rindex(b"\xff\xda")] + b"\xff\xd9"
    restarts = tool("jpegtran", "-restart", "1", data=big)
    second = restarts.index(b"\xff\xd3")
    yield "lost-restart.jpg", restarts[:second + 1] + b"\xd6" + restarts[second + 2:]


KINDS = {kind.name: kind for kind in kinds()}
REFUSALS = {refusal.name: refusal for refusal in refusals()}
DAMAGED = dict(damaged())


@pytest.fixture(scope="module")
def client(binary, scratch):
    with served(binary, scratch, "jpeg", [*KINDS.values(), *REFUSALS.values(), *strict_and_lenient(DAMAGED)]) as client:
        yield client


@pytest.mark.parametrize("name", KINDS)
def test_kind(client, name):
    check(client, KINDS[name])


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal(client, name):
    check_refusal(client, REFUSALS[name])


@pytest.mark.parametrize("name", DAMAGED)
def test_damage(client, name):
    """An error, or by recover what there is."""
    assert client.get(f"/iiif/3/strict-{name}/full/max/0/default.png").status == 500
    picture = shown(client, name, "full/max/0/default.png")
    near((picture @ LUMA)[:100], (scene(400, 300) @ LUMA)[:100], 4, 60, name)


def test_ignored_profiles_are_logged(client):
    for name in ("icc-incomplete.jpg", "icc-broken.jpg"):
        shown(client, name, "full/31,/0/default.png")
    log = client.stack.log("lorikeet-a.log") + client.stack.log("lorikeet-b.log")
    assert "its pieces do not fit together" in log and "a profile that cannot be read is ignored" in log
