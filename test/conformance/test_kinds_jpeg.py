# SPDX-License-Identifier: BSD-2-Clause
"""Every kind of JPEG. What Pillow (libjpeg-turbo's whole decoding, its own smooth upsampling) makes of the file is wanted."""
import io
import subprocess

import numpy as np
import pytest
from make_images import adobe_like_profile, exif
from PIL import Image as Picture
from PIL import ImageCms
from profiles import gray_profile, ink_profile, scanner_profile
from writers import jpeg, jpeg_of, segment, shrink, ycc

from kinds import Kind, Refusal, check, check_refusal, gray_scene, near, printed, scene, served, shown

ADOBE = {n: segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([n])) for n in (0, 1, 2)}


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
    return [(cmyk[..., 0], x, y), (shrink(cmyk[..., 1], x, y), 1, 1), (shrink(cmyk[..., 2], x, y), 1, 1), (cmyk[..., 3], x, y)]


def ycck(cmyk):
    """As Adobe writes it: C, M, Y, which decoders turn over once more, in YCbCr; K turned over beside them."""
    return np.dstack([*ycc(cmyk[..., :3]), 255 - cmyk[..., 3]])


def kind(name, data, mean=1.2, most=12, **words):
    return Kind(name, data, decoded(data), mean, most, **words)


