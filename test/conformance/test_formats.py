# SPDX-License-Identifier: BSD-2-Clause
"""Every source format times every output, rotation and quality: each answer is decoded and shows the same picture."""
import io
import itertools
import json
import re
import subprocess

import numpy as np
import pytest
from PIL import Image as Picture

from harness import Client, boot, config_text

SOURCES = ["s420.jpg", "gray.jpg", "orientation6.jpg", "tiled-jpeg.tif", "clear.tif", "rgb.png", "clear.png", "palette.png",
           "lossless.webp", "clear.webp", "lossy.jp2", "alpha.jp2", "colours.gif", "rgb.bmp", "rgb.ppm", "plain.psd",
           "s.heic", "s.avif"]
OUTPUTS = ["jpg", "png", "webp", "tif", "gif", "jp2", "pdf", "avif"]
ROTATIONS = ["0", "!90", "180", "33.5"]
QUALITIES = ["default", "gray", "bitonal"]
TYPES = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp", "tif": "image/tiff", "gif": "image/gif",
         "jp2": "image/jp2", "pdf": "application/pdf", "avif": "image/avif"}
# Mean difference to the png of the same request, on white and seen from afar, where dithers are the grays they stand for.
FAR = {"jpg": 3, "pdf": 3, "webp": 3, "gif": 4, "jp2": 3, "avif": 3, "tif": 0, "png": 0, "bitonal": 12}


@pytest.fixture(scope="module")
def server(binary, scratch, images):
    with boot(scratch, binary, "formats-server", config_text([("", images, {})]), workers=2) as stack:
        yield Client(stack.port)


def ask(server, source, rotation, quality, output):
    reply = server.get(f"/iiif/3/{source}/full/!300,250/{rotation}/{quality}.{output}")
    assert (reply.status, reply.type) == (200, TYPES[output]), reply.body[:100]
    return reply


