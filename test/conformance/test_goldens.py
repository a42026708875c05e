# SPDX-License-Identifier: BSD-2-Clause
"""Goldens: stitched tiles equal the whole, and the whole equals what Pillow makes of the file.

Answers are png, or jpg of high quality, so that the encoder's noise does not cover the resampler's.
"""
import io
import json
import os
import subprocess

import numpy as np
import pytest
from PIL import Image as Picture
from PIL import ImageCms, ImageOps

import make_images
from harness import Client, boot, config_text, far, pixels, psnr
from pngs import chunk, icc_chunk, png
from profiles import gray_profile, ink_profile, scanner_profile
from writers import jpeg, segment, shrink, ycc

MEAN, MOST = .1, 3  # of 255: the task allows 1 and 16, which would hide small seams
FACTORS = (1, 2, 4, 8)
LUMA = np.array((.299, .587, .114), np.float32)

FLAT = ["s420.jpg", "s422.jpg", "s444.jpg", "progressive.jpg", "gray.jpg"]
TURNED = [f"orientation{n}.jpg" for n in range(1, 9)]
TIFFS = ["none.tif", "lzw.tif", "deflate.tif", "packbits.tif", "gray.tif", "tiled-deflate.tif", "tiled-none.tif",
         "tiled-jpeg.tif", "striped-jpeg.tif"]
FINE = ["fine.jpg", "fine444.jpg", "fine.tif", "fine-tiled.tif"]
RASTERS = ["fine.png", "fine.webp", "gray.png", "interlaced.png", "lossy.webp"]
JP2S = ["fine.jp2", "fine-lossy.jp2", "fine-tiled.jp2", "fine-tiled-lossy.jp2", "offset.jp2", "gray.jp2", "ycc.jp2", "layers.jp2"]
# Of 16 bits, four inks, one bit, by palettes and profiles, turned, clear: pictures of 437 x 311.
ODD = ["deep.png", "deep-gray.png", "deep-turned.png", "inks.jpg", "inks-ycck.jpg", "inks-profile.jpg", "inks-turned.jpg",
       "bits.png", "palette.png", "clear.png", "clear-gray.png", "clear.webp", "lut.png", "lut420.jpg", "lut-turned.jpg",
       "deep-lut.png", "gray-profile.png", "deep-profile.png"]
PYRAMIDS = ["fine-pyramid.tif", "board-pyramid.tif", "gray-pyramid.tif", "turned-pyramid.tif"]


def fine(w, h):
    """Rings from slow to fast, gradients, lines: what shows a wrong scale or phase at once."""
    x, y = np.meshgrid(np.arange(w) - w / 3, np.arange(h) - h / 2)
    rings = 40 * np.cos((x * x + y * y) / 900)
    tint = np.stack([60 + 120 * (x - x.min()) / w, 80 + 90 * (y - y.min()) / h, 150 - 80 * (x - x.min()) / w], -1)
    picture = tint + rings[..., None]
    picture[:, 200:800:37] = 230
    picture[100:600:41, :] = 30
    return np.clip(picture, 0, 255).astype(np.uint8)


def ycck(light, lack_of_black):
    """A JPEG of four inks with halved chroma, as Adobe writes it: all of them turned over."""
    y, cb, cr = ycc(light)
    planes = [(y, 2, 2), (shrink(cb, 2, 2), 1, 1), (shrink(cr, 2, 2), 1, 1), (lack_of_black, 2, 2)]
    h, w = y.shape
    return jpeg(w, h, planes, quant=4, head=segment(0xEE, b"Adobe\0\x64\0\0\0\0\2"))


