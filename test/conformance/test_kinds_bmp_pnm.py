# SPDX-License-Identifier: BSD-2-Clause
"""Every kind of BMP and of Netpbm, written by hand."""
import struct

import numpy as np
import pytest
from bmps import ALPHA_BITFIELDS, BITFIELDS, CORE, OS2, RLE4, RLE8, V1, V2, V3, V4, V5, bmp, numbers, run_lengths
from make_images import adobe_like_profile

from kinds import (Kind, Refusal, check, check_refusal, deep_scene, gray_scene, near, scene, served, shown,
                   strict_and_lenient)

MASKS32 = (0xFF0000, 0xFF00, 0xFF)
MASKS565 = (0xF800, 0x7E0, 0x1F)
HALF = 60                      # beyond most, at half the size: palettes have sharp edges


def table(n):
    t = np.linspace(0, 1, n)
    return np.rint(np.stack([20 + 220 * t, 235 * t ** 2, 250 - 200 * t], 1)).astype(np.uint8)


def opacity(w=97, h=67):
    return np.rint(np.tile(np.linspace(0, 255, w), (h, 1))).astype(np.uint8)


def fewer(picture, bits):
    """What 8 bits are that were stored in these."""
    most = np.array([2 ** n - 1 for n in bits])
    return np.rint(np.rint(picture / 255 * most) * 255 / most).astype(np.uint8)


def palettes():
    for bits in (1, 2, 4, 8):
        index, colours = gray_scene() >> (8 - bits), table(2 ** bits)
        for header in (CORE, V1, V2, V3, OS2, V4, V5):
            yield Kind(f"table{bits}-{header}.bmp", bmp(index, bits, header, table=colours), colours[index], half=HALF)
        for header in (16, 24, 48):  # OS/2's, cut
            yield Kind(f"table{bits}-{header}.bmp", bmp(index, bits, header, table=colours), colours[index], half=HALF)
    index = gray_scene() >> 2
    yield Kind("many-colours.bmp", bmp(index, 8, table=np.vstack([table(64)] * 4 + [table(44)]), colours=300), table(64)[index],
               half=HALF)
    index = gray_scene() >> 4
    yield Kind("top-down.bmp", bmp(index, 4, table=table(16), top_down=True), table(16)[index], half=HALF)
    yield Kind("short-table.bmp", bmp(index % 5, 8, table=table(5), colours=5), table(5)[index % 5], half=HALF)
    yield Kind("short-core.bmp", bmp(index % 5, 4, CORE, table=table(5)), table(5)[index % 5], half=HALF)
    black = np.vstack([table(5), np.zeros((11, 3), np.uint8)])[index]
    yield Kind("beyond-table.bmp", bmp(index, 8, table=table(5), colours=5), black, half=90)
    grays = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(256, 3)
    yield Kind("gray.bmp", bmp(gray_scene(), 8, table=grays), gray_scene())
    bits = np.array([[255, 255, 255], [0, 0, 0]], np.uint8)
    yield Kind("black-one.bmp", bmp(gray_scene() >> 7, 1, table=bits), np.where(gray_scene() >> 7, 0, 255), half=HALF)


def coded():
    """Run lengths."""
    for bits, compression in ((4, RLE4), (8, RLE8)):
        index = gray_scene() >> (8 - bits if bits == 4 else 2)
        index[5:9, 10:60] = 3
        colours = table(16 if bits == 4 else 64)
        yield Kind(f"rle{bits}-no-end.bmp",
                   bmp(index, bits, V1, compression, colours, len(colours), data=run_lengths(index, bits)[:-4]),
                   colours[index], half=HALF)
        for header in (V1, OS2, V5):
            data = bmp(index, bits, header, compression, colours, len(colours), data=run_lengths(index, bits))
            yield Kind(f"rle{bits}-{header}.bmp", data, colours[index], half=HALF)
        # The picture starts at 0,0 of its bottom; a jump of 3 to the right and 2 upwards, then all ends.
        jump = np.zeros((20, 20), np.int64)
        jump[19, :6], jump[17, 9:12] = 1, 2
        codes = b"\6" + bytes([17 if bits == 4 else 1]) + b"\0\2\3\2" + b"\3" + bytes([34 if bits == 4 else 2]) + b"\0\1"
        yield Kind(f"rle{bits}-jump.bmp", bmp(jump, bits, V1, compression, colours, len(colours), data=codes), colours[jump], half=90)
        # A run that is longer than its row.
        wanted = index.copy()
        wanted[-1] = 0
        yield Kind(f"rle{bits}-beyond.bmp",
                   bmp(index, bits, V1, compression, colours, len(colours), data=bytes([255, 0, 0, 0]) + run_lengths(index[:-1], bits)),
                   colours[wanted], half=HALF)


