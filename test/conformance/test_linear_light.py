# SPDX-License-Identifier: BSD-2-Clause
"""linear_light: pictures against a float evaluation of the filter in linear light, and what must stay as it is."""
import subprocess

import numpy as np
import pytest
from PIL import Image as Picture

import make_images
from harness import Client, boot, config_text, psnr

W, H = 411, 300
REQUESTS = ["full/130,/0/default", "37,21,200,161/71,/0/default", "100,80,90,70/^!257,257/0/default", "full/!90,90/!90/default", "full/300,/0/default",
            "full/133,/0/gray"]


def to_light(v):
    v = np.asarray(v, np.float64) / 255
    return np.where(v <= .04045, v / 12.92, ((v + .055) / 1.055) ** 2.4)


def from_light(v):
    v = np.clip(v, 0, 1)
    return 255 * np.where(v <= .0031308, v * 12.92, 1.055 * v ** (1 / 2.4) - .055)


def lanczos(start, size, to, side):
    """A matrix: row i has the weights of output sample i."""
    step = size / to
    scale = max(1, step)
    centre = start + (np.arange(to) + .5) * step - .5
    places = np.arange(-3 * int(scale + 2) * 2, side + 3 * int(scale + 2) * 2)
    x = (places[None] - centre[:, None]) / scale
    weights = np.where(abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)
    weights /= weights.sum(1, keepdims=True)
    folded = np.zeros((to, side))
    np.add.at(folded.T, np.clip(places, 0, side - 1), weights.T)
    return folded


def scale(samples, region, size):
    """h x w or h x w x n samples, filtered as they are."""
    (x, y, w, h), (to_w, to_h) = region, size
    across, down = lanczos(x, w, to_w, samples.shape[1]), lanczos(y, h, to_h, samples.shape[0])
    return np.tensordot(down, np.tensordot(across, samples, (1, 1)), (1, 1))


def luma(colours):
    return (colours.astype(int) @ (19595, 38470, 7471) + 32768) >> 16


