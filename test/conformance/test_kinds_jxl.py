# SPDX-License-Identifier: BSD-2-Clause
"""Every kind of JPEG XL: coded by cjxl of pictures of our own."""
import os
import struct
import subprocess
import tempfile
import zlib

import numpy as np
import pytest
from make_images import adobe_like_profile, exif
from pngs import GRAY, GRAY_ALPHA, RGB, RGB_ALPHA, chunk, icc_chunk, packed, png
from writers import jpeg_of, segment

from kinds import Kind, Refusal, check, check_refusal, deep_scene, gray_scene, in_srgb, rounded, scene, served

OPACITY = np.rint(np.tile(np.linspace(0, 255, 97), (67, 1))).astype(np.uint8)
EXACT = ("-d", "0")


def coded(data, *options, end="png"):
    with tempfile.TemporaryDirectory() as folder:
        source, made = os.path.join(folder, f"a.{end}"), os.path.join(folder, "a.jxl")
        with open(source, "wb") as f:
            f.write(data)
        subprocess.run(["cjxl", source, made, "-e", "3", *options], check=True, capture_output=True)
        with open(made, "rb") as f:
            return f.read()


def animation():
    frame = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 97, 67, 0, 0, 1, 10, 0, 0))
    later = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 1, 97, 67, 0, 0, 1, 10, 0, 0)) + \
        chunk(b"fdAT", struct.pack(">I", 2) + zlib.compress(packed(255 - scene(), 8)))
    return png(scene(), RGB, 8, chunk(b"acTL", struct.pack(">II", 2, 0)) + frame, after=later)


def kinds():
    deep, deep_gray, deep_o = deep_scene(), deep_scene(channels=1), OPACITY.astype(np.uint16) * 257
    sources = {"rgb": (scene(), RGB, 8, scene()), "gray": (gray_scene(), GRAY, 8, gray_scene()),
               "clear": (np.dstack([scene(), OPACITY]), RGB_ALPHA, 8, np.dstack([scene(), OPACITY])),
               "gray-clear": (np.dstack([gray_scene(), OPACITY]), GRAY_ALPHA, 8, np.dstack([gray_scene(), OPACITY])),
               "deep": (deep, RGB, 16, rounded(deep)), "deep-gray": (deep_gray, GRAY, 16, rounded(deep_gray)),
               "deep-clear": (np.dstack([deep, deep_o]), RGB_ALPHA, 16, np.dstack([rounded(deep), OPACITY]))}
    for name, (samples, kind, bits, want) in sources.items():
        yield Kind(f"{name}-exact.jxl", coded(png(samples, kind, bits), *EXACT), want)
        yield Kind(f"{name}.jxl", coded(png(samples, kind, bits), "-d", "0.3"), want, 2, 24)
        yield Kind(f"{name}-boxed.jxl", coded(png(samples, kind, bits), *EXACT, "--container=1"), want)
    yield Kind("progressive.jxl", coded(png(scene(), RGB, 8), "-d", "0.3", "-p"), scene(), 2, 24)
    yield Kind("modular.jxl", coded(png(scene(), RGB, 8), "-d", "0.3", "-m", "1"), scene(), 2, 34)
    jpeg = jpeg_of(scene(), 1, 1)
    yield Kind("of-jpeg.jxl", coded(jpeg, end="jpg"), scene(), 2, 14)
    turned = jpeg[:2] + segment(0xE1, exif(6)) + jpeg[2:]
    yield Kind("turned6.jxl", coded(turned, end="jpg"), np.rot90(scene(), -1), 2, 14)
    yield Kind("animated.jxl", coded(animation(), *EXACT, end="apng"), scene())
    yield Kind("icc-exact.jxl", coded(png(scene(), RGB, 8, icc_chunk(adobe_like_profile())), *EXACT),
               in_srgb(scene(), adobe_like_profile()), most=2)
    yield Kind("icc.jxl", coded(png(scene(), RGB, 8, icc_chunk(adobe_like_profile())), "-d", "0.3"),
               in_srgb(scene(), adobe_like_profile()), 2, 40)
    yield Kind("one.jxl", coded(png(scene(1, 1), RGB, 8), *EXACT), scene(1, 1))
    yield Kind("large.jxl", coded(png(scene(270, 260), RGB, 8), *EXACT), scene(270, 260))


def refusals():
    good = coded(png(scene(), RGB, 8), *EXACT)
    for name, space in (("pq", "RGB_D65_202_Rel_PeQ"), ("hlg", "RGB_D65_202_Rel_HLG")):
        yield Refusal(f"{name}.jxl", coded(png(deep_scene(), RGB, 16), *EXACT, "-x", f"color_space={space}"), 501, "unsupported")
    yield Refusal("head.jxl", good[:3], 500, "damaged")
    yield Refusal("zeros.jxl", b"\xff\x0a" + bytes(60), 500, "damaged")
    yield Refusal("boxed-zeros.jxl", b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(60), 500, "damaged")
    yield Refusal("garbage.jxl", good[:2] + b"\xff" * 500, 500, "damaged")


def test_it_can_be_left_out(binary, scratch):
    files = [Refusal("a.jxl", coded(png(scene(), RGB, 8), *EXACT), 501, "unsupported")]
    with served(binary, scratch, "no-jxl", files, images={"jxl": False}) as client:
        check_refusal(client, files[0])


def damaged():
    good = coded(png(scene(), RGB, 8), *EXACT)
    yield "cut.jxl", good[:-500]
    yield "cut-lossy.jxl", coded(png(scene(), RGB, 8), "-d", "0.3")[:-300]


KINDS = {kind.name: kind for kind in kinds()}
REFUSALS = {refusal.name: refusal for refusal in refusals()}
DAMAGED = dict(damaged())


@pytest.fixture(scope="module")
def client(binary, scratch):
    broken = [Refusal(name, data, 500, "damaged") for name, data in DAMAGED.items()]
    with served(binary, scratch, "jxl", [*KINDS.values(), *REFUSALS.values(), *broken]) as client:
        yield client


@pytest.mark.parametrize("name", KINDS)
def test_kind(client, name):
    check(client, KINDS[name])


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal(client, name):
    check_refusal(client, REFUSALS[name])


@pytest.mark.parametrize("name", DAMAGED)
def test_damage(client, name):
    assert client.get(f"/iiif/3/{name}/full/max/0/default.png").status == 500
