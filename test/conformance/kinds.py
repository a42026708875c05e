# SPDX-License-Identifier: BSD-2-Clause
"""The matrix of kinds: small files of every kind, each with what an independent decoder, or whoever made it, sees in it.

A test_kinds_X.py lists its Kinds and Refusals, boots them by `served`, and runs `check` on each: size, pixels of the
whole, regions, tiles at two scales, a reduced whole, gray.
"""
import io
import json
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from PIL import Image as Picture, ImageCms

from harness import Client, boot, config_text
from stack import wait_for

LUMA = np.array((.299, .587, .114))


def scene(w=97, h=67):
    """RGB without sharp edges or flat parts, so that any wrong sample, place or order shows, and subsampling does not."""
    x, y = np.meshgrid(np.arange(w) / w, np.arange(h) / h)
    waves = (128 + 90 * np.cos(5 * x + 2 * y), 128 + 90 * np.sin(3 * x - 4 * y), 40 + 170 * x * (1 - y))
    return np.rint(np.stack(waves, -1)).astype(np.uint8)


def gray_scene(w=97, h=67):
    return np.rint(scene(w, h) @ LUMA).astype(np.uint8)


def deep_scene(w=97, h=67, channels=3):
    """The same in 16 bits, with their lower halves in use."""
    rng = np.random.default_rng(16)
    picture = scene(w, h) if channels == 3 else gray_scene(w, h)
    return (picture.astype(np.uint16) << 8) + rng.integers(0, 256, picture.shape).astype(np.uint16)


def rounded(deep):
    """16 bits to 8."""
    return np.rint(deep / 257).astype(np.uint8)


def in_srgb(samples, icc):
    """As littlecms converts them, relative colorimetric with black point compensation."""
    picture = Picture.fromarray(samples, {2: "L", 3: "RGB", 4: "CMYK"}[samples.ndim if samples.ndim == 2 else samples.shape[2]])
    transform = ImageCms.buildTransform(ImageCms.ImageCmsProfile(io.BytesIO(icc)), ImageCms.createProfile("sRGB"), picture.mode,
                                        "RGB", renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC, flags=0x2000)
    return np.asarray(ImageCms.applyTransform(picture, transform))


def lab_of(rgb):
    """CIE L*a*b* under D50 of sRGB, by Bradford's matrix."""
    v = rgb / 255
    light = np.where(v <= .04045, v / 12.92, ((v + .055) / 1.055) ** 2.4)
    matrix = np.array(((.4360747, .3850649, .1430804), (.2225045, .7168786, .0606169), (.0139322, .0971045, .7141733)))
    xyz = light @ matrix.T / (.9642, 1, .8249)
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)


# Linear light's square root, of 4096, behind each set of inks: bit 0 is cyan, 1 magenta, 2 yellow, 3 black (press.h).
PRIMARIES = np.array([
    (4096, 4096, 4096), (-814, 2665, 3805), (3751, 530, 2098), (677, 704, 2196), (4096, 3860, 528), (-91, 2529, 1160),
    (3769, 441, 544), (787, 787, 829), (531, 479, 492), (-341, 271, 531), (531, -193, 228), (8, -227, 71), (429, 416, -78),
    (-333, 319, 0), (518, -54, -284), (0, 0, 0)]) / 4096


def printed(cmyk):
    """CMYK without a profile (255 is all ink) in sRGB, by the formula that press.h names."""
    x = cmyk.astype(float) / 255
    root = sum(np.prod([x[..., i] if spot >> i & 1 else 1 - x[..., i] for i in range(4)], axis=0)[..., None] * PRIMARIES[spot]
               for spot in range(16))
    light = np.clip(root, 0, 1) ** 2
    return np.rint(255 * np.where(light <= .0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - .055)).astype(np.uint8)


@dataclass
class Kind:
    name: str                  # of the file
    data: bytes
    want: np.ndarray           # upright sRGB of 8 bits: h x w, h x w x 3, or x 2 and x 4 with opacity last
    mean: float = .5           # tolerances of the whole, of 255: exact formats need only the rounding of a conversion
    most: float = 1
    half: float = 12           # at half the size, beyond most: more where edges are sharp
    seam: float = 1            # between tiles and the whole
    options: dict = field(default_factory=dict)   # of its rule


@dataclass
class Refusal:
    name: str
    data: bytes
    status: int                # 500 damaged, 501 sound but not done, 404, 413
    reason: str                # as the log has it


def strict_and_lenient(damaged):
    """Of {name: data}: each as strict-NAME, which is an error, and as itself where its rule says recover."""
    return [*(Refusal(f"strict-{name}", data, 500, "damaged") for name, data in damaged.items()),
            *(Kind(name, data, None, options={"recover": True}) for name, data in damaged.items())]


