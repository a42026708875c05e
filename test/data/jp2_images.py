# SPDX-License-Identifier: BSD-2-Clause
"""JPEG 2000 files for make_images.py: by Pillow, by opj_compress where Pillow has no option, and by hand around a
codestream where neither writes the boxes."""
import os
import struct
import subprocess
import tempfile

import numpy as np
from PIL import Image

from jp2_streams import compressed, merged


def box(kind, content):
    return struct.pack(">I4s", 8 + len(content), kind) + content


def jp2(codestream, w, h, components, *boxes):
    """A JP2 file with these boxes in its header beside ihdr."""
    header = box(b"ihdr", struct.pack(">IIHBBBB", h, w, components, 7, 7, 0, 0)) + b"".join(boxes)
    return (b"\0\0\0\x0cjP  \r\n\x87\n" + box(b"ftyp", b"jp2 \0\0\0\0jp2 ") + box(b"jp2h", header) +
            box(b"jp2c", codestream))


def enumerated(space):
    return box(b"colr", struct.pack(">BBBI", 1, 0, 0, space))


def profile(icc):
    return box(b"colr", b"\2\0\0" + icc)


def definitions(*channels):
    """A cdef box: for each channel its kind (0 colour, 1 opacity, 2 premultiplied opacity) and what it belongs to."""
    return box(b"cdef", struct.pack(">H", len(channels)) +
               b"".join(struct.pack(">HHH", i, kind, of) for i, (kind, of) in enumerate(channels)))


def palette(colours):
    return box(b"pclr", struct.pack(">HB", len(colours), 3) + b"\7\7\7" + colours.astype(np.uint8).tobytes())


def mapping(columns):
    return box(b"cmap", b"".join(struct.pack(">HBB", 0, 1, i) for i in range(columns)))


def codestream(picture, **options):
    with tempfile.NamedTemporaryFile(suffix=".j2k") as file:
        picture.save(file, "JPEG2000", no_jp2=True, **options)
        file.seek(0)
        return file.read()


