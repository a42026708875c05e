#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Makes the images that the tests serve: `make_images.py FOLDER`.

All are drawn here, so there is no licence but ours. A picture is a board of 10 x 10 flat squares
whose colours square(column, row) gives, with a fine ripple over it, so that tests know the colour
at any point and resampling has detail to show. Nothing is made twice: a stamp holds these scripts' hash.
"""
import hashlib
import os
import struct
import subprocess
import sys

import numpy as np
from PIL import Image, ImageCms

import jp2_images

BOARD = 10


def square(column, row):
    """The colour of a square of the board: far from black and white, unlike its neighbours'."""
    return (40 + (column * 67 + row * 31) % 176, 40 + (column * 29 + row * 97) % 176,
            40 + (column * 113 + row * 59) % 176)


def board(w, h, ripple=6):
    """The picture as an array of h x w x 3."""
    columns = np.minimum(np.arange(w) * BOARD // w, BOARD - 1)
    rows = np.minimum(np.arange(h) * BOARD // h, BOARD - 1)
    colours = np.array([[square(c, r) for c in range(BOARD)] for r in range(BOARD)], np.int16)
    picture = colours[rows[:, None], columns[None, :]]
    if ripple:
        wave = np.sin(np.arange(w) / 5.0)[None, :] * np.cos(np.arange(h) / 7.0)[:, None]
        picture = picture + np.rint(wave * ripple).astype(np.int16)[:, :, None]
    return picture.astype(np.uint8)


def exif(orientation):
    return (b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01" +
            struct.pack(">HH", orientation, 0) + b"\0\0\0\0")


def adobe_like_profile():
    """A matrix profile with wide primaries and gamma 2.2, written by hand (ICC.1:2001)."""
    def s15(v):
        return struct.pack(">i", round(v * 65536))

    def xyz(x, y, z):
        return b"XYZ \0\0\0\0" + s15(x) + s15(y) + s15(z)
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)) + b"\0\0"
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"wide\0" + b"\0" * 78
    text += b"\0" * (-len(text) % 4)
    tags = [(b"desc", text), (b"wtpt", xyz(0.9505, 1, 1.0891)), (b"rXYZ", xyz(0.60974, 0.31111, 0.01947)),
            (b"gXYZ", xyz(0.20528, 0.62567, 0.06087)), (b"bXYZ", xyz(0.14919, 0.06322, 0.74457)),
            (b"rTRC", curve), (b"gTRC", curve), (b"bTRC", curve), (b"cprt", b"text\0\0\0\0none\0\0\0\0")]
    offset, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, data in tags:
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data
    size = offset + len(body)
    head = struct.pack(">I4sI4s4s4s", size, b"none", 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28
    head += s15(0.9642) + s15(1) + s15(0.8249)
    return head + b"\0" * (128 - len(head)) + struct.pack(">I", len(tags)) + table + body


def save_jpeg(folder, name, array, **options):
    options = {"quality": 90, "subsampling": "4:2:0", **options}
    Image.fromarray(array).save(os.path.join(folder, name), "JPEG", **options)


# The images of the digest's section 14, by letter.
EXAMPLES = {"A": (6000, 4000), "P": (300, 200), "S": (200, 150), "T": (12000, 100), "V": (1000, 1000),
            "E": (2411, 3372), "F": (4097, 4096), "O": (1001, 667)}


def make(folder):
    for name, (w, h) in EXAMPLES.items():
        save_jpeg(folder, name + ".jpg", board(w, h, ripple=0 if name == "V" else 6))
    Image.fromarray(board(6000, 4000)).convert("L").save(os.path.join(folder, "G.jpg"), quality=90)

    odd = board(1003, 701)
    for name, sampling in (("s420", "4:2:0"), ("s422", "4:2:2"), ("s444", "4:4:4")):
        save_jpeg(folder, name + ".jpg", odd, subsampling=sampling, quality=95)
    save_jpeg(folder, "progressive.jpg", odd, progressive=True, quality=95)
    Image.fromarray(odd).convert("L").save(os.path.join(folder, "gray.jpg"), quality=95)
    for n in range(1, 9):
        save_jpeg(folder, f"orientation{n}.jpg", odd, exif=exif(n), quality=95)
    save_jpeg(folder, "wide.jpg", odd, icc_profile=adobe_like_profile(), quality=95)
    save_jpeg(folder, "srgb.jpg", odd, quality=95,
              icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())

    tiff = Image.fromarray(odd)
    for name, compression in (("none", "raw"), ("lzw", "tiff_lzw"), ("deflate", "tiff_adobe_deflate"),
                              ("packbits", "packbits")):
        tiff.save(os.path.join(folder, f"{name}.tif"), compression=compression)
    tiff.convert("L").save(os.path.join(folder, "gray.tif"), compression="tiff_lzw")
    tiff.resize((400, 300)).save(os.path.join(folder, "pages.tif"), save_all=True,
                                 append_images=[Image.fromarray(board(320, 200, 0)), tiff.convert("L")])

    def tiffcp(source, target, *words):
        subprocess.run(["tiffcp", *words, os.path.join(folder, source), os.path.join(folder, target)], check=True)
    tiffcp("none.tif", "tiled-deflate.tif", "-c", "zip", "-t", "-w", "128", "-l", "128")
    tiffcp("none.tif", "tiled-none.tif", "-c", "none", "-t", "-w", "256", "-l", "128")
    tiffcp("none.tif", "tiled-jpeg.tif", "-c", "jpeg:95", "-t", "-w", "256", "-l", "256")
    tiffcp("none.tif", "striped-jpeg.tif", "-c", "jpeg:95", "-s", "-r", "64")

    jp2_images.make(folder, odd, adobe_like_profile())

    whole = open(os.path.join(folder, "s420.jpg"), "rb").read()
    open(os.path.join(folder, "cut.jpg"), "wb").write(whole[:len(whole) // 2])
    whole = open(os.path.join(folder, "lzw.tif"), "rb").read()
    open(os.path.join(folder, "cut.tif"), "wb").write(whole[:len(whole) // 2])


def ensure(folder):
    made_by = b"".join(open(script, "rb").read() for script in (__file__, jp2_images.__file__))
    stamp = hashlib.sha256(made_by).hexdigest()
    path = os.path.join(folder, ".stamp")
    if not os.path.exists(path) or open(path).read() != stamp:
        os.makedirs(folder, exist_ok=True)
        make(folder)
        with open(path, "w") as f:
            f.write(stamp)
    return folder


if __name__ == "__main__":
    ensure(sys.argv[1])