def true_colours():
    picture, rgba = scene(), np.dstack([scene(), opacity()])
    bgr, bits555, bits565 = (16, 8, 0), (5, 5, 5), (5, 6, 5)
    whole = numbers(picture, bgr, (8, 8, 8))
    for header in (CORE, V1, V2, V3, OS2, V4, V5):
        yield Kind(f"rgb24-{header}.bmp", bmp(whole, 24, header), picture)
        yield Kind(f"rgb16-{header}.bmp", bmp(numbers(picture, (10, 5, 0), bits555), 16, header), fewer(picture, bits555))
        yield Kind(f"rgb32-{header}.bmp", bmp(whole | 0x77 << 24, 32, header), picture)
    yield Kind("rgb24-top-down.bmp", bmp(whole, 24, top_down=True), picture)
    for header in (V1, V2, V3, V4, V5):
        yield Kind(f"masks565-{header}.bmp", bmp(numbers(picture, (11, 5, 0), bits565), 16, header, BITFIELDS, masks=MASKS565),
                   fewer(picture, bits565))
        yield Kind(f"masks32-{header}.bmp", bmp(whole, 32, header, BITFIELDS, masks=MASKS32), picture)
    ten = numbers(picture, (20, 10, 0), (10, 10, 10))
    yield Kind("masks-ten.bmp", bmp(ten, 32, V1, BITFIELDS, masks=(0x3FF00000, 0xFFC00, 0x3FF)), picture)
    rgbx = numbers(picture, (24, 16, 8), (8, 8, 8))
    yield Kind("masks-rgbx.bmp", bmp(rgbx, 32, V1, BITFIELDS, masks=(0xFF000000, 0xFF0000, 0xFF00)), picture)
    clear = numbers(rgba, (16, 8, 0, 24), (8, 8, 8, 8))
    for header in (V3, V4, V5):
        yield Kind(f"alpha-{header}.bmp", bmp(clear, 32, header, BITFIELDS, masks=(*MASKS32, 0xFF000000)), rgba)
    yield Kind("alpha-masks.bmp", bmp(clear, 32, V1, ALPHA_BITFIELDS, masks=(*MASKS32, 0xFF000000)), rgba)
    small = numbers(rgba, (8, 4, 0, 12), (4, 4, 4, 4))
    yield Kind("alpha16.bmp", bmp(small, 16, V4, BITFIELDS, masks=(0xF00, 0xF0, 0xF, 0xF000)), fewer(rgba, (4, 4, 4, 4)), half=40)
    light = np.clip((picture / 255) ** 2.2 @ np.array([[1.3985, 0, 0], [-.3985, 1, -.043], [0, 0, 1.043]]), 0, 1)
    adobe = np.rint(255 * np.where(light <= .0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - .055))
    yield Kind("icc.bmp", bmp(whole, 24, V5, icc=adobe_like_profile()), adobe, .8, 3)
    wrong = bmp(whole, 24)
    yield Kind("wrong-length.bmp", wrong[:2] + b"\1\0\0\0" + wrong[6:] + b"more", picture)
    yield Kind("one.bmp", bmp(whole[:1, :1], 24), picture[:1, :1])


