# SPDX-License-Identifier: BSD-2-Clause
"""TIFFs of many directories, with wrong or missing tags, of kinds that are not read, and damaged ones."""
import re
import struct
import subprocess

import numpy as np
import pytest

from kinds import Kind, Refusal, check, check_refusal, deep_scene, gray_scene, near, rounded, scene, served, shown
from stack import wait_for
from tiff_kinds import layout
from writers import ASCII, LONG, SHORT, jpeg, page, tiff

WHITE, BLACK, RGB, PALETTE, CMYK, YCBCR = 0, 1, 2, 3, 5, 6
REDUCED = {254: (LONG, [1])}


def half(picture):
    """The mean of every 2 by 2."""
    h, w = (-(-side // 2) for side in picture.shape[:2])
    padded = np.pad(picture.astype(float), ((0, 2 * h - picture.shape[0]), (0, 2 * w - picture.shape[1]))
                    + ((0, 0),) * (picture.ndim - 2), "edge")
    return np.rint(padded.reshape(h, 2, w, 2, -1).mean((1, 3)).reshape(h, w, *picture.shape[2:])).astype(picture.dtype)


def levels_of(picture, mark=None, **words):
    """Three pages, each half as large as the one before."""
    pages = []
    for i in range(3):
        pages.append(layout(picture, tags=mark if i else None, **words))
        picture = half(picture)
    return pages


def with_subs(pages):
    return {**pages[0], "subs": pages[1:]}


def pyramids():
    """name: (file, levels, picture)"""
    deep, tiles = deep_scene(), {"tile": (32, 32)}
    yield "pages", tiff(levels_of(scene(), **tiles)), 3, scene()
    yield "pages16", tiff(levels_of(deep, compression="lzw", predictor=2, **tiles)), 3, rounded(deep)
    yield "marked", tiff(levels_of(scene(), REDUCED, rows=16)), 3, scene()
    yield "subs16", tiff([with_subs(levels_of(deep, REDUCED, **tiles))]), 3, rounded(deep)
    yield "subs-big", tiff([with_subs(levels_of(deep, separate=True, order=">", **tiles))], big=True,
                           order=">"), 3, rounded(deep)
    ome = (b'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels '
           b'ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="97" SizeY="67" SizeZ="1" SizeC="1" SizeT="2"/></Image></OME>\0')
    gray = deep_scene(channels=1)
    planes = [with_subs(levels_of(p, REDUCED, **tiles)) for p in (gray, 65535 - gray)]
    planes[0]["entries"][270] = (ASCII, list(ome))
    yield "ome", tiff(planes), 3, rounded(gray)
    # As GDAL writes them: a mask behind each level; and a thumbnail of another kind.
    full, half_of_it, quarter = levels_of(scene(), REDUCED, **tiles)
    masks = [page(np.full((67 >> i, 97 >> i), 255, np.uint8), tags={254: (LONG, [4 + (i > 0)])}) for i in range(3)]
    thumbnail = page(np.zeros((10, 30), np.uint8), tags=REDUCED)
    yield "masks", tiff([full, masks[0], thumbnail, half_of_it, masks[1], quarter, masks[2]]), 3, scene()
    gray_levels = levels_of(gray_scene(), REDUCED, **tiles)
    yield "gray-masks", tiff([gray_levels[0], masks[0], masks[1], *gray_levels[1:]]), 3, gray_scene()
    # Not levels: strips that nothing marks, a picture of another kind or another shape.
    yield "plain-pages", tiff(levels_of(scene(), rows=16)), 1, scene()
    yield "other-kinds", tiff([layout(deep, **tiles), layout(half(scene()), tags=REDUCED, **tiles),
                               layout(half(gray), tags=REDUCED, **tiles)]), 1, rounded(deep)
    yield "other-shape", tiff([layout(scene(), **tiles), layout(scene()[:20, :20], tags=REDUCED, **tiles)]), 1, scene()


PYRAMIDS = {name: Kind(f"{name}.tif", data, want) for name, data, _, want in pyramids()}
LEVELS = {name: levels for name, _, levels, _ in pyramids()}


def unequal():
    """Pages of every kind in one file, and what each shows."""
    bits = gray_scene() >> 7
    jpeg_page = page(gray_scene(), compression="jpeg", encode=lambda t: jpeg(97, 67, [(t, 1, 1)], quant=1))
    return [(layout(scene(), rows=8), scene()), (layout(bits, 1, photometric=BLACK, compression="packbits"), bits * 255),
            (layout(deep_scene(60, 50), compression="deflate"), rounded(deep_scene(60, 50))), (jpeg_page,
                                                                                               gray_scene()),
            (layout(half(scene()), tile=(16, 16)), half(scene()))]


def many_pages():
    """10,000 pages, each with its number in its gray."""
    pages = [page(np.full((4, 4), i % 251, np.uint8)) for i in range(10000)]
    return tiff(pages)


def lenient_kinds():
    """Tags that are wrong or missing, where what is meant is clear."""
    gray, bits = gray_scene(), gray_scene() >> 7
    cases = {"no-counts": ({279: None}, {}), "no-rows": ({278: None}, {}),
             "endless-rows": ({278: (LONG, [2 ** 32 - 1])}, {}), "no-photometric": ({262: None}, {"rows": 8}),
             "no-planar": ({284: None}, {}), "turned0": ({274: (SHORT, [0])}, {}), "turned9": ({274: (SHORT, [9])},
                                                                                               {}),
             "zero-counts": ({279: (LONG, [0])}, {}), "short-sides": ({256: (SHORT, [97]), 257: (SHORT, [67])}, {}),
             "unknown-tags": ({60000: (LONG, list(range(50))), 60001: (ASCII, list(b"what\0"))}, {}),
             "no-format": ({339: None}, {}), "void-format": ({339: (SHORT, [4])},
                                                             {}), "one-bits": ({258: (SHORT, [8])}, {})}
    for name, (tags, words) in cases.items():
        yield Kind(f"{name}.tif", tiff([layout(gray, tags=tags, **words)]), gray)
        if "photometric" not in name:
            words = {"photometric": RGB, **words}
        yield Kind(f"{name}-rgb.tif", tiff([layout(scene(), tags=tags, **words)]), scene())
    yield Kind("no-bits.tif", tiff([layout(bits, 1, photometric=BLACK, tags={258: None, 277: None})]), bits * 255,
               half=40)
    whole = tiff([layout(gray)])
    link = whole.rindex(b"\0\0\0\0")
    yield Kind("no-link.tif", without_link(gray), gray)
    yield Kind("broken-link.tif", whole[:link] + struct.pack("<I", len(whole) + 1000), gray)


def by_hand(entries, before, after=b""):
    """A directory behind some bytes, and others behind it; link and all that may follow are the caller's."""
    table = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<I", 8 + len(before)) + before + struct.pack("<H", len(entries)) + table + after


def without_link(gray):
    """The file ends with its directory's last entry."""
    h, w = gray.shape
    return by_hand([(256, 4, 1, w), (257, 4, 1, h), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8), (277, 3, 1, 1),
                    (278, 4, 1, h), (279, 4, 1, w * h)], gray.tobytes() + b"\0" * (w * h % 2))


def light_with_palette(compression):
    """SGILog of one bit: libtiff makes 8 of it, and the palette has two colours as before."""
    entries = [(256, 4, 1, 4), (257, 4, 1, 4), (258, 3, 1, 1), (259, 3, 1, compression), (262, 3, 1, 3), (273, 4, 1, 8),
               (277, 3, 1, 1), (278, 4, 1, 4), (279, 4, 1, 16), (284, 3, 1, 1)]
    end = 8 + 16 + 2 + 12 * (len(entries) + 1) + 4
    return by_hand([*entries, (320, 3, 6, end)], bytes(16), bytes(4) + b"\xff" * 12)


def refusals():
    for compression in (34676, 34677):
        yield Refusal(f"light-palette{compression}.tif", light_with_palette(compression), 501, "unsupported")
    small = scene(40, 30)

    def of(name, samples, **words):
        return Refusal(f"{name}.tif", tiff([layout(samples, **words)]), 501, "unsupported")
    for photometric in (10, 32803, 34892, 51177):
        yield of(f"photometric{photometric}", small, photometric=photometric)
    for compression in (9, 10, 32766, 32809, 32895, 32909, 33003, 33005, 34661, 34712, 65000):
        yield of(f"compression{compression}", small, tags={259: (SHORT, [compression])})
    yield of("complex", np.zeros((30, 40), "u8"), tags={339: (SHORT, [6])})
    yield of("signed12", gray_scene() >> 1, bits=12, format=2)
    yield of("long17", gray_scene(), bits=17)
    yield of("ycbcr16", deep_scene(), photometric=YCBCR, tags={530: (SHORT, [1, 1])})
    yield of("ycbcr-separate", small, photometric=YCBCR, separate=True, tags={530: (SHORT, [1, 1])})
    yield of("lab12", deep_scene() >> 4, bits=12, photometric=8)
    yield of("float-lab", deep_scene().astype("f4"), format=3, photometric=8)
    yield of("two-inks", np.dstack([gray_scene()] * 2), photometric=CMYK)
    yield of("unequal-bits", small, tags={258: (SHORT, [5, 6, 5])})
    yield of("unequal-formats", small, tags={339: (SHORT, [1, 2, 1])})
    yield Refusal("empty-page.tif", tiff([layout(small, tags={256: (LONG, [0])})]), 500, "damaged")
    yield Refusal("no-sides.tif", tiff([layout(small, tags={256: None, 257: None})]), 500, "damaged")
    yield Refusal("cut-directory.tif", tiff([layout(small)])[:-30], 500, "damaged")


REFUSALS = {r.name: r for r in refusals()}


def spoilt():
    """name: (file, the box that is lost): a tile or strip overwritten."""
    jpeg_tiles = {"compression": "jpeg", "encode": lambda t: jpeg(32, 32, [(t[..., i], 1, 1) for i in range(3)], quant=1)}
    pages = {"lzw": layout(scene(), tile=(32, 32), compression="lzw"),
             "deep": layout(deep_scene(), tile=(32, 32), compression="deflate"),
             "packbits": layout(scene(), tile=(32, 32), compression="packbits"),
             "jpeg": page(scene(), tile=(32, 32), photometric=RGB, **jpeg_tiles),
             "separate": layout(scene(), tile=(32, 32), compression="deflate", predictor=2, separate=True)}
    for name, directory in pages.items():
        directory["data"][5] = b"\xfe\x03" * 40
        yield f"spoilt-{name}", tiff([directory]), (32, 32, 64, 64)
    strips = layout(255 - gray_scene(), rows=10, photometric=WHITE, compression="lzma")
    strips["data"][2] = b"nothing" * 5
    yield "spoilt-strips", tiff([strips]), (0, 20, 97, 30)


def cut_off():
    """name: (file, how many of its rows are there at least): one strip behind its directory, its end missing."""
    for name, words in {"none": {}, "lzw": {"compression": "lzw"}, "deflate": {"compression": "deflate"}}.items():
        behind = layout(scene(), **words)
        data = behind["data"][0]
        behind["entries"][273] = (LONG, [8])
        behind["entries"][273] = (LONG, [len(tiff([behind]))])
        yield f"cut-{name}", tiff([behind]) + data[:len(data) * 6 // 10], 35
    many = layout(scene(), rows=8)
    many["entries"][273] = (LONG, [8 + 97 * 3 * 8 * i if i < 6 else 10 ** 6 for i in range(9)])
    yield "cut-strips", tiff([many]), 48


SPOILT = {name: (data, box) for name, data, box in spoilt()}
CUT = {name: (data, rows) for name, data, rows in cut_off()}
LENIENT = {kind.name: kind for kind in lenient_kinds()}


@pytest.fixture(scope="module")
def client(binary, scratch):
    damaged = {name: data for name, (data, _) in (SPOILT | CUT).items()}
    files = [*PYRAMIDS.values(), *LENIENT.values(), *REFUSALS.values(), Kind("many.tif", many_pages(), None),
             Kind("unequal.tif", tiff([p for p, _ in unequal()]), None), *(Kind(f"{name}.tif", data, None) for name,
                                                                           data in damaged.items()),
             *(Kind(f"{name}-recover.tif", data, None, options={"recover": True}) for name, data in damaged.items())]
    with served(binary, scratch, "tiff-pages", files) as client:
        yield client


@pytest.mark.parametrize("name", PYRAMIDS)
def test_pyramids(client, binary, tmp_path, name):
    kind = PYRAMIDS[name]
    check(client, kind)
    (tmp_path / kind.name).write_bytes(kind.data)
    said = subprocess.run([binary, "info", tmp_path / kind.name], capture_output=True, check=True, text=True).stdout
    assert [f"level: {w}x{h}" in said for w, h in ((49, 34), (25, 17))] == [LEVELS[name] > 1] * 2, said
    smallest = shown(client, kind.name, "full/25,17/0/default.png")
    near(smallest[..., :kind.want.ndim], half(half(np.atleast_3d(kind.want))).astype(np.float32), 3, 20, name)


def test_a_second_plane_of_ome(client):
    check(client, Kind("ome.tif;2", b"", 255 - PYRAMIDS["ome"].want))


def test_pages_of_unequal_kinds(client):
    for i, (_, want) in enumerate(unequal()):
        near_enough = {"mean": 1, "most": 6} if i == 3 else {}
        check(client, Kind(f"unequal.tif;{i + 1}", b"", want, half=40 if i == 1 else 12, seam=2, **near_enough))
    assert client.get("/iiif/3/unequal.tif;6/info.json").status == 404


def test_ten_thousand_pages(client):
    for number in (1, 2, 5000, 10000):
        picture = shown(client, f"many.tif;{number}", "full/max/0/default.png")
        assert (picture == (number - 1) % 251).all()
    assert client.get("/iiif/3/many.tif;10001/info.json").status == 404

    def logged():
        lines = [line for group in "ab" for line in client.stack.log(f"lorikeet-{group}.log").splitlines() if "/many.tif;" in line]
        return len(lines) >= 5 and lines
    for line in wait_for("the log", 5, logged):
        opened = re.search(r" open=([\d.]+)", line)
        assert not opened or float(opened[1]) < 100, line


@pytest.mark.parametrize("name", LENIENT)
def test_lenient(client, name):
    check(client, LENIENT[name])


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal(client, name):
    check_refusal(client, REFUSALS[name])


@pytest.mark.parametrize("name", SPOILT)
def test_spoilt(client, name):
    """An error where the damage is seen, or white by `recover`."""
    left, top, right, bottom = SPOILT[name][1]
    picture = scene() if name != "spoilt-strips" else gray_scene()[..., None]
    assert client.get(f"/iiif/3/{name}.tif/full/max/0/default.png").status == 500
    near(shown(client, f"{name}.tif", "0,0,30,20/max/0/default.png"), picture[:20, :30].astype(np.float32), 1, 6, name)
    got = shown(client, f"{name}-recover.tif", "full/max/0/default.png")
    inside = np.zeros(got.shape[:2], bool)
    inside[top:bottom, left:right] = True
    near(got[~inside], picture[~inside].astype(np.float32), 1, 6, name)
    lost = got[inside][:, :1]      # of separate ones, just the first component
    assert (lost == 255).mean() > .8, name


@pytest.mark.parametrize("name", CUT)
def test_cut_off(client, name):
    rows = CUT[name][1]
    assert client.get(f"/iiif/3/{name}.tif/full/max/0/default.png").status == 500
    got = shown(client, f"{name}-recover.tif", "full/max/0/default.png")
    near(got[:rows], scene()[:rows].astype(np.float32), 0, 0, name)
    assert (got[-1] == 255).all(), name