def photo():
    """Detail of all sizes, and edges of full contrast."""
    grain = np.random.default_rng(7).integers(0, 256, (H, W, 3))
    y, x = np.mgrid[:H, :W]
    waves = 128 + 127 * np.sin(x / (1.5 + y / 20))[..., None] * np.cos(y[..., None] / np.array([3., 7., 50.]))
    picture = np.where((x // 60 + y // 60)[..., None] % 3 == 0, grain, waves)
    return np.clip(np.where((x % 97 < 3)[..., None], 255 * (y[..., None] % 2), picture), 0, 255).astype(np.uint8)


def checkers(w=256, h=256):
    return (np.indices((h, w)).sum(0) % 2 * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(scratch, binary):
    root = scratch / "bright"
    root.mkdir()
    Picture.fromarray(photo()).save(root / "photo.png")
    Picture.fromarray(photo()).save(root / "photo.jpg", quality=90)
    Picture.fromarray(photo()).save(root / "photo-444.jpg", quality=90, subsampling=0)
    Picture.fromarray(photo()[..., 0]).save(root / "gray.png")
    Picture.fromarray(checkers()).save(root / "checkers.png")
    for suffix in ("jpg", "tif"):
        Picture.fromarray(checkers(512, 512)).save(root / f"checkers.{suffix}", quality=100)
    Picture.fromarray(np.dstack([checkers(512, 512)] * 3)).save(root / "colours.jpg", quality=100)
    veil = np.clip(np.indices((H, W))[1] * 255 // (W - 80) - 20, 0, 255).astype(np.uint8)
    Picture.fromarray(np.dstack([photo(), veil])).save(root / "veiled.png")
    Picture.fromarray(make_images.board(700, 500)).save(root / "board.jpg", quality=95)
    subprocess.run([binary, "pyramid", root / "board.jpg", root / "board.tif"], check=True, capture_output=True)
    for file in root.iterdir():
        file.chmod(0o644)
    return root


@pytest.fixture(scope="module")
def client(binary, scratch, folder):
    rules = [("on/", folder, {"linear_light": True}), ("off/", folder, {"linear_light": False}), ("", folder, {})]
    config = config_text(rules, images={"jpeg_quality": 100, "jpeg_sampling": "444"}, limits={"upscale": True})
    with boot(scratch, binary, "light-server", config) as stack:
        yield Client(stack.port)


def get(client, name, rest):
    reply = client.get(f"/iiif/3/{name.replace('/', '%2F')}/{rest}")
    assert reply.status == 200, (name, rest, reply.body[:200])
    return reply


def samples(client, name, rest):
    with get(client, name, rest).picture() as picture:
        return np.asarray(picture, np.float64)


def wanted(rest, colours):
    """The float picture of a request of REQUESTS, and its samples before."""
    region, _, rotation, quality = rest.split("/")
    x, y, w, h = (0, 0, W, H) if region == "full" else map(int, region.split(","))
    return (x, y, w, h), rotation, quality == "gray" and colours.ndim == 3


@pytest.mark.parametrize("rest", REQUESTS)
@pytest.mark.parametrize("name", ["photo.png", "gray.png"])
def test_is_the_filter_in_light(client, name, rest):
    colours = photo() if name == "photo.png" else photo()[..., 0]
    region, rotation, gray = wanted(rest, colours)
    got = samples(client, f"on/{name}", rest + ".png")
    if rotation == "!90":
        got = np.rot90(got)[:, ::-1]
    if gray:
        colours = luma(colours)
    want = from_light(scale(to_light(colours), region, got.shape[1::-1]))
    # Rounding, and what whole weights lose of it in shadows.
    assert abs(got - want).max() < .65
    assert abs(samples(client, f"off/{name}", "full/130,/0/default.png") -
               samples(client, f"on/{name}", "full/130,/0/default.png")).max() > 20


@pytest.mark.parametrize("name", ["checkers.png", "checkers.jpg", "checkers.tif", "colours.jpg"])
def test_fine_white_keeps_its_light(client, name):
    """Half of the light is 188, where half of the numbers is 128. A JPEG is not reduced before by its DCT."""
    for format, tolerance in (("png", 0), ("jpg", 1)):
        inner = np.s_[4:-4, 4:-4]
        bright = samples(client, f"on/{name}", f"full/64,/0/default.{format}")[inner]
        assert abs(bright - 188).max() <= tolerance
        assert abs(samples(client, f"off/{name}", f"full/64,/0/default.{format}")[inner] - 127.5).max() <= 1.5
    black_or_white = samples(client, f"on/{name}", "full/64,/0/bitonal.png")
    assert abs(black_or_white.mean() / black_or_white.max() - 188 / 255) < .02
    assert abs(samples(client, f"on/{name}", "full/64,/22.5/default.jpg")[40:44, 40:44] - 188).max() <= 2


@pytest.mark.parametrize("rest", ["full/130,/0/default", "37,21,200,161/71,/0/default", "100,80,90,70/^!257,257/0/default"])
@pytest.mark.parametrize("name,floor", [("photo.jpg", 55), ("photo-444.jpg", 58)])
def test_jpeg(client, folder, name, floor, rest):
    with Picture.open(folder / name) as picture:
        colours = np.asarray(picture)
    region, _, _ = wanted(rest, colours)
    for format, most in (("png", 99), ("jpg", 45)):
        got = samples(client, f"on/{name}", f"{rest}.{format}")
        want = from_light(scale(to_light(colours), region, got.shape[1::-1]))
        assert psnr(got, want) > min(floor, most)


@pytest.mark.parametrize("rest", ["full/130,/0/default.png", "37,21,330,261/71,/0/default.png", "100,80,90,70/^!257,257/90/default.png"])
def test_opacity(client, folder, rest):
    """Opacity is light already; a colour weighs as much as it is opaque."""
    with Picture.open(folder / "veiled.png") as picture:
        colours = np.asarray(picture, np.float64)
    region, rotation, _ = wanted(rest, colours)
    got = samples(client, "on/veiled.png", rest)
    if rotation == "90":
        got = np.rot90(got)
    size = got.shape[1::-1]
    opacity = np.clip(scale(colours[..., 3], region, size), 0, 255)
    assert abs(got[..., 3] - opacity).max() < .52
    light = scale(to_light(colours[..., :3]) * colours[..., 3:], region, size)
    want = from_light(light / np.maximum(opacity, 1)[..., None])
    # Rounded as it becomes a byte, as it is multiplied by its opacity, and as it is divided by that.
    seen = opacity > 8
    assert (abs(got[..., :3] - want)[seen] <= 1.1 + 200 / opacity[seen][:, None]).all()
    flat = samples(client, "on/veiled.png", rest.replace(".png", ".jpg"))
    if rotation == "90":
        flat = np.rot90(flat)
    assert psnr(flat, want * (opacity / 255)[..., None] + 255 - opacity[..., None]) > 36


COPIES = ["full/max/0/default", "64,32,128,96/max/!180/default", "64,32,128,96/128,96/90/gray", "16,16,100,64/max/0/bitonal"]


@pytest.mark.parametrize("rest", COPIES)
@pytest.mark.parametrize("name", ["photo.png", "photo.jpg", "gray.png", "veiled.png", "board.jpg", "board.tif"])
def test_copies_stay_bytes(client, name, rest):
    for format in ("png", "jpg"):
        assert get(client, f"on/{name}", f"{rest}.{format}").body == get(client, f"off/{name}", f"{rest}.{format}").body


@pytest.mark.parametrize("rest", ["0,0,512,500/256,/0/default.jpg", "512,0,188,500/94,/0/default.jpg", "full/175,/0/default.png"])
def test_stored_levels_stay_bytes(client, rest):
    assert get(client, "on/board.tif", rest).body == get(client, "off/board.tif", rest).body


def test_off_by_default(client):
    for name in ("photo.png", "photo.jpg", "veiled.png"):
        off, default, on = (get(client, f"{rule}{name}", "full/130,/0/default.jpg") for rule in ("off/", "", "on/"))
        assert off.body == default.body != on.body
        assert off["ETag"] == default["ETag"] != on["ETag"]


@pytest.mark.parametrize("name", ["photo.png", "photo.jpg", "veiled.png"])
def test_tiles_are_seamless(client, name):
    whole = samples(client, f"on/{name}", "0,0,400,288/200,144/0/default.png")
    for x in range(0, 400, 80):
        for y in range(0, 288, 96):
            tile = samples(client, f"on/{name}", f"{x},{y},80,96/40,48/0/default.png")
            assert (tile == whole[y // 2:y // 2 + 48, x // 2:x // 2 + 40]).all()
