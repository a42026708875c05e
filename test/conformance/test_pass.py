# SPDX-License-Identifier: BSD-2-Clause
"""Stored JPEG tiles that are sent as they are: which requests, what they look like, what the log says."""
import subprocess

import numpy as np
import pytest
from PIL import Image as Picture

import make_images
from harness import Client, boot, config_text
from stack import wait_for
from writers import jpeg_of, page, tiff

W, H, TILE = 1003, 701, 64
YCBCR = {"compression": "jpeg", "photometric": 6}


def restarts(tile):
    return jpeg_of(tile, 2, 2, restart=TILE // 16)


def chroma_whole(tile):
    return jpeg_of(tile, 1, 1, restart=TILE // 8)


def only_luma(tile):
    return make_images.gray_jpeg(np.asarray(Picture.fromarray(tile).convert("L")))


# A picture whose sixth tile, the second in the second row, is of another kind than all others.
OTHERS = {"gray-among": (restarts, only_luma), "whole-among": (restarts, chroma_whole), "half-among": (chroma_whole, restarts)}
PADDING = b"\xff\xfe\x1f\xff" + b"x" * 0x1ffd


def with_another(board, encode, other):
    count = iter(range(1000))
    return tiles_of(board[:256, :256], lambda tile: (other if next(count) == 5 else encode)(tile))


def tiles_of(array, encode=restarts, **options):
    return tiff([page(array, tile=(TILE, TILE), encode=encode, **{**YCBCR, **options})])


@pytest.fixture(scope="module")
def board():
    squares = make_images.board(W, H)
    noise = np.random.default_rng(5).normal(0, 4, squares.shape[:2])[..., None]
    return np.clip(squares + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(binary, scratch, board):
    root = scratch / "stored"
    root.mkdir()
    Picture.fromarray(board).save(root / "flat.jpg", quality=95, subsampling=2, dpi=(300, 300))
    subprocess.run([binary, "pyramid", root / "flat.jpg", root / "pyramid.tif"], check=True)
    (root / "rows.tif").write_bytes(tiles_of(board))
    (root / "plain.tif").write_bytes(tiles_of(board, lambda tile: jpeg_of(tile, 2, 2)))
    (root / "dense.tif").write_bytes(tiles_of(board, lambda tile: jpeg_of(tile, 1, 1, restart=TILE // 8)))
    gray = np.asarray(Picture.fromarray(board).convert("L"))
    (root / "gray.tif").write_bytes(tiff([page(gray, tile=(TILE, TILE), compression="jpeg", encode=make_images.gray_jpeg)]))
    (root / "rgb.tif").write_bytes(tiles_of(board, make_images.rgb_jpeg, photometric=2))
    (root / "white.tif").write_bytes(tiff([page(gray, tile=(TILE, TILE), compression="jpeg", photometric=0,
                                                encode=make_images.gray_jpeg)]))
    (root / "turned.tif").write_bytes(tiles_of(board, tags={274: (3, [6])}))
    for name, profile in (("wide", make_images.adobe_like_profile()), ("srgb", srgb())):
        (root / f"{name}.tif").write_bytes(tiles_of(board, tags={34675: (7, list(profile))}))
    for name, (kind, other) in OTHERS.items():
        (root / f"{name}.tif").write_bytes(with_another(board, kind, other))
    heavy = tiff([page(board[:128, :128], tile=(16, 16), encode=lambda tile: jpeg_of(tile, 2, 2, restart=1, head=PADDING), **YCBCR)])
    (root / "heavy.tif").write_bytes(heavy)
    cut = bytearray((root / "rows.tif").read_bytes())
    # In the first tile's scan: a marker where codes should be.
    at = cut.index(b"\xff\xd1")
    cut[at - 20:at - 18] = b"\xff\xda"
    (root / "damaged.tif").write_bytes(cut)
    return root


def srgb():
    from PIL import ImageCms
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture(scope="module")
def stack(binary, scratch, folder):
    rules = [("keep/", folder, {"colour": "keep"}), ("strip/", folder, {"colour": "strip"}), ("all/", folder, {"metadata": "all"}),
             ("recover/", folder, {"recover": True}), ("", folder, {})]
    with boot(scratch, binary, "pass-server", config_text(rules)) as running:
        yield running


@pytest.fixture(scope="module")
def server(stack):
    return Client(stack.port)


@pytest.fixture(scope="module")
def decoding(binary, scratch, folder):
    """The same without passing tiles on."""
    with boot(scratch, binary, "no-pass-server", config_text([("", folder, {})], images={"pass_through": False})) as running:
        yield Client(running.port)


def why(binary, stack, target, word="path "):
    """What `lorikeet get --why` says of that."""
    config = next(p for p in stack.folder.parent.glob("pass-server.conf"))
    out = subprocess.run([binary, "--config", config, "get", "--why", "/iiif/3/" + target], capture_output=True)
    return next(line for line in out.stderr.decode().splitlines() if word in line).partition(word)[2]


def samples(reply):
    assert reply.status == 200, reply.body
    picture = reply.picture()
    return np.asarray(picture).astype(int)


CASES = [
    ("pyramid.tif/0,0,256,256/max/0/default.jpg", "pass"),
    ("pyramid.tif/256,256,256,256/256,256/0/color.jpg", "pass"),
    ("pyramid.tif/0,0,512,512/512,512/0/default.jpg", "stitch"),
    ("pyramid.tif/0,0,512,512/256,256/0/default.jpg", "pass"),
    ("pyramid.tif/0,0,768,512/max/0/default.jpg", "stitch"),
    ("rows.tif/64,128,64,64/max/0/default.jpg", "pass"),
    ("rows.tif/128,64,256,192/max/0/default.jpg", "stitch"),
    ("rows.tif/0,0,960,640/max/0/default.jpg", "stitch"),
    ("dense.tif/64,64,128,128/max/0/default.jpg", "stitch"),
    ("plain.tif/64,64,64,64/max/0/default.jpg", "pass"),
    ("plain.tif/64,64,128,64/max/0/default.jpg", "planes: not passed on, as tiles have no restart marker"),
    ("gray.tif/64,64,64,64/max/0/gray.jpg", "pass"),
    ("rgb.tif/64,64,64,64/max/0/default.jpg", "pass"),
    ("srgb.tif/64,64,128,128/max/0/default.jpg", "stitch"),
    ("wide.tif/64,64,128,128/max/0/default.jpg", "planes: not passed on, as its colours are converted"),
    ("keep%2Fwide.tif/64,64,128,128/max/0/default.jpg", "stitch"),
    ("strip%2Fwide.tif/64,64,128,128/max/0/default.jpg", "stitch"),
    ("rows.tif/64,128,64,64/max/0/gray.jpg", "planes: not passed on, as it loses its colours"),
    ("rows.tif/64,128,64,64/max/0/bitonal.jpg", "planes: not passed on, as it loses its colours"),
    ("rows.tif/64,128,64,64/max/!0/default.jpg", "planes: not passed on, as it is turned"),
    ("rows.tif/64,128,64,64/max/90/default.jpg", "planes: not passed on, as it is turned"),
    ("turned.tif/64,128,64,64/max/0/default.jpg", "planes: not passed on, as it is turned"),
    ("rows.tif/64,128,64,64/max/0/default.png", "planes: not passed on, as the answer is no JPEG"),
    ("rows.tif/64,128,64,64/max/0/default.gif", "wand: not passed on, as the answer is no JPEG"),
    ("rows.tif/64,128,64,64/32,32/0/default.jpg", "planes: not passed on, as it is not made of whole"),
    ("rows.tif/65,128,64,64/max/0/default.jpg", "planes: not passed on, as it is not made of whole"),
    ("rows.tif/64,128,65,64/max/0/default.jpg", "planes: not passed on, as it is not made of whole"),
    ("rows.tif/960,640,43,61/max/0/default.jpg", "planes: not passed on, as it is not made of whole"),
    ("rows.tif/full/max/0/default.jpg", "planes: not passed on, as it is not made of whole"),
    ("white.tif/64,128,64,64/max/0/default.jpg", "planes: not passed on, as the source has no JPEG tiles"),
    ("heavy.tif/full/max/0/default.jpg", "planes: not passed on, as the stored tiles are too large"),
    ("flat.jpg/0,0,64,64/max/0/default.jpg", "planes: not passed on, as the source has no stored tiles"),
]


@pytest.mark.parametrize("target,path", CASES, ids=[c[0] for c in CASES])
def test_path_and_pixels(server, stack, binary, decoding, board, target, path):
    assert why(binary, stack, target).startswith(path)
    got = samples(server.get("/iiif/3/" + target))
    if target.startswith(("keep", "strip")):  # the other server converts
        return
    want = samples(decoding.get("/iiif/3/" + target))
    assert got.shape == want.shape
    if path.startswith(("planes", "wand")):
        assert np.array_equal(got, want)
        return
    region, size = target.split("/")[1:3]
    x, y, w, h = map(int, region.split(","))
    truth = board[y:y + h, x:x + w]
    if size.startswith("256"):
        truth = np.asarray(Picture.fromarray(truth).resize((256, 256), Picture.Resampling.LANCZOS))
    if got.ndim == 2:
        truth = np.asarray(Picture.fromarray(truth).convert("L"))
    # What was encoded once is nearer to it than what was encoded twice.
    error = np.abs(got - truth.astype(int)).mean()
    assert error < np.abs(want - truth.astype(int)).mean() + .05 and error < 6


@pytest.mark.parametrize("target", [c[0] for c in CASES if c[1] in ("pass", "stitch")])
def test_headers_agree(server, target):
    got = server.get("/iiif/3/" + target)
    head = server.head("/iiif/3/" + target)
    assert head.status == 200 and head["ETag"] == got["ETag"] and head["Content-Type"] == "image/jpeg" == got["Content-Type"]
    assert server.get("/iiif/3/" + target, If_None_Match=got["ETag"]).status == 304
    assert got["Content-Length"] == str(len(got.body))


def test_stored_bytes_are_sent(server, folder):
    """One tile: its scan is that of the file."""
    reply = server.get("/iiif/3/rows.tif/0,0,64,64/max/0/default.jpg")
    scan = reply.body[reply.body.index(b"\xff\xda"):]
    assert scan in (folder / "rows.tif").read_bytes()


def test_option_is_part_of_the_tag(server, decoding):
    target = "/iiif/3/rows.tif/64,128,64,64/max/0/default.jpg"
    assert server.get(target)["ETag"] != decoding.get(target)["ETag"]


def test_profiles_and_resolution(server, folder):
    target = "wide.tif/64,64,128,128/max/0/default.jpg"
    assert server.get("/iiif/3/keep%2F" + target).picture().info["icc_profile"] == make_images.adobe_like_profile()
    for prefix in ("", "strip%2F"):
        assert "icc_profile" not in server.get("/iiif/3/" + prefix + target).picture().info
    assert "icc_profile" not in server.get("/iiif/3/srgb.tif/64,64,128,128/max/0/default.jpg").picture().info


def test_damage_is_no_200(server):
    target = "damaged.tif/0,0,64,64/max/0/default.jpg"
    assert server.get("/iiif/3/" + target).status == 500
    assert server.get("/iiif/3/recover%2F" + target).status == 200
    assert server.get("/iiif/3/damaged.tif/64,64,128,128/max/0/default.jpg").status == 200


@pytest.mark.parametrize("name", OTHERS)
def test_a_tile_of_another_kind_is_damage(server, stack, binary, name):
    """As decoding has it, whatever a browser would make of that tile."""
    for region, status in (("0,0,64,64", 200), ("64,64,64,64", 500), ("0,0,128,128", 500), ("128,0,128,128", 200)):
        assert server.get(f"/iiif/3/{name}.tif/{region}/max/0/default.jpg").status == status
    assert "as a tile is of another kind" in why(binary, stack, f"{name}.tif/64,64,64,64/max/0/default.jpg", "path ")


def test_the_log_names_the_path(server, stack):
    server.get("/iiif/3/rows.tif/128,128,128,128/max/0/default.jpg")
    server.get("/iiif/3/rows.tif/info.json")

    def lines(word):
        text = "".join(stack.log(f"lorikeet-{g}.log") for g in "ab")
        return [line for line in text.splitlines() if word in line]
    wait_for("the log's line", 5, lambda: lines("rows.tif/128,128,128,128"))
    assert "path=stitch" in lines("rows.tif/128,128,128,128")[0]
    wait_for("the log's line", 5, lambda: lines("rows.tif/info.json"))
    assert "path=" not in lines("rows.tif/info.json")[0]