def ramp(w, h):
    """Opacity for the tests: clear at the left edge, opaque from the middle on."""
    return np.broadcast_to(np.minimum(np.arange(w) * 510 // w, 255).astype(np.uint8), (h, w))


def make(folder, board, wide_profile):
    h, w = board.shape[:2]
    picture, gray = Image.fromarray(board), Image.fromarray(board).convert("L")

    def path(name):
        return os.path.join(folder, name)

    def write(name, content):
        with open(path(name), "wb") as file:
            file.write(content)

    def compress(target, source, *words):
        subprocess.run(["opj_compress", "-i", path(source), "-o", path(target), *words], check=True,
                       stdout=subprocess.DEVNULL)

    picture.save(path("lossless.jp2"), mct=1)
    picture.save(path("lossy.jp2"), quality_layers=[20], irreversible=True, mct=1)
    picture.save(path("tiled.jp2"), mct=1, tile_size=(256, 256), progression="RLCP")
    picture.save(path("tiled-lossy.jp2"), tile_size=(200, 133), num_resolutions=4, progression="RPCL",
                 quality_layers=[8], irreversible=True, mct=1)
    picture.save(path("layers.jp2"), progression="PCRL", precinct_size=(128, 128), codeblock_size=(32, 32),
                 quality_layers=[60, 25, 10], irreversible=True, mct=1)
    gray.save(path("gray.jp2"))
    write("raw.j2k", codestream(picture, mct=1))

    # What Pillow has no words for, or gets wrong: offsets, markers, tile parts, halved chroma, other depths.
    picture.save(path("plain.ppm"))
    # Not with 6 resolutions: OpenJPEG 2.5 does not get the last column's tiles back, which are 11 pixels wide.
    compress("offset.jp2", "plain.ppm", "-d", "37,21", "-T", "5,3", "-t", "256,256", "-n", "5")
    compress("markers.jp2", "plain.ppm", "-SOP", "-EPH", "-PLT", "-TLM", "-t", "300,300", "-p", "CPRL", "-M", "8")
    compress("parts.jp2", "plain.ppm", "-p", "RLCP", "-TP", "R", "-t", "400,400", "-I", "-r", "30,10")
    y, *chroma = picture.convert("YCbCr").split()
    halves = [c.resize(((w + 1) // 2, (h + 1) // 2), Image.BOX) for c in chroma]
    # opj_compress takes w * h / 4 samples of chroma, whatever the odd sides come to: its last row is lost.
    write("plain.raw", y.tobytes() + b"".join(c.tobytes()[:w * h // 4] for c in halves))
    compress("ycc420.j2k", "plain.raw", "-F", f"{w},{h},3,8,u@1x1:2x2:2x2")
    write("plain.raw", (np.asarray(gray) >> 4).tobytes())
    compress("bits4.j2k", "plain.raw", "-F", f"{w},{h},1,4,u")
    write("plain.raw", (np.asarray(gray).astype(np.int16) - 128).astype(np.int8).tobytes())
    compress("signed.j2k", "plain.raw", "-F", f"{w},{h},1,8,s")
    for name in ("plain.ppm", "plain.raw"):
        os.unlink(path(name))
    Image.fromarray(np.asarray(gray).astype(np.uint16) * 257).save(path("deep.jp2"))

    # What neither has: boxes.
    opacity = Image.fromarray(ramp(w, h))
    rgba = picture.copy()
    rgba.putalpha(opacity)
    four = codestream(rgba, mct=1)
    write("alpha.jp2", jp2(four, w, h, 4, enumerated(16), definitions((0, 1), (0, 2), (0, 3), (1, 0))))
    ink = np.dstack([board, ramp(w, h)]).astype(np.uint16) * 257
    write("cmyk.jp2", jp2(compressed(ink, bits=16), w, h, 4, enumerated(12)))
    planes = [np.asarray(plane) for plane in picture.convert("YCbCr").split()]
    thin = merged(*((compressed(plane[::step, ::step]), step, step)
                    for plane, step in zip((*planes, ramp(w, h)), (1, 2, 2, 1))), w=w, h=h)
    write("ycc420-alpha.jp2", jp2(thin, w, h, 4, enumerated(18), definitions((0, 1), (0, 2), (0, 3), (1, 0))))
    write("unnamed.jp2", jp2(four, w, h, 4, enumerated(16)))
    write("romm.jp2", jp2(four, w, h, 4, enumerated(21)))
    swapped = codestream(Image.merge("RGB", picture.split()[::-1]))
    write("swapped.jp2", jp2(swapped, w, h, 3, enumerated(16), definitions((0, 3), (0, 2), (0, 1))))
    faded = Image.fromarray((board.astype(np.uint16) * ramp(w, h)[:, :, None] // 255).astype(np.uint8))
    faded.putalpha(opacity)
    write("premultiplied.jp2", jp2(codestream(faded), w, h, 4, enumerated(16),
                                   definitions((0, 1), (0, 2), (0, 3), (2, 0))))
    pair = Image.merge("LA", (gray, opacity))
    write("gray-alpha.jp2", jp2(codestream(pair), w, h, 2, enumerated(17), definitions((0, 1), (1, 0))))
    ycc = picture.convert("YCbCr")
    write("ycc.jp2", jp2(codestream(Image.merge("RGB", ycc.split())), w, h, 3, enumerated(18)))
    columns, rows = np.arange(w) * 10 // w, np.arange(h) * 10 // h
    indices = Image.fromarray((rows[:, None] * 10 + columns[None, :]).astype(np.uint8))
    middles = np.arange(10) * 2 + 1
    colours = board[middles[:, None] * h // 20, middles[None, :] * w // 20].reshape(-1, 3)
    write("palette.jp2", jp2(codestream(indices), w, h, 1, enumerated(16), palette(colours), mapping(3)))
    write("wide.jp2", jp2(codestream(picture, mct=1), w, h, 3, profile(wide_profile)))
