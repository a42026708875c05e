# SPDX-License-Identifier: BSD-2-Clause
"""Orientation: all eight of each format that says one, and what is no orientation."""
import io
import struct
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from heif_properties import mirrored, turned, with_properties
from make_images import exif
from PIL import Image as Picture
from PIL import ImageOps
from pngs import RGB, chunk, png
from writers import segment

from kinds import Kind, check, deep_scene, printed, rounded, scene, served

UPRIGHT = {1: lambda p: p, 2: lambda p: p[:, ::-1], 3: lambda p: p[::-1, ::-1], 4: lambda p: p[::-1],
           5: lambda p: p.transpose(1, 0, 2), 6: lambda p: np.rot90(p, -1),
           7: lambda p: np.rot90(p, 2).transpose(1, 0, 2), 8: np.rot90}
SHORT, LONG = 3, 4


def directory(value, order=">", kind=SHORT):
    """An EXIF block that has nothing but an orientation."""
    entry = struct.pack(order + ("HHIHH" if kind == SHORT else "HHII"), 0x112, kind, 1, value, *[0] * (kind == SHORT))
    return {">": b"MM", "<": b"II"}[order] + struct.pack(order + "HIH", 42, 8, 1) + entry + b"\0\0\0\0"


def saved(kind, picture=None, **options):
    out = io.BytesIO()
    (Picture.fromarray(scene()) if picture is None else picture).save(out, kind, quality=95, **options)
    return out.getvalue()


def decoded(data):
    return np.asarray(Picture.open(io.BytesIO(data)))


def with_app1(data, *bodies):
    return data[:2] + b"".join(segment(0xE1, body) for body in bodies) + data[2:]


def with_exif(data, block):
    return with_app1(data, b"Exif\0\0" + block)


def all_eight():
    half, progressive = (saved("JPEG", subsampling="4:2:0", progressive=p) for p in (False, True))
    cmyk = 255 - np.dstack([scene(), scene().max(2)])
    inks = saved("JPEG", Picture.fromarray(cmyk, "CMYK"))
    deep = deep_scene()
    for n, turn in UPRIGHT.items():
        yield Kind(f"half{n}.jpg", with_exif(half, directory(n)), turn(decoded(half)), 1.2, 12)
        yield Kind(f"progressive{n}.jpg", with_exif(progressive, directory(n)), turn(decoded(progressive)), 1.2, 12)
        yield Kind(f"inks{n}.jpg", with_exif(inks, directory(n)), turn(printed(cmyk)), 1.5, 14)
        block = chunk(b"eXIf", directory(n))
        yield Kind(f"eight{n}.png", png(scene(), RGB, 8, before=block), turn(scene()))
        yield Kind(f"deep{n}.png", png(deep, RGB, 16, before=block, interlaced=n % 2), turn(rounded(deep)))
        lossy = saved("WEBP", exif=directory(n))
        yield Kind(f"lossy{n}.webp", lossy, turn(decoded(lossy)))
        yield Kind(f"lossless{n}.webp", saved("WEBP", lossless=True, exif=b"Exif\0\0" + directory(n)), turn(scene()))


def heif(folder, suffix, picture):
    """By heif-enc, of a file that it takes."""
    source, target = folder / "picture", folder / f"picture.{suffix}"
    source = source.with_suffix(".jpg" if picture[:2] == b"\xff\xd8" else ".png")
    source.write_bytes(picture)
    options = ["-A", "-p", "speed=8"] if suffix == "avif" else []
    subprocess.run(["heif-enc", "-q", "95", *options, "-o", target, source], check=True, stdout=subprocess.DEVNULL)
    return target.read_bytes()


def by_properties():
    """HEIF turns by properties of its own, beside which EXIF does not count."""
    turns = {1: (), 2: (mirrored(1),), 3: (turned(2),), 4: (mirrored(0),), 5: (turned(3), mirrored(1)), 6: (turned(3),),
             7: (turned(1), mirrored(1)), 8: (turned(1),)}
    even = scene(98, 66)  # of odd sides heif-enc makes a grid
    with TemporaryDirectory() as folder:
        plain, exif8 = png(even, RGB, 8), with_exif(saved("JPEG", Picture.fromarray(even)), directory(8))
        files = {"heic": heif(Path(folder), "heic", plain), "avif": heif(Path(folder), "avif", plain)}
        both = heif(Path(folder), "heic", exif8)
    for suffix, data in files.items():
        for n, properties in turns.items():
            yield Kind(f"property{n}.{suffix}", with_properties(data, *properties), UPRIGHT[n](even), 2, 20)
    yield Kind("exif.heic", both, even, 2, 20)
    yield Kind("exif-and-property.heic", with_properties(both, turned(3)), UPRIGHT[6](even), 2, 20)


def spellings():
    plain = saved("JPEG")
    packet = (b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
              b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
              b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>')
    plainly = {"motorola": directory(6), "intel": directory(6, "<"), "long": directory(6, kind=LONG),
               "long-intel": directory(6, "<", LONG)}
    for name, block in plainly.items():
        yield Kind(f"{name}.jpg", with_exif(plain, block), UPRIGHT[6](decoded(plain)), 1.2, 12)
    behind = with_app1(plain, packet, b"Exif\0\0" + directory(6))
    yield Kind("behind-xmp.jpg", behind, UPRIGHT[6](decoded(plain)), 1.2, 12)
    ignored = {"nought": directory(0), "nine": directory(9), "huge": directory(65535),
               "huge-long": directory(6 << 16, kind=LONG), "cut-entry": directory(6)[:14],
               "cut-header": directory(6)[:5], "no-header": b"XX" + directory(6)[2:],
               "far-directory": b"MM\0*\x7f\xff\xff\xff" + directory(6)[8:],
               "no-number": directory(6).replace(b"\x01\x12\0\x03", b"\x01\x12\0\x07")}
    for name, block in ignored.items():
        yield Kind(f"{name}.jpg", with_exif(plain, block), decoded(plain), 1.2, 12)
    yield Kind("xmp-only.jpg", with_app1(plain, packet), decoded(plain), 1.2, 12)
    yield Kind("cut.png", png(scene(), RGB, 8, before=chunk(b"eXIf", directory(6)[:14])), scene())
    lossless = saved("WEBP", lossless=True, exif=directory(6)[:14])
    yield Kind("cut.webp", lossless, scene())


KINDS = {kind.name: kind for group in (all_eight, by_properties, spellings) for kind in group()}


@pytest.fixture(scope="module")
def client(binary, scratch):
    with served(binary, scratch, "turned", KINDS.values()) as client:
        yield client


@pytest.mark.parametrize("name", KINDS)
def test_kind(client, name):
    check(client, KINDS[name])


@pytest.mark.parametrize("n", UPRIGHT)
def test_pillow_agrees(n):
    """What is upright here is upright there."""
    picture = Picture.open(io.BytesIO(with_app1(saved("JPEG"), exif(n))))
    assert (np.asarray(ImageOps.exif_transpose(picture)) == UPRIGHT[n](np.asarray(picture))).all()
