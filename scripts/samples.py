# SPDX-License-Identifier: BSD-2-Clause
"""The sample images of scripts/run, made from nothing but arithmetic: samples.py FOLDER LORIKEET.

    island.tif        12,800 x 8,192 (105 megapixels): an invented map, tiled pyramid by `lorikeet pyramid`
    island-flat.jpg   the same as one flat JPEG
    marble.jpg        3,000 x 2,000, baseline
    marble-gray.tif   gray, in strips, deflate
    upright.jpg       stored on its side, turned by its EXIF orientation
    two-pages.tif     a file of two images: two-pages.tif;2 is the second
"""
import os
import subprocess
import sys
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

WIDTH, HEIGHT, BAND = 12800, 8192, 512
OCTAVES = 12
SEA = 0.5
# Height above the bottom of the sea (0 to 1), and the colour of the map there.
COLOURS = [(0.00, (12, 38, 84)), (0.35, (28, 84, 140)), (0.48, (92, 160, 190)), (0.499, (166, 208, 214)),
           (0.501, (232, 222, 180)), (0.53, (150, 176, 104)), (0.62, (84, 132, 72)), (0.72, (146, 128, 88)),
           (0.84, (150, 140, 134)), (0.92, (236, 238, 242)), (1.00, (255, 255, 255))]


def noise(seed, cells, box, size):
    """A smooth random field from -1 to 1: its part `box` (0 to 1 of the whole), drawn at `size`."""
    grid = np.random.default_rng(seed).uniform(-1, 1, (cells[1] + 4, cells[0] + 4)).astype(np.float32)
    x0, y0, x1, y1 = box
    part = (2 + x0 * cells[0], 2 + y0 * cells[1], 2 + x1 * cells[0], 2 + y1 * cells[1])
    return np.asarray(Image.fromarray(grid).resize(size, Image.Resampling.BICUBIC, box=part))


def heights(width, height, top, bottom, seed):
    """Rows top to bottom of the landscape; an island, as it sinks towards the edges."""
    box, size = (0, top / height, 1, bottom / height), (width, bottom - top)
    total = np.zeros((bottom - top, width), np.float32)
    for k in range(OCTAVES):
        total += noise(seed + k, (3 << k, 2 << k), box, size) / 2 ** (k * 0.95)
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = (np.arange(top, bottom, dtype=np.float32)[:, None] + .5) / height * 2 - 1
    return np.clip(0.62 + 0.26 * total - 0.42 * (x ** 4 + y ** 4), 0, 1)


def paint(rows):
    """Hypsometric colours, hillshade and contour lines. One row more above and below than comes back."""
    steps = np.linspace(0, 1, 4096)
    places = [c[0] for c in COLOURS]
    table = np.stack([np.interp(steps, places, [c[1][i] for c in COLOURS]) for i in range(3)], 1).astype(np.float32)
    mid = rows[1:-1]
    slope = (rows[2:] - rows[:-2]) + np.gradient(mid, axis=1) * 2
    light = np.clip(1 - slope * np.where(mid > SEA, 260, 60), 0.45, 1.4)
    lines = np.abs((mid * 60) % 1 - 0.5) / np.maximum(np.abs(slope) * 60, 0.02)
    light *= np.where((lines < 0.6) & (mid > SEA), 0.82, 1)
    return np.clip(table[(mid * 4095).astype(np.int16)] * light[..., None], 0, 255).astype(np.uint8)


def band(top):
    above, below = max(top - 1, 0), min(top + BAND + 1, HEIGHT)
    rows = heights(WIDTH, HEIGHT, above, below, 7)
    rows = np.pad(rows, ((above - top + 1, top + BAND + 1 - below), (0, 0)), "edge")
    return paint(rows)


def island():
    with Pool(2) as pool:
        picture = Image.fromarray(np.concatenate(pool.map(band, range(0, HEIGHT, BAND))))
    draw = ImageDraw.Draw(picture)
    for x in range(0, WIDTH, 512):
        draw.line((x, 0, x, HEIGHT), (60, 60, 60))
    for y in range(0, HEIGHT, 512):
        draw.line((0, y, WIDTH, y), (60, 60, 60))
    for y in range(0, HEIGHT, 512):
        for x in range(0, WIDTH, 512):
            draw.text((x + 4, y + 3), f"{chr(65 + x // 512)}{y // 512 + 1}  {x},{y}", (20, 20, 20))
    return picture


def marble(width, height):
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / height
    warp, cloud = (sum(noise(seed + k, (3 << k, 2 << k), (0, 0, 1, 1), (width, height)) / 1.9 ** k for k in range(9))
                   for seed in (50, 80))
    vein = np.abs(np.sin(5 * x + 3 * y + 2.2 * warp)) ** 0.45
    stone = np.stack([np.clip(base + spread * cloud, 0, 255) for base, spread in ((222, 18), (212, 26), (198, 34))], 2)
    return Image.fromarray((stone * vein[..., None] + (1 - vein[..., None]) * (62, 74, 70)).astype(np.uint8))


def make(folder, lorikeet):
    flat, veined = island(), marble(3000, 2000)
    flat.save(folder / "island-flat.jpg", quality=90)
    subprocess.run([lorikeet, "pyramid", folder / "island-flat.jpg", folder / "island.tif"], check=True,
                   env={**os.environ, "LORIKEET_IMAGES_JPEG_QUALITY": "90", "LORIKEET_CONFIG": "/dev/null"})
    veined.save(folder / "marble.jpg", quality=90)
    veined.convert("L").save(folder / "marble-gray.tif", compression="tiff_adobe_deflate")
    exif = Image.Exif()
    exif[0x0112] = 6
    flat.crop((4000, 2500, 6400, 4000)).transpose(Image.Transpose.ROTATE_90).save(folder / "upright.jpg", quality=90,
                                                                                exif=exif)
    veined.resize((900, 600)).save(folder / "two-pages.tif", compression="tiff_lzw", save_all=True,
                                   append_images=[flat.crop((6000, 3000, 7200, 3800))])


if __name__ == "__main__":
    where = Path(sys.argv[1])
    where.mkdir(parents=True, exist_ok=True)
    make(where, Path(sys.argv[2]).resolve())
