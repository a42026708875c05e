#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Makes the images that the tests serve: `make_images.py FOLDER`.

All are drawn here, so there is no licence but ours. A picture is a board of 10 x 10 flat squares
whose colours square(column, row) gives, with a fine ripple over it, so that tests know the colour
at any point and resampling has detail to show. Nothing is made twice: a stamp holds this script's hash.
"""
import hashlib
import os
import struct
import subprocess
import sys

import numpy as np
from PIL import Image, ImageCms

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


def frames():
    """A GIF of 1003 x 701 whose first frame lies at 103,101 and is clear in its left part; three colours."""
    first = Image.new("P", (700, 400), 1)
    first.putpalette([9, 9, 9, 200, 30, 40, 20, 60, 220, 250, 250, 250])
    first.paste(2, (350, 0, 700, 400))
    first.paste(0, (0, 0, 50, 400))
    second = Image.new("P", (1003, 701), 3)
    second.putpalette([9, 9, 9, 200, 30, 40, 20, 60, 220, 250, 250, 250])

    def block(image, x, y, transparent):
        body = b"\x21\xf9\x04" + struct.pack("<BHBB", 9 if transparent else 8, 10, 0, 0)
        body += b"\x2c" + struct.pack("<4HB", x, y, *image.size, 0) + b"\x02"
        # LZW in its simplest form: a clear code before the table would make codes wider.
        bits, n, data = 0, 0, bytearray()
        for i, v in enumerate(image.tobytes()):
            for code in ((4, v) if i % 2 == 0 else (v,)):
                bits |= code << n
                n += 3
                while n >= 8:
                    data.append(bits & 255)
                    bits >>= 8
                    n -= 8
        bits |= 5 << n
        data += bytes([bits & 255, bits >> 8])
        return body + b"".join(bytes([len(data[i:i + 255])]) + data[i:i + 255]
                               for i in range(0, len(data), 255)) + b"\0"
    table = bytes(first.getpalette()[:12])
    return (b"GIF89a" + struct.pack("<HHBBB", 1003, 701, 0x91, 0, 0) + table + b"\x21\xff\x0bNETSCAPE2.0\x03\1\0\0\0" +
            block(first, 103, 101, True) + block(second, 0, 0, False) + b";")


def psd(array, compression, layers=b"", resources=b""):
    """A PSD of its merged picture: h x w x channels, 8 or 16 bits; compression 0 or 1 (PackBits)."""
    h, w, channels = array.shape
    depth = array.dtype.itemsize * 8
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, channels, h, w, depth, 3 if channels >= 3 else 1) + b"\0\0\0\0"
    head += struct.pack(">I", len(resources)) + resources + struct.pack(">I", len(layers)) + layers
    rows = [array[y, :, c].astype(array.dtype.newbyteorder(">")).tobytes() for c in range(channels) for y in range(h)]
    if compression:
        rows = [b"".join(bytes([len(r[i:i + 128]) - 1]) + r[i:i + 128] for i in range(0, len(r), 128)) for r in rows]
        head += struct.pack(">H", 1) + b"".join(struct.pack(">H", len(r)) for r in rows)
    else:
        head += struct.pack(">H", 0)
    return head + b"".join(rows)


def bmp_with_alpha(array):
    """A BMP with masks and opacity, bottom row first: h x w x 4."""
    h, w, _ = array.shape
    pixels = array[::-1, :, [2, 1, 0, 3]].tobytes()
    head = struct.pack("<IiiHHIIiiII4I4s", 108, w, h, 1, 32, 3, len(pixels), 2835, 2835, 0, 0,
                       0xff0000, 0xff00, 0xff, 0xff000000, b"BGRs") + bytes(48)
    return b"BM" + struct.pack("<IHHI", 122 + len(pixels), 0, 0, 122) + head + pixels


def slope(w, h):
    """Opacity of 0 at the left, 255 at the right."""
    return np.broadcast_to((np.arange(w) * 255 // (w - 1)).astype(np.uint8), (h, w))


def make_exotic(folder, odd):
    """What ImageMagick reads."""
    def put(name, data):
        with open(os.path.join(folder, name), "wb") as f:
            f.write(data)
    h, w, _ = odd.shape
    picture, gray = Image.fromarray(odd), Image.fromarray(odd).convert("L")
    clear = np.dstack([odd, slope(w, h)])
    picture.quantize(256, dither=Image.Dither.NONE).save(os.path.join(folder, "colours.gif"))
    picture.quantize(256, dither=Image.Dither.NONE).save(os.path.join(folder, "interlaced.gif"), interlace=1)
    gray.save(os.path.join(folder, "gray.gif"))
    put("frames.gif", frames())
    picture.save(os.path.join(folder, "rgb.bmp"))
    gray.save(os.path.join(folder, "gray.bmp"))
    put("alpha.bmp", bmp_with_alpha(clear))
    picture.save(os.path.join(folder, "rgb.ppm"))
    gray.save(os.path.join(folder, "gray.pgm"))
    put("deep.ppm", b"P6\n# sixteen bits\n%d %d\n65535\n" % (w, h) + (odd.astype(np.uint16) * 257).astype(">u2").tobytes())
    put("alpha.pam", b"P7\nWIDTH %d\nHEIGHT %d\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n" % (w, h) + clear.tobytes())
    put("plain.psd", psd(odd, 0))
    put("packed.psd", psd(odd, 1, resources=b"8BIM" + struct.pack(">H2xI", 0x040f, len(adobe_like_profile())) +
                          adobe_like_profile() + b"\0" * (len(adobe_like_profile()) & 1)))
    put("deep.psd", psd(odd.astype(np.uint16) * 257, 0))
    put("gray.psd", psd(np.array(gray)[:, :, None], 1))
    # Merged pictures lie on white. The layers' own records are rubbish: nobody may look at them.
    opacity = slope(w, h)[:, :, None] / 255
    white = np.rint(odd * opacity + 255 * (1 - opacity)).astype(np.uint8)
    put("alpha.psd", psd(np.dstack([white, slope(w, h)]), 1, layers=struct.pack(">Ih", 2000, -1) + b"\xff" * 2000))
    put("selection.psd", psd(clear, 0, layers=struct.pack(">Ih", 2000, 1) + b"\xff" * 2000))
    put("layers.psd", psd(odd, 0, resources=b"8BIM" + struct.pack(">H2xIIBx", 0x0421, 5, 1, 0)))


def make_heif(folder, odd):
    """HEIC and AVIF, of libheif's own encoder."""
    h, w, _ = odd.shape
    part = os.path.join(folder, "part.png")

    def put(array, *names):
        Image.fromarray(array).save(part)
        for name in names:
            subprocess.run(["heif-enc", "-q", "95", *(["-A", "-p", "speed=8"] if name.endswith("avif") else []), "-o",
                            os.path.join(folder, name), part], check=True, stdout=subprocess.DEVNULL)
    put(odd, "s.heic", "s.avif")
    # Below the codec's least side it becomes a grid of one tile.
    put(odd[:24, :40], "grid.heic")
    put(np.dstack([odd, slope(w, h)]), "clear.heic", "clear.avif")
    os.remove(part)
    # An EXIF orientation does not count in HEIF: turning is a property of its own.
    subprocess.run(["heif-enc", "-q", "95", "-o", os.path.join(folder, "exif6.heic"), os.path.join(folder, "wide6.jpg")],
                   check=True, stdout=subprocess.DEVNULL)


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

    save_jpeg(folder, "wide6.jpg", odd, icc_profile=adobe_like_profile(), exif=exif(6), quality=95)
    make_exotic(folder, odd)
    make_heif(folder, odd)

    whole = open(os.path.join(folder, "s420.jpg"), "rb").read()
    open(os.path.join(folder, "cut.jpg"), "wb").write(whole[:len(whole) // 2])
    whole = open(os.path.join(folder, "lzw.tif"), "rb").read()
    open(os.path.join(folder, "cut.tif"), "wb").write(whole[:len(whole) // 2])


def ensure(folder):
    with open(__file__, "rb") as f:
        stamp = hashlib.sha256(f.read()).hexdigest()
    path = os.path.join(folder, ".stamp")
    if not os.path.exists(path) or open(path).read() != stamp:
        os.makedirs(folder, exist_ok=True)
        make(folder)
        with open(path, "w") as f:
            f.write(stamp)
    return folder


if __name__ == "__main__":
    ensure(sys.argv[1])