def make_odd(root, picture):
    small = Picture.fromarray(picture)
    deep = picture.astype(np.uint16) * 257 + 90
    gray = small.convert("L")
    inks = 255 - np.dstack([picture, np.maximum(picture.max(2), 128)])
    inks = Picture.fromarray(inks.astype(np.uint8), "CMYK")
    (root / "deep.png").write_bytes(png(deep, 2, 16))
    (root / "deep-gray.png").write_bytes(png(deep[..., 0], 0, 16))
    (root / "deep-profile.png").write_bytes(png(deep, 2, 16, before=icc_chunk(make_images.adobe_like_profile())))
    (root / "deep-turned.png").write_bytes(png(deep, 2, 16, before=chunk(b"eXIf", make_images.exif(8)[6:])))
    (root / "deep-lut.png").write_bytes(png(deep, 2, 16, before=icc_chunk(scanner_profile())))
    (root / "inks-ycck.jpg").write_bytes(ycck(picture, 255 - np.asarray(inks)[..., 3]))
    inks.save(root / "inks.jpg", quality=92, subsampling="4:2:0")
    inks.save(root / "inks-profile.jpg", quality=92, icc_profile=ink_profile())
    inks.save(root / "inks-turned.jpg", quality=92, exif=make_images.exif(6))
    small.convert("1").save(root / "bits.png")
    small.quantize(64).save(root / "palette.png")
    small.putalpha(gray.transpose(Picture.Transpose.FLIP_LEFT_RIGHT))
    small.save(root / "clear.png")
    small.save(root / "clear.webp", lossless=True)
    small.convert("LA").save(root / "clear-gray.png")
    small = small.convert("RGB")
    small.save(root / "lut.png", icc_profile=scanner_profile())
    small.save(root / "lut420.jpg", quality=92, subsampling="4:2:0", icc_profile=scanner_profile())
    small.save(root / "lut-turned.jpg", quality=92, subsampling="4:2:0", icc_profile=scanner_profile(),
               exif=make_images.exif(5))
    gray.save(root / "gray-profile.png", icc_profile=gray_profile(1.4))


@pytest.fixture(scope="module")
def gallery(binary, scratch, images):
    root = scratch / "goldens"
    root.mkdir()
    for name in (*FLAT, *TURNED, *TIFFS, "wide.jpg", "srgb.jpg", "wide.jp2",
                 *(n for n in JP2S + RASTERS if "fine" not in n)):
        os.link(images / name, root / name)
    detail = Picture.fromarray(fine(1237, 911))
    detail.save(root / "fine.jpg", quality=95, subsampling="4:2:0")
    detail.save(root / "fine444.jpg", quality=95, subsampling="4:4:4")
    detail.save(root / "fine.tif", compression="tiff_lzw")
    lossy = {"irreversible": True, "quality_layers": [8]}
    detail.save(root / "fine.png")
    detail.save(root / "fine.webp", lossless=True)
    detail.save(root / "fine.jp2", mct=1)
    detail.save(root / "fine-lossy.jp2", mct=1, **lossy)
    detail.save(root / "fine-tiled.jp2", mct=1, tile_size=(256, 256))
    detail.save(root / "fine-tiled-lossy.jp2", mct=1, tile_size=(200, 300), num_resolutions=4, progression="RPCL", **lossy)
    make_odd(root, fine(437, 311))
    subprocess.run(["tiffcp", "-c", "zip", "-t", "-w", "128", "-l", "128", root / "fine.tif", root / "fine-tiled.tif"],
                   check=True)
    for source, target in (("fine.tif", "fine-pyramid.tif"), ("gray.jpg", "gray-pyramid.tif"),
                           ("orientation6.jpg", "turned-pyramid.tif"), ("E.jpg", "board-pyramid.tif")):
        source = root / source if (root / source).exists() else images / source
        subprocess.run([binary, "pyramid", source, root / target], check=True, capture_output=True)
    for file in root.iterdir():
        file.chmod(0o644)
    return root


@pytest.fixture(scope="module")
def client(binary, scratch, gallery):
    config = config_text([("", gallery, {})], images={"jpeg_quality": 100, "png_compression": 1})
    with boot(scratch, binary, "goldens-server", config, workers=2) as stack:
        yield Client(stack.port)


def decoded(path):
    """Pillow's own picture of the file, upright, as floats."""
    with Picture.open(path) as picture:
        return pixels(ImageOps.exif_transpose(picture))