def samplings():
    for name, x, y in (("444", 1, 1), ("422", 2, 1), ("440", 1, 2), ("420", 2, 2), ("411", 4, 1), ("410", 4, 2), ("441", 1, 4),
                       ("311", 3, 1)):
        yield kind(f"s{name}.jpg", jpeg_of(scene(), x, y), 2, 14)
    y, cb, cr = ycc(scene())
    w, h = 97, 67
    yield kind("unequal-chroma.jpg", jpeg(w, h, [(y, 2, 2), (shrink(cb, 2, 1), 1, 2), (shrink(cr, 1, 2), 2, 1)]), 1.5, 14)
    yield kind("coarse-luma.jpg", jpeg(w, h, [(shrink(y, 2, 1), 1, 1), (cb, 2, 1), (cr, 2, 1)]), 1.5, 14)
    coarse = [(scene()[..., 0], 2, 1), (shrink(scene()[..., 1], 2, 1), 1, 1), (shrink(scene()[..., 2], 2, 1), 1, 1)]
    yield kind("rgb-subsampled.jpg", jpeg(w, h, coarse, ids=b"RGB"), 1.5, 14)
    # Neither Pillow nor anybody but raw readers do fractions: the scene itself is wanted.
    two_thirds = [np.asarray(Picture.fromarray(c).resize((-(-w * 2 // 3), h), Picture.Resampling.BOX)) for c in (cb, cr)]
    yield Kind("fractions.jpg", jpeg(w, h, [(y, 3, 1)] + [(c, 2, 1) for c in two_thirds]), scene(), 2, 18)


def codings():
    yield kind("baseline.jpg", saved())
    yield kind("progressive.jpg", saved(progressive=True))
    yield kind("gray.jpg", saved(Picture.fromarray(gray_scene())))
    yield kind("gray-progressive.jpg", saved(Picture.fromarray(gray_scene()), progressive=True))
    plain = saved(subsampling="4:2:0")
    yield kind("extended.jpg", plain.replace(b"\xff\xc0", b"\xff\xc1", 1))
    for name, words in (("arithmetic", ["-arithmetic"]), ("arithmetic-progressive", ["-arithmetic", "-progressive"]),
                        ("restarts", ["-restart", "1"]), ("restarts-by-block", ["-restart", "2B"]),
                        ("optimized", ["-optimize"])):
        yield kind(f"{name}.jpg", tool("jpegtran", *words, data=plain))
    yield kind("scans.jpg", jpeg_of(scene(), 2, 2, interleaved=False))
    yield kind("rgb-by-adobe.jpg", before_frame(jpeg(97, 67, [(scene()[..., i], 1, 1) for i in range(3)]), ADOBE[0]))
    yield kind("rgb-by-names.jpg", jpeg(97, 67, [(scene()[..., i], 1, 1) for i in range(3)], ids=b"RGB"))
    yield kind("odd-ids.jpg", jpeg_of(scene(), 2, 2, ids=(0, 17, 200)))


def wrappings():
    plain = saved()
    yield Kind("no-end.jpg", plain[:-2], decoded(plain), 1.2, 12)
    yield kind("garbage.jpg", plain + b"\0garbage\xff\xd8\xff" * 50)
    yield kind("fill-bytes.jpg", plain[:2] + b"\xff" * 9 + plain[2:])
    yield kind("comment.jpg", before_frame(plain, segment(0xFE, b"\xff\xd9\xff\xd8 not the end")))
    thumbnail = saved(Picture.new("RGB", (16, 16), (255, 0, 0)))
    yield kind("thumbnail.jpg", before_frame(plain, segment(0xE1, exif(1) + thumbnail)))
    yield kind("adobe-first.jpg", before_frame(jpeg_of(scene(), 2, 2), ADOBE[1], segment(0xE1, exif(1)),
                                               segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")))
    mpf = segment(0xE2, b"MPF\0MM\0*\0\0\0\x08\0\0\0\0\0\0")
    yield kind("two-pictures.jpg", before_frame(plain, mpf) + saved(Picture.new("RGB", (97, 67), (255, 0, 0))))
    for side in (1, 2, 7, 8, 9, 17):
        yield kind(f"side{side}.jpg", saved(Picture.fromarray(scene(side, side)), subsampling="4:4:4"))
    yield kind("thin.jpg", saved(Picture.fromarray(scene(300, 1))))


def in_srgb(samples, icc):
    """As littlecms converts them, relative colorimetric with black point compensation."""
    picture = Picture.fromarray(samples, {2: "L", 3: "RGB", 4: "CMYK"}[samples.ndim if samples.ndim == 2 else samples.shape[2]])
    transform = ImageCms.buildTransform(ImageCms.ImageCmsProfile(io.BytesIO(icc)), ImageCms.createProfile("sRGB"), picture.mode,
                                        "RGB", renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC, flags=0x2000)
    return np.asarray(ImageCms.applyTransform(picture, transform))


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
        tolerance = {"mean": 1.5, "most": 14} if name == "" else {"mean": 2.5, "most": 30}
        files = {"cmyk": jpeg(97, 67, cmyk_planes(cmyk, *sampling)),
                 "cmyk-adobe": before_frame(jpeg(97, 67, cmyk_planes(255 - cmyk, *sampling)), ADOBE[0]),
                 "ycck": before_frame(jpeg(97, 67, cmyk_planes(ycck(cmyk), *sampling)), ADOBE[2])}
        for what, data in files.items():
            seen = 255 - decoded(data) if what == "cmyk" else decoded(data)  # Pillow turns all of them over
            assert np.abs(seen.astype(int) - cmyk).mean() < 4, what
            yield Kind(f"{what}{name}.jpg", data, printed(seen), **tolerance)
    pillows = io.BytesIO()
    Picture.fromarray(cmyk, "CMYK").save(pillows, "JPEG", quality=95, progressive=True)
    yield Kind("cmyk-pillow.jpg", pillows.getvalue(), printed(cmyk), 1.5, 14)


def turned():
    """All orientations of odd sides; and what is no orientation."""
    out = {2: lambda p: p[:, ::-1], 3: lambda p: p[::-1, ::-1], 4: lambda p: p[::-1], 5: lambda p: p.transpose(1, 0, 2),
           6: lambda p: np.rot90(p, -1), 7: lambda p: np.rot90(p, 2).transpose(1, 0, 2), 8: lambda p: np.rot90(p)}
    plain, progressive = saved(subsampling="4:2:0"), saved(progressive=True, subsampling="4:2:0")
    for n, turn in out.items():
        yield Kind(f"turned{n}.jpg", before_frame(plain, segment(0xE1, exif(n))), turn(decoded(plain)), 1.2, 12)
    yield Kind("turned6-progressive.jpg", before_frame(progressive, segment(0xE1, exif(6))), out[6](decoded(progressive)), 1.2, 12)
    intel = b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0"
    yield Kind("turned6-intel.jpg", before_frame(plain, segment(0xE1, intel)), out[6](decoded(plain)), 1.2, 12)
    cmyk = inks(scene())
    yield Kind("turned6-cmyk.jpg", before_frame(jpeg(97, 67, cmyk_planes(cmyk)), segment(0xE1, exif(6))),
               out[6](printed(cmyk)), 1.5, 14)
    for n in (0, 9, 65535):
        yield kind(f"no-orientation{n}.jpg", before_frame(plain, segment(0xE1, exif(n))))
    yield kind("cut-exif.jpg", before_frame(plain, segment(0xE1, exif(6)[:20])))


def kinds():
    for group in (samplings, codings, wrappings, profiled, four_inks, turned):
        yield from group()


def refusals():
    plain = saved(subsampling="4:4:4")
    frame = plain.index(b"\xff\xc0")
    for code in (0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF):
        yield Refusal(f"frame{code:x}.jpg", plain[:frame + 1] + bytes([code]) + plain[frame + 2:], 501, "unsupported")
    yield Refusal("twelve-bit.jpg", plain[:frame + 4] + b"\x0c" + plain[frame + 5:], 501, "unsupported")
    yield Refusal("height-later.jpg", plain[:frame + 5] + b"\0\0" + plain[frame + 7:], 501, "unsupported")
    yield Refusal("two-components.jpg", jpeg(97, 67, [(gray_scene(), 1, 1)] * 2), 501, "unsupported")
    yield Refusal("no-frame.jpg", plain[:frame] + b"\xff\xd9", 500, "damaged")


def damaged():
    """(name, data) of pictures whose lower part is lost."""
    big = saved(Picture.fromarray(scene(400, 300)), subsampling="4:2:0")
    yield "cut.jpg", big[:len(big) // 2]
    yield "cut-progressive.jpg", saved(Picture.fromarray(scene(400, 300)), progressive=True)[:-2000]
    restarts = tool("jpegtran", "-restart", "1", data=big)
    second = restarts.index(b"\xff\xd3")
    yield "lost-restart.jpg", restarts[:second + 1] + b"\xd6" + restarts[second + 2:]


KINDS = {kind.name: kind for kind in kinds()}
REFUSALS = {refusal.name: refusal for refusal in refusals()}
DAMAGED = dict(damaged())


@pytest.fixture(scope="module")
def client(binary, scratch):
    strict = [Refusal(f"strict-{name}", data, 500, "damaged") for name, data in DAMAGED.items()]
    lenient = [Kind(name, data, None, options={"recover": True}) for name, data in DAMAGED.items()]
    with served(binary, scratch, "jpeg", [*KINDS.values(), *REFUSALS.values(), *strict, *lenient]) as client:
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
    near(picture[:100], scene(400, 300).astype(np.float32)[:100], 4, 60, name)


def test_ignored_profiles_are_logged(client):
    for name in ("icc-incomplete.jpg", "icc-broken.jpg"):
        shown(client, name, "full/31,/0/default.png")
    log = client.stack.log("lorikeet-a.log") + client.stack.log("lorikeet-b.log")
    assert "its pieces do not fit together" in log and "a profile that cannot be read is ignored" in log