@contextmanager
def served(binary, scratch, name, files, **sections):
    """A client of a server that has these files."""
    root = scratch / f"{name}-kinds"
    root.mkdir()
    rules = []
    for file in files:
        (root / file.name).write_bytes(file.data)
        (root / file.name).chmod(0o644)
        if getattr(file, "options", None):
            rules.append((file.name, root, {"path": file.name, **file.options}))
    images = {"png_compression": 1, **sections.pop("images", {})}
    config = config_text([*rules, ("", root, {})], images=images, **sections)
    with boot(scratch, binary, f"{name}-kinds-server", config, workers=2) as stack:
        client = Client(stack.port)
        client.stack = stack
        yield client


def shown(client, name, parameters):
    """The samples of a png answer: h x w x channels."""
    reply = client.get(f"/iiif/3/{name}/{parameters}")
    assert reply.status == 200, f"{name} {parameters}: {reply.status} {reply.body[:200]}"
    picture = np.asarray(reply.picture())
    return (picture if picture.ndim == 3 else picture[..., None]).astype(np.float32)


def near(got, want, mean, most, what):
    assert got.shape == want.shape, f"{what}: {got.shape} instead of {want.shape}"
    difference = np.abs(got - want)
    assert difference.mean() <= mean and difference.max() <= most, \
        f"{what}: mean {difference.mean():.2f} of {mean}, most {difference.max():.0f} of {most} at " \
        f"{np.unravel_index(difference.argmax(), difference.shape)}"


def visible(samples):
    """On gray: the colours of what is transparent do not matter."""
    if samples.shape[2] % 2:
        return samples
    opacity = samples[..., -1:] / 255
    return np.concatenate([samples[..., :-1] * opacity + 128 * (1 - opacity), samples[..., -1:]], -1)


def as_gray(samples):
    colours = samples if samples.shape[2] % 2 else samples[..., :-1]
    return samples if colours.shape[2] == 1 else np.concatenate([colours @ LUMA[:, None], samples[..., 3:]], -1)


def halved(samples):
    """At exactly a half, as tiles want it, of odd sides too."""
    h, w = (-(-side // 2) for side in samples.shape[:2])
    samples = np.pad(samples, ((0, 2 * h - samples.shape[0]), (0, 2 * w - samples.shape[1]), (0, 0)), "edge")
    planes = [Picture.fromarray(samples[..., i]).resize((w, h), Picture.Resampling.LANCZOS) for i in range(samples.shape[2])]
    return np.stack([np.asarray(p) for p in planes], -1)


def stitched(client, name, w, h, s, tile):
    rows = []
    for y in range(0, h, tile * s):
        row = []
        for x in range(0, w, tile * s):
            rw, rh = min(tile * s, w - x), min(tile * s, h - y)
            row.append(shown(client, name, f"{x},{y},{rw},{rh}/{-(-rw // s)},{-(-rh // s)}/0/default.png"))
        rows.append(np.concatenate(row, 1))
    return np.concatenate(rows, 0)


def check(client, kind):
    """Everything that must be right of one file."""
    want = kind.want.astype(np.float32)
    want = want if want.ndim == 3 else want[..., None]
    h, w = want.shape[:2]
    info = client.get(f"/iiif/3/{kind.name}/info.json")
    assert info.status == 200, f"{kind.name}: {info.status} {info.body[:200]}"
    assert (json.loads(info.body)["width"], json.loads(info.body)["height"]) == (w, h)

    whole = shown(client, kind.name, "full/max/0/default.png")
    near(visible(whole), visible(want), kind.mean, kind.most, f"{kind.name} whole")
    gray = shown(client, kind.name, "full/max/0/gray.png")
    near(visible(gray), as_gray(visible(want)), kind.mean + .5, kind.most + 1, f"{kind.name} gray")
    if min(w, h) < 16:
        return
    x, y, rw, rh = w // 3, h // 4, w // 2, h // 2
    region = shown(client, kind.name, f"{x},{y},{rw},{rh}/max/0/default.png")
    near(visible(region), visible(whole)[y:y + rh, x:x + rw], .3, kind.seam, f"{kind.name} region")

    w2, h2 = -(-w // 2), -(-h // 2)
    half = shown(client, kind.name, f"full/{w2},{h2}/0/default.png")
    near(visible(half), visible(halved(want)), kind.mean + 1, kind.most + kind.half, f"{kind.name} half")
    for s, all_of_it in ((1, whole), (2, half)):
        near(visible(stitched(client, kind.name, w, h, s, 32)), visible(all_of_it), .3, kind.seam, f"{kind.name} tiles at 1/{s}")


def check_refusal(client, refusal):
    """A clear error for info and image alike, without paths."""
    for ending in ("info.json", "full/max/0/default.jpg"):
        reply = client.get(f"/iiif/3/{refusal.name}/{ending}")
        assert reply.status == refusal.status, f"{refusal.name}: {reply.status} {reply.body[:200]}"
        assert str(client.stack.folder).encode() not in reply.body, reply.body

    def logged():
        lines = [line for group in "ab" for line in client.stack.log(f"lorikeet-{group}.log").splitlines()
                 if f"/{refusal.name}/" in line]
        return len(lines) >= 2 and lines
    for line in wait_for("the log", 5, logged):
        assert f"reason={refusal.reason} " in line, line