def original(gallery, images, name):
    """The picture that a file shows: for a pyramid the file it was made from."""
    source = {"fine-pyramid.tif": gallery / "fine.tif", "gray-pyramid.tif": gallery / "gray.jpg",
              "turned-pyramid.tif": gallery / "orientation6.jpg", "board-pyramid.tif": images / "E.jpg",
              "offset.jp2": images / "lossless.jp2",
              "ycc.jp2": images / "lossless.jp2"}  # Pillow shows the components as if they were RGB
    return decoded(source.get(name, gallery / name))


def shown(client, name, parameters):
    reply = client.get(f"/iiif/3/{name}/{parameters}")
    assert reply.status == 200, f"{parameters}: {reply.status} {reply.body[:100]}"
    return pixels(reply.picture())


def extent(client, name):
    info = json.loads(client.get(f"/iiif/3/{name}/info.json").body)
    return info["width"], info["height"]


def stitched(client, name, w, h, s, tile, ending):
    """All tiles of a level as a viewer asks them, put together."""
    whole = np.zeros((-(-h // s), -(-w // s), 3), np.float32)
    for y in range(0, h, tile * s):
        for x in range(0, w, tile * s):
            rw, rh = min(tile * s, w - x), min(tile * s, h - y)
            tw, th = -(-rw // s), -(-rh // s)
            part = shown(client, name, f"{x},{y},{rw},{rh}/{tw},{th}/0/{ending}")
            assert part.shape[:2] == (th, tw)
            whole[y // s:y // s + th, x // s:x // s + tw] = part
    return whole


def without_seams(picture, tile):
    """Without the pixels at the tiles' edges: there a decoder has no neighbour to interpolate halved
    chroma with, whatever the server sent."""
    def inside(n):
        return [i for i in range(n) if i < tile - 1 or i % tile not in (0, tile - 1)]
    return picture[inside(picture.shape[0])][:, inside(picture.shape[1])]


CASES = [(n, "default.png") for n in FLAT + TURNED + TIFFS + FINE + PYRAMIDS + JP2S + RASTERS + ODD]
CASES += [(n, "gray.png") for n in ("inks-profile.jpg", "lut420.jpg", "deep-profile.png")]
CASES += [(n, "default.jpg") for n in ("s420.jpg", "s444.jpg", "orientation6.jpg", "fine.jpg", "fine-pyramid.tif",
                                       "board-pyramid.tif", "tiled-deflate.tif", "gray.jpg", "progressive.jpg", *JP2S,
                                       *RASTERS, "deep-lut.png", "lut420.jpg", "lut-turned.jpg", "wide.jpg",
                                       "inks-ycck.jpg", "inks-turned.jpg", "clear.png")]
CASES += [("fine.jpg", "gray.png"), ("fine-pyramid.tif", "gray.jpg"), ("wide.jpg", "default.png"),
          ("fine-lossy.jp2", "gray.png"), ("fine-tiled-lossy.jp2", "gray.jpg"), ("wide.jp2", "default.png")]


@pytest.mark.parametrize("name,ending", CASES, ids=["-".join(c) for c in CASES])
def test_tiles_are_seamless(client, name, ending):
    w, h = extent(client, name)
    for s in FACTORS:
        tile = 256 if w > 2000 else 128 if s < 4 else 64
        whole = shown(client, name, f"full/{-(-w // s)},{-(-h // s)}/0/{ending}")
        tiles = stitched(client, name, w, h, s, tile, ending)
        if ending.endswith("jpg"):
            mean, most = far(tiles @ LUMA, whole @ LUMA)
            assert mean <= MEAN and most <= MOST, f"luma at factor {s}: mean {mean:.2f}, most {most:.0f}"
            tiles, whole = (without_seams(p, tile) for p in (tiles, whole))
        mean, most = far(tiles, whole)
        assert mean <= MEAN and most <= MOST, f"factor {s}: mean {mean:.2f}, most {most:.0f}"


@pytest.mark.parametrize("rotation", ["!0", "90", "180", "270", "!90", "!180", "!270"])
@pytest.mark.parametrize("name", ["fine.jpg", "fine-pyramid.tif", "orientation5.jpg"])
def test_turned_tiles(client, name, rotation):
    """A turned answer is the upright one turned."""
    for region in ("full", "137,59,301,203"):
        upright = shown(client, name, f"{region}/max/0/default.png")
        want = upright[:, ::-1] if "!" in rotation else upright
        want = np.rot90(want, -int(rotation.strip("!")) // 90)
        mean, most = far(shown(client, name, f"{region}/max/{rotation}/default.png"), want)
        assert mean <= 0.5 and most <= 8, f"{region}: mean {mean:.2f}, most {most:.0f}"


LOSSLESS = {"none.tif", "lzw.tif", "deflate.tif", "packbits.tif", "gray.tif", "tiled-deflate.tif", "tiled-none.tif",
            "fine.tif", "fine-tiled.tif", "fine.png", "fine.webp", "gray.png", "interlaced.png", "fine.jp2", "fine-tiled.jp2", "offset.jp2", "gray.jp2"}


@pytest.mark.parametrize("name", FLAT + TURNED + TIFFS + FINE + PYRAMIDS + JP2S + RASTERS)
def test_full_scale_is_pillows(client, gallery, images, name):
    """At scale 1, regions on and off the blocks' grid show the same as Pillow's decoder."""
    want = original(gallery, images, name)
    h, w = want.shape[:2]
    assert extent(client, name) == (w, h)
    for x, y, rw, rh in ((0, 0, w, h), (256, 256, 256, 256), (101, 77, 333, 219), (w - 93, h - 61, 93, 61),
                         (w - 1, 0, 1, h), (0, h - 1, w, 1), (7, 9, 1, 1)):
        got = shown(client, name, f"{x},{y},{rw},{rh}/max/0/default.png")
        mean, most = far(got, want[y:y + rh, x:x + rw])
        if name in LOSSLESS:
            assert most == 0, f"{x},{y},{rw},{rh}: mean {mean:.2f}, most {most:.0f}"
        elif name in ("s444.jpg", "fine444.jpg", "gray.jpg", *JP2S):  # no chroma to interpolate
            assert most <= 3, f"{x},{y},{rw},{rh}: mean {mean:.2f}, most {most:.0f}"
        else:  # chroma is interpolated by another filter; or, in a pyramid, coded once more
            assert mean <= (4 if rw * rh > 1 else 12), f"{x},{y},{rw},{rh}: mean {mean:.2f}, most {most:.0f}"
            assert rw * rh < 5000 or psnr(got, want[y:y + rh, x:x + rw]) > 33


def reduced(array, w, h, s, shift=0.0):
    """Pillow's Lanczos reduction at exactly s, the image replicated at its edges, moved by `shift` output pixels."""
    around = 4 * s
    padded = np.pad(array, ((around, around + s), (around, around + s), (0, 0)), mode="edge")
    left = around + shift * s
    channels = [np.asarray(Picture.fromarray(padded[..., c]).resize(
        (w, h), Picture.LANCZOS, box=(left, left, left + w * s, left + h * s))) for c in range(3)]
    return np.clip(np.stack(channels, -1), 0, 255)


@pytest.mark.parametrize("ending", ["default.png", "default.jpg"])
@pytest.mark.parametrize("name", ["s420.jpg", "s444.jpg", "progressive.jpg", "gray.jpg", "orientation3.jpg",
                                  "orientation6.jpg", "none.tif", "tiled-deflate.tif", "tiled-jpeg.tif",
                                  "fine.jpg", "fine444.jpg", "fine.tif", *PYRAMIDS, *JP2S, *RASTERS])
def test_reduced_is_pillows(client, gallery, images, name, ending):
    """Like a Lanczos reduction, and not moved against it: a quarter of a pixel either way is worse.

    Of a jpg only the luma is compared, for its chroma is halved. The low-pass of JPEG 2000 lets more of the rings
    through than Lanczos does, that of its reversible wavelet most.
    """
    floor = 30 if not name.startswith("fine") or name not in JP2S else 29 if "lossy" in name else 25
    want = original(gallery, images, name)
    h, w = want.shape[:2]
    for s in FACTORS[1:]:
        tw, th = -(-w // s), -(-h // s)
        got = shown(client, name, f"full/{tw},{th}/0/{ending}")
        see = LUMA if ending == "default.jpg" else np.eye(3, dtype=np.float32)
        here, before, after = (psnr(got @ see, reduced(want, tw, th, s, shift) @ see) for shift in (0, -.25, .25))
        assert here > floor, f"factor {s}: {here:.1f} dB"
        assert here > max(before, after), f"factor {s}: {here:.1f} dB in place, {before:.1f} and {after:.1f} beside"


@pytest.mark.parametrize("name", ["s420.jpg", "s444.jpg", "fine.jpg", "fine.tif", "fine-pyramid.tif", "tiled-jpeg.tif",
                                  "offset.jp2", "fine-lossy.jp2", "fine-tiled-lossy.jp2"])
def test_odd_ratios_are_pillows(client, gallery, images, name):
    """Sizes that are no power of two, of regions off every grid."""
    want = Picture.fromarray(original(gallery, images, name).astype(np.uint8))
    for box, size in (((0, 0, 1000, 700), (777, 544)), ((33, 21, 633, 521), (359, 299)),
                      ((100, 100, 900, 700), (101, 76)), ((5, 3, 905, 643), (180, 300))):
        region = f"{box[0]},{box[1]},{box[2] - box[0]},{box[3] - box[1]}"
        got = shown(client, name, f"{region}/{size[0]},{size[1]}/0/default.png")
        value = psnr(got, pixels(want.resize(size, Picture.LANCZOS, box=box)))
        assert value > 30, f"{box} at {size}: {value:.1f} dB"


def test_orientations_agree(client):
    """All eight are upright: 1003x701 as stored, or turned."""
    for n in range(1, 9):
        assert extent(client, f"orientation{n}.jpg") == ((1003, 701) if n < 5 else (701, 1003))


# -- colour -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("ending", ["default.png", "default.jpg"])
@pytest.mark.parametrize("size", ["max", "251,176", "126,88"])
@pytest.mark.parametrize("name", ["wide.jpg", "wide.jp2"])
def test_wide_gamut(client, gallery, name, ending, size):
    """An Adobe-like profile comes out as sRGB, as littlecms converts it."""
    with Picture.open(gallery / name) as picture:
        source = picture.convert("RGB")
    profile = ImageCms.ImageCmsProfile(io.BytesIO(make_images.adobe_like_profile()))
    srgb = ImageCms.createProfile("sRGB")
    want = pixels(ImageCms.profileToProfile(source, profile, srgb,
                                            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC))
    got = shown(client, name, f"full/{size}/0/{ending}")
    for row in range(10):
        for column in range(10):
            a = got[int((row + .5) * got.shape[0] / 10), int((column + .5) * got.shape[1] / 10)]
            b = want[int((row + .5) * 70.1) - 8:int((row + .5) * 70.1) + 8, int((column + .5) * 100.3) - 8:
                     int((column + .5) * 100.3) + 8].reshape(-1, 3)
            low, high = b.min(0) - 5, b.max(0) + 5
            assert (a >= low).all() and (a <= high).all(), f"square {column},{row}: {a}, littlecms says {b.mean(0)}"


def test_wide_gamut_is_told_apart(client, gallery):
    """The conversion is visible, so the test above can fail."""
    assert far(shown(client, "wide.jpg", "full/max/0/default.png"), decoded(gallery / "wide.jpg"))[0] > 3


def test_srgb_profile_changes_nothing(client, gallery):
    want = decoded(gallery / "srgb.jpg")
    assert far(shown(client, "srgb.jpg", "full/max/0/default.png"), want)[0] < 2


@pytest.mark.parametrize("name", ["fine.jpg", "fine.tif", "fine-pyramid.tif"])
def test_gray_is_luma(client, name):
    colour, gray = (shown(client, name, f"full/400,/0/{quality}.png") for quality in ("default", "gray"))
    mean, most = far(gray[..., 0], colour @ LUMA)
    assert mean <= 1.5 and most <= 12