def netpbm(kind, samples, most=None, comment=b""):
    """Raw or plain, by the kind's digit."""
    h, w = samples.shape[:2]
    head = b"P%d\n%s%d %d\n" % (kind, comment, w, h) + (b"%d\n" % most if most else b"")
    if kind <= 3:
        lines = [b" ".join(b"%d" % v for v in row.reshape(-1)) for row in samples]
        return head + b"\n".join(lines) + b"\n"
    if kind == 4:
        return head + np.packbits(samples.astype(np.uint8), axis=1).tobytes()
    return head + samples.astype(">u2" if most > 255 else np.uint8).tobytes()


def pam(samples, most, word=b""):
    h, w, depth = samples.shape
    head = b"P7\n# a comment\nWIDTH %d\nHEIGHT %d\nDEPTH %d\nMAXVAL %d\n" % (w, h, depth, most)
    return head + (b"TUPLTYPE %s\n" % word if word else b"") + b"ENDHDR\n" + samples.astype(">u2" if most > 255 else np.uint8).tobytes()


def scaled(samples, most):
    return np.rint(samples / most * 255).astype(np.uint8)


def netpbms():
    bits, gray, picture = gray_scene() < 128, gray_scene(), scene()
    for kind in (1, 4):
        yield Kind(f"bits{kind}.pbm", netpbm(kind, bits), np.where(bits, 0, 255), half=HALF)
    yield Kind("bits-close.pbm", b"P1 97 67 " + b"".join(b"%d" % v for v in bits.reshape(-1)), np.where(bits, 0, 255), half=HALF)
    for most in (1, 3, 15, 100, 255):
        g, p = np.rint(gray / 255 * most).astype(np.uint8), np.rint(picture / 255 * most).astype(np.uint8)
        for kind, samples, name in ((2, g, "pgm"), (5, g, "pgm"), (3, p, "ppm"), (6, p, "ppm")):
            yield Kind(f"most{most}-{kind}.{name}", netpbm(kind, samples, most), scaled(samples, most), half=HALF)
        yield Kind(f"most{most}.pam", pam(np.dstack([p, np.full_like(g, most)]), most, b"RGB_ALPHA"),
                   np.dstack([scaled(p, most), np.full_like(g, 255)]), half=HALF)
    for most in (256, 1023, 65535):
        g, p = (np.rint(d / 65535 * most).astype(np.uint16) for d in (deep_scene(channels=1), deep_scene()))
        for kind, samples, name in ((2, g, "pgm"), (5, g, "pgm"), (3, p, "ppm"), (6, p, "ppm")):
            yield Kind(f"deep{most}-{kind}.{name}", netpbm(kind, samples, most), scaled(samples, most))
    yield Kind("comments.ppm", netpbm(6, picture, 255, b"# one\n#two\n  # three\n"), picture)
    yield Kind("close-comments.ppm", b"P6#one\n97#two\n67#\n255\n" + picture.tobytes(), picture)
    yield Kind("second.ppm", netpbm(6, picture, 255) * 2, picture)
    yield Kind("one.pgm", b"P2 1 1 9 9", np.array([[255]], np.uint8))
    yield Kind("above-most.pgm", netpbm(5, gray, 100), scaled(np.minimum(gray, 100), 100), half=HALF)
    o = opacity()
    for word, samples in ((b"GRAYSCALE", gray[..., None]), (b"RGB", picture), (b"GRAYSCALE_ALPHA", np.dstack([gray, o])),
                          (b"RGB_ALPHA", np.dstack([picture, o]))):
        name = word.decode().lower()
        yield Kind(f"{name}.pam", pam(samples, 255, word), samples)
        yield Kind(f"{name}-nameless.pam", pam(samples, 255), samples)
        deep = samples.astype(np.uint16) * 257
        yield Kind(f"{name}-deep.pam", pam(deep, 65535, word), samples)
    white = ~bits[..., None]
    yield Kind("black-and-white.pam", pam(white, 1, b"BLACKANDWHITE"), white[..., 0] * 255, half=HALF)
    yield Kind("black-and-white-alpha.pam", pam(np.dstack([white, np.ones_like(white)]), 1, b"BLACKANDWHITE_ALPHA"),
               np.dstack([white * 255, np.full_like(gray, 255)]), half=HALF)


