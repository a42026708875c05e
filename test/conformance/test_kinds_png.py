# SPDX-License-Identifier: BSD-2-Clause
"""Every kind of PNG."""
import numpy as np
import pytest
from pngs import GRAY, GRAY_ALPHA, RGB, RGB_ALPHA, png

from kinds import Kind, check, deep_scene, gray_scene, rounded, scene, served

def few_bits(bits):
    samples = gray_scene() >> (8 - bits)
    return samples, np.rint(samples * (255 / (2 ** bits - 1))).astype(np.uint8)


def opacity(w=97, h=67):
    return np.rint(np.tile(np.linspace(0, 255, w), (h, 1))).astype(np.uint8)


def with_opacity(picture, o):
    return np.dstack([picture, o])


def kinds():
    for bits in (1, 2, 4):
        samples, want = few_bits(bits)
        half = 40 if bits == 1 else 12
        yield Kind(f"gray{bits}.png", png(samples, GRAY, bits), want, half=half)
        yield Kind(f"gray{bits}-interlaced.png", png(samples, GRAY, bits, interlaced=True), want, half=half)
    yield Kind("gray8.png", png(gray_scene(), GRAY, 8), gray_scene())
    yield Kind("rgb8.png", png(scene(), RGB, 8), scene())
    deep, deep_gray = deep_scene(), deep_scene(channels=1)
    for name, interlaced in (("", False), ("-interlaced", True)):
        yield Kind(f"gray16{name}.png", png(deep_gray, GRAY, 16, interlaced=interlaced), rounded(deep_gray))
        yield Kind(f"rgb16{name}.png", png(deep, RGB, 16, interlaced=interlaced), rounded(deep))
    deep_opacity = opacity().astype(np.uint16) * 257
    yield Kind("gray-alpha16.png", png(np.dstack([deep_gray, deep_opacity]), GRAY_ALPHA, 16),
               np.dstack([rounded(deep_gray), opacity()]))
    yield Kind("rgb-alpha16.png", png(np.dstack([deep, deep_opacity]), RGB_ALPHA, 16),
               np.dstack([rounded(deep), opacity()]))


KINDS = {kind.name: kind for kind in kinds()}


@pytest.fixture(scope="module")
def client(binary, scratch):
    with served(binary, scratch, "png", KINDS.values()) as client:
        yield client


@pytest.mark.parametrize("name", KINDS)
def test_kind(client, name):
    check(client, KINDS[name])