def on_white(picture):
    picture = picture.convert("RGBA")
    white = Picture.new("RGBA", picture.size, (255, 255, 255, 255))
    flat = Picture.alpha_composite(white, picture).convert("RGB")
    return np.asarray(flat.resize((flat.width // 12, flat.height // 12), Picture.Resampling.BOX), np.float32), flat.size


def decoded(body, output, binary, folder):
    if output == "pdf":
        body = re.search(rb"/DCTDecode /Length \d+ >>\nstream\n(.*)\nendstream", body, re.S)[1]
    if output == "avif":  # no common tool of Debian 12's reads it but libheif, as we do
        (folder / "answer.avif").write_bytes(body)
        (folder / "c.conf").write_text(config_text([("", folder, {})]))
        body = subprocess.run([binary, "--config", folder / "c.conf", "get", "/iiif/3/answer.avif/full/max/0/default.png"],
                              capture_output=True, check=True).stdout
    return Picture.open(io.BytesIO(body))


@pytest.mark.parametrize("source", SOURCES)
def test_every_answer(server, binary, tmp_path, source):
    for rotation, quality in itertools.product(ROTATIONS, QUALITIES):
        reference = decoded(ask(server, source, rotation, quality, "png").body, "png", binary, tmp_path)
        want, size = on_white(reference)
        if quality == "bitonal" and rotation != "33.5" and "A" not in reference.mode:
            assert reference.mode == "1"
        if quality == "gray":
            assert reference.mode in ("L", "LA")
        for output in OUTPUTS:
            if output == "avif" and (rotation, quality) not in (("0", "default"), ("33.5", "default"), ("!90", "gray")):
                continue  # slow
            what = f"{rotation} {quality} {output}"
            answer = decoded(ask(server, source, rotation, quality, output).body, output, binary, tmp_path)
            got, got_size = on_white(answer)
            assert got_size == size, what
            if output == "gif" and "A" in reference.mode:
                continue  # its pixels are clear or not; test_corners_are_clear_or_background looks at that
            far = np.abs(got - want).mean()
            assert far <= FAR["bitonal" if quality == "bitonal" else output], (what, far)


def test_what_is_offered_is_what_there_is(server):
    for version in (2, 3):
        info = json.loads(server.get(f"/iiif/{version}/rgb.png/info.json").body)
        extra = info["extraFormats"] if version == 3 else info["profile"][1]["formats"]
        assert set(extra) == set(OUTPUTS) - {"jpg", "png"}


def test_corners_are_clear_or_background(binary, scratch, images):
    config = config_text([("", images, {})], images={"background": "102030"})
    with boot(scratch, binary, "background-server", config) as stack:
        client = Client(stack.port)
        for output, mode in (("png", "RGBA"), ("webp", "RGBA"), ("tif", "RGBA")):
            picture = ask(client, "rgb.png", "45", "default", output).picture()
            assert picture.mode == mode and picture.getpixel((1, 1))[3] == 0
        picture = ask(client, "rgb.png", "45", "default", "gif").picture().convert("RGBA")
        assert picture.getpixel((1, 1))[3] == 0 and picture.getpixel((picture.width // 2, picture.height // 2))[3] == 255
        picture = ask(client, "rgb.png", "45", "default", "jpg").picture()
        assert all(abs(a - b) <= 3 for a, b in zip(picture.getpixel((1, 1)), (0x10, 0x20, 0x30)))
        picture = ask(client, "clear.png", "0", "default", "jpg").picture()
        left, right = picture.getpixel((8, 100)), picture.getpixel((290, 100))
        assert sum(left) < sum(right)


def test_dither_and_threshold(binary, scratch, images):
    means = {}
    for method in ("dither", "threshold"):
        config = config_text([("", images, {})], images={"bitonal": method})
        with boot(scratch, binary, f"bitonal-{method}", config) as stack:
            picture = Client(stack.port).get("/iiif/3/gray.jpg/full/max/0/bitonal.png").picture()
            gray = Client(stack.port).get("/iiif/3/gray.jpg/full/max/0/gray.png").picture()
            black, gray = np.asarray(picture.convert("L"), float), np.asarray(gray, float)
            means[method] = abs(black.mean() - gray.mean())
            if method == "threshold":
                assert np.array_equal(black > 0, gray >= 128)
    assert means["dither"] < 1


@pytest.mark.parametrize("output,option,low,high", [("webp", "webp_quality", 10, 95), ("jp2", "jp2_quality", 10, 95),
                                                    ("avif", "avif_quality", 10, 90), ("tif", "tif_compression", "jpeg",
                                                                                       "deflate")])
def test_quality_options(binary, scratch, images, output, option, low, high):
    sizes = []
    for i, value in enumerate((low, high)):
        config = config_text([("", images, {})], images={option: value})
        with boot(scratch, binary, f"quality-{option}-{i}", config) as stack:
            sizes.append(len(Client(stack.port).get(f"/iiif/3/s444.jpg/full/400,/0/default.{output}").body))
    assert sizes[0] < sizes[1] * 0.8


def test_a_pyramid_of_a_transparent_picture_lies_on_white(binary, images, tmp_path):
    """What cannot be seen in the original must not show in its pyramid."""
    hidden = Picture.new("RGBA", (600, 400), (255, 0, 0, 0))
    hidden.paste((0, 0, 255, 255), (0, 0, 300, 400))
    hidden.save(tmp_path / "hidden.png")
    subprocess.run([binary, "pyramid", tmp_path / "hidden.png", tmp_path / "hidden.tif"], check=True)
    (tmp_path / "c.conf").write_text(config_text([("", tmp_path, {})]))
    body = subprocess.run([binary, "--config", tmp_path / "c.conf", "get", "/iiif/3/hidden.tif/full/max/0/default.png"],
                          capture_output=True, check=True).stdout
    picture = Picture.open(io.BytesIO(body)).convert("RGB")
    for x, colour in ((150, (0, 0, 255)), (450, (255, 255, 255))):
        assert max(abs(a - b) for a, b in zip(picture.getpixel((x, 200)), colour)) <= 4