def kinds():
    for group in (palettes, coded, true_colours, netpbms):
        yield from group()


def refusals():
    index, whole = gray_scene() >> 4, numbers(scene(), (16, 8, 0), (8, 8, 8))
    for name, data in (("jpeg-inside", bmp(whole, 24, V5, 4)), ("png-inside", bmp(whole, 24, V5, 5)),
                       ("huffman", bmp(index, 1, OS2, 3)), ("rle24", bmp(whole, 24, OS2, 4)), ("depth", bmp(index, 7))):
        yield Refusal(f"{name}.bmp", data, 501, "unsupported")
    yield Refusal("planes.bmp", bmp(whole, 24).replace(struct.pack("<HH", 1, 24), struct.pack("<HH", 3, 24), 1), 500, "damaged")
    yield Refusal("rle-of-24.bmp", bmp(whole, 24, V1, RLE8), 500, "damaged")
    yield Refusal("no-rows.bmp", bmp(whole, 24)[:22] + bytes(4) + bmp(whole, 24)[26:], 500, "damaged")
    yield Refusal("floats.pfm", b"PF\n1 1\n-1\n" + bytes(12), 501, "unsupported")
    yield Refusal("words.pam", pam(scene(), 255, b"CMYK"), 501, "unsupported")
    yield Refusal("no-most.pgm", b"P5 9 9 0\n" + bytes(99), 500, "damaged")
    yield Refusal("large-most.pgm", b"P5 9 9 65536\n" + bytes(999), 500, "damaged")
    yield Refusal("no-width.ppm", b"P6 x 9 255\n" + bytes(999), 500, "damaged")
    yield Refusal("unended.pam", b"P7\nWIDTH 9\nHEIGHT 9\n", 500, "damaged")


def damaged():
    """(name, data, what is wanted, which rows are surely there, whether white is the rest)."""
    whole, index = numbers(scene(), (16, 8, 0), (8, 8, 8)), gray_scene() >> 4
    yield "cut.bmp", bmp(whole, 24)[:-9000], scene(), slice(34, 67), slice(0, 25)
    yield "cut-top-down.bmp", bmp(whole, 24, top_down=True)[:-9000], scene(), slice(0, 34), slice(40, 67)
    rle = bmp(index, 8, V1, RLE8, table(16), 16, data=run_lengths(index, 8))
    yield "cut-rle.bmp", rle[:len(rle) * 3 // 5], table(16)[index], slice(50, 67), None
    yield "cut.ppm", netpbm(6, scene(), 255)[:-9000], scene(), slice(0, 34), slice(40, 67)
    yield "cut-plain.ppm", netpbm(3, scene(), 255)[:-30000], scene(), slice(0, 20), slice(60, 67)
    letters = netpbm(3, scene(), 255)
    yield "letters.ppm", letters[:40000] + b"x" + letters[40001:], scene(), slice(0, 20), slice(60, 67)


KINDS = {kind.name: kind for kind in kinds()}
REFUSALS = {refusal.name: refusal for refusal in refusals()}
DAMAGED = {name: rest for name, *rest in damaged()}


@pytest.fixture(scope="module")
def client(binary, scratch):
    damaged_ones = strict_and_lenient({name: data for name, (data, *_) in DAMAGED.items()})
    with served(binary, scratch, "bmp-pnm", [*KINDS.values(), *REFUSALS.values(), *damaged_ones]) as client:
        yield client


@pytest.mark.parametrize("name", KINDS)
def test_kind(client, name):
    check(client, KINDS[name])


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal(client, name):
    check_refusal(client, REFUSALS[name])


@pytest.mark.parametrize("name", DAMAGED)
def test_damage(client, name):
    """An error, or by recover the rows that are there, on white."""
    _, want, there, white = DAMAGED[name]
    assert client.get(f"/iiif/3/strict-{name}/full/max/0/default.png").status == 500
    picture = shown(client, name, "full/max/0/default.png")
    near(picture[there], want.astype(np.float32)[there], .5, 1, name)
    assert white is None or (picture[white] == 255).all()
