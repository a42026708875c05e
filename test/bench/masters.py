# SPDX-License-Identifier: BSD-2-Clause
"""Invented photographs for scripts/bench: things of all sizes one before the other, with edges, textures, writing and noise.

Leaves that fall on each other, their radii by a power law, have the statistics of photographs: the same detail at every
scale, and edges. Each leaf has a colour and a texture of its own (noise of equal strength in each octave), light falls
unevenly, a lens and a sensor do the rest.
"""
import functools
from multiprocessing import Pool

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

BAND = 250
MARGIN = 4
TEXTURES = 4
TEXTURE_SIDE = 1024


@functools.lru_cache(maxsize=None)
def texture(number):
    """A periodic field of noise, its spectrum falling by the power 0.9 to 1.5, of standard deviation 1."""
    r = np.random.default_rng(1000 + number)
    f = np.hypot(np.fft.fftfreq(TEXTURE_SIDE)[:, None], np.fft.rfftfreq(TEXTURE_SIDE)[None, :])
    f[0, 0] = 1
    spectrum = np.fft.rfft2(r.standard_normal((TEXTURE_SIDE, TEXTURE_SIDE))) / f ** (0.9 + 0.2 * number)
    spectrum[0, 0] = 0
    field = np.fft.irfft2(spectrum)
    return (field / field.std()).astype(np.float32)


def leaves(width, height, seed):
    """(x, y, radius, squeeze, colour) from the back to the front."""
    r = np.random.default_rng(seed)
    n = 8000
    smallest, largest = height / 700, height / 5
    radius = (smallest ** -1.5 + r.random(n) * (largest ** -1.5 - smallest ** -1.5)) ** (-1 / 1.5)
    big = largest * r.random(150) ** 0.5
    radius = np.concatenate([big, radius])
    n = len(radius)
    shade, tint = r.uniform(60, 195, (n, 1)), r.normal(0, 20, (24, 3))[r.integers(0, 24, n)]
    colour = np.clip(shade + tint, 0, 255).astype(int)
    return list(zip(r.random(n) * width, r.random(n) * height, radius, r.uniform(0.4, 1, n), map(tuple, colour)))


def draw_band(width, height, top, bottom, seed):
    """Colours of the leaves in these rows, and which texture each has."""
    size = (width, bottom - top)
    colours, kinds = Image.new("RGB", size, (120, 118, 110)), Image.new("L", size)
    paint, mark = ImageDraw.Draw(colours), ImageDraw.Draw(kinds)
    for i, (x, y, radius, squeeze, colour) in enumerate(leaves(width, height, seed)):
        tall = radius * squeeze
        if y + tall < top or y - tall > bottom:
            continue
        box = (x - radius, y - tall - top, x + radius, y + tall - top)
        shape = ("ellipse", "rectangle", "ellipse", "ellipse")[i % 4]
        getattr(paint, shape)(box, fill=colour)
        getattr(mark, shape)(box, fill=1 + i % (TEXTURES * 4))
    for k, y in enumerate(range(height // 4, height, height // 4)):
        for line in range(10):
            at = y + line * 14
            if top - 14 < at < bottom:
                words = f"leaf {k} line {line}: the quick brown fox jumps over the lazy dog, 0123456789. " * 3
                paint.text((width * (k % 5) / 6, at - top), words, (25, 20, 20) if k % 2 else (240, 240, 230))
    return colours.filter(ImageFilter.GaussianBlur(0.6)), np.asarray(kinds)


def band(task):
    width, height, top, seed = task
    above, below = max(top - MARGIN, 0), min(top + BAND + MARGIN, height)
    colours, kinds = draw_band(width, height, above, below, seed)
    keep = slice(top - above, min(top + BAND, height) - above)
    rows = np.asarray(colours)[keep].astype(np.float32)
    kinds = kinds[keep]
    y = np.arange(top, top + len(rows)) % TEXTURE_SIDE
    x = np.arange(width) % TEXTURE_SIDE
    light = np.empty(kinds.shape, np.float32)
    strengths = np.array([3, 6, 10, 15, 22] * 4, np.float32)[np.arange(1 + TEXTURES * 4)]
    for number in range(TEXTURES):
        mine = kinds % TEXTURES == number
        light[mine] = texture(number)[y[:, None], x[None, :]][mine]
    light *= strengths[kinds]
    r = np.random.default_rng((seed, top))
    sensor = r.standard_normal(kinds.shape, np.float32) * 3
    fall = (np.linspace(-1, 1, width)[None, :] ** 2 + (np.arange(top, top + len(rows))[:, None] / height * 2 - 1) ** 2)
    rows *= (1.05 - 0.18 * fall)[..., None].astype(np.float32)
    rows += (light + sensor)[..., None]
    return np.clip(rows, 0, 255).astype(np.uint8)


def make(width, height, seed=1):
    with Pool(2) as pool:
        parts = pool.map(band, [(width, height, top, seed) for top in range(0, height, BAND)], chunksize=1)
    return Image.fromarray(np.concatenate(parts))
