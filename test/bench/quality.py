# SPDX-License-Identifier: BSD-2-Clause
"""How near an answer comes to the best there can be.

The reference of an answer is made from the whole decode of the flat file, or of the stored level it should be made of, by
Lanczos3 in floats on the very grid of the request. What its own encoding makes of the reference is the best that any
server can send; what a server loses beside that is lost to quicker ways.
"""
import functools
import io
import subprocess
import tempfile

import numpy as np
from contestants import PROGRAMS
from PIL import Image

Image.MAX_IMAGE_PIXELS = None
REACH = 3
# Decibels that an answer may be below the best. Chroma is repeated, not smoothed, by the quick ways.
LUMA_LOSS, CHROMA_LOSS = 0.3, 1.0
# What is nearer than this is rounding.
ENOUGH = {"png": 50}
# What is farther is not the same picture.
SAME = 15
QUALITY = {"jpg": {"format": "JPEG", "quality": 85, "subsampling": 2}, "webp": {"format": "WEBP", "quality": 80, "method": 3},
           "png": {"format": "PNG"}}


def ycc_of_rgb(rgb):
    """JFIF's, in floats."""
    r, g, b = (rgb[..., i].astype(np.float32) for i in range(3))
    y = 0.299 * r + 0.587 * g + 0.114 * b
    return np.stack([y, (b - y) / 1.772 + 128, (r - y) / 1.402 + 128], -1)


def rgb_of_ycc(ycc):
    y, cb, cr = (ycc[..., i] for i in range(3))
    rgb = np.stack([y + 1.402 * (cr - 128), y - 0.344136 * (cb - 128) - 0.714136 * (cr - 128), y + 1.772 * (cb - 128)], -1)
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)


def read_ycc(stream):
    """h x w x 3: of a JPEG its own samples, of others what RGB gives."""
    with Image.open(stream) as picture:
        if picture.format == "JPEG" and picture.mode == "RGB":
            picture.draft("YCbCr", picture.size)
        if picture.mode == "L":
            y = np.asarray(picture)
            return np.stack([y, np.full_like(y, 128), np.full_like(y, 128)], -1)
        return np.asarray(picture) if picture.mode == "YCbCr" else ycc_of_rgb(np.asarray(picture.convert("RGB")))


def joined(tables, tile):
    """A JPEG of a TIFF's common tables and a tile; with JFIF's mark, for else nobody says that it is YCbCr."""
    jfif = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
    return io.BytesIO(b"\xff\xd8" + jfif + tables[2:-2] + tile[2:])


def read_jpeg_tiles(path, level):
    with Image.open(path) as picture, open(path, "rb") as f:
        picture.seek(level)
        tags, (w, h) = picture.tag_v2, picture.size
        side = tags[322]
        across = -(-w // side)
        out = np.empty((-(-h // side) * side, across * side, 3), np.uint8)
        for i, (at, n) in enumerate(zip(tags[324], tags[325])):
            f.seek(at)
            y, x = i // across * side, i % across * side
            out[y:y + side, x:x + side] = read_ycc(joined(tags[347], f.read(n)))
    return out[:h, :w]


def read_jp2(path, level):
    """By OpenJPEG in the floor program: Pillow 9.4 crashes where it shall reduce a file in tiles."""
    with Image.open(path) as picture:
        sides = picture.size
    numbers = (level, 0, 0, *sides, *(-(-side // 2 ** level) for side in sides))
    with tempfile.NamedTemporaryFile(suffix=".png") as f:
        subprocess.run([PROGRAMS / "floor", "jp2", "png", path, " ".join(map(str, numbers))], check=True, text=True,
                       input=f"1 {f.name}\n", stdout=subprocess.DEVNULL)
        return np.asarray(Image.open(f.name))


@functools.lru_cache(maxsize=2)
def read_level(path, level):
    """(8-bit samples, whether they are RGB, full pixels between them, place of the first one's centre)."""
    step = 2 ** level
    if path.suffix == ".jp2":
        return read_jp2(path, level), True, step, 0.5
    if path.suffix == ".jpg":
        return read_ycc(path), False, step, step / 2
    if path.suffix == ".tif" and "deflate" not in path.name:
        return read_jpeg_tiles(path, level), False, step, step / 2
    with Image.open(path) as picture:
        picture.seek(level)
        return np.asarray(picture.convert("RGB")), True, step, step / 2


def windows(start, step, n, first, d, samples):
    """The samples and weights that each of n outputs is made of; beyond the edges the edge is repeated."""
    centre = (start + (np.arange(n) + 0.5) * step - first) / d
    scale = max(1, step / d)
    taps = int(2 * REACH * scale) + 2
    places = np.ceil(centre - REACH * scale)[:, None] + np.arange(taps)
    x = (places - centre[:, None]) / scale
    weights = np.where(np.abs(x) < REACH, np.sinc(x) * np.sinc(x / REACH), 0)
    weights /= weights.sum(1, keepdims=True)
    return np.clip(places, 0, samples - 1).astype(int), weights.astype(np.float32)


def apply(rows, places, weights):
    out = np.empty((len(places), *rows.shape[1:]), np.float32)
    for i, (at, w) in enumerate(zip(places, weights)):
        part = rows[at[0]:at[-1] + 1] if at[-1] - at[0] + 1 == len(at) else rows[at]
        out[i] = np.tensordot(w, part.astype(np.float32), 1)
    return out


def reference(workload, ask):
    """h x w x 3 floats, turned as the answer."""
    samples, rgb, d, first = read_level(workload.file, workload.level(ask))
    (x, y, _, _), (w, h), (step_x, step_y) = ask.region, ask.size, ask.step
    down, down_weights = windows(y, step_y, h, first, d, samples.shape[0])
    across, across_weights = windows(x, step_x, w, first, d, samples.shape[1])
    top, left = down.min(), across.min()
    samples = samples[top:down.max() + 1, left:across.max() + 1]
    rows = apply(ycc_of_rgb(samples) if rgb else samples, down - top, down_weights)
    out = apply(rows.transpose(1, 0, 2), across - left, across_weights).transpose(1, 0, 2)
    return np.rot90(np.clip(out, 0, 255), -ask.rotation // 90)


def best_of(wanted, ask):
    """What the answer's encoding leaves of the reference."""
    body = io.BytesIO()
    if ask.format == "jpg":
        Image.fromarray(np.rint(wanted).astype(np.uint8), "YCbCr").save(body, **QUALITY["jpg"])
    else:
        Image.fromarray(rgb_of_ycc(wanted), "RGB").save(body, **QUALITY[ask.format])
    body.seek(0)
    return read_ycc(body)


def psnr(got, wanted):
    return 10 * np.log10(255 ** 2 / max(float(np.mean((got - wanted) ** 2)), 1e-9))


def distances(got, wanted):
    """PSNR of luma, and of chroma together; None for a picture of another size."""
    if got.shape != wanted.shape:
        return None
    return psnr(got[..., 0], wanted[..., 0]), psnr(got[..., 1:], wanted[..., 1:])


def judge(workload, answers):
    """{name: (PSNR of luma, of chroma)} of the answers {name: bytes}, with the best one's as "best"."""
    wanted = reference(workload, workload.ask)
    if workload.ask.quality == "gray":
        wanted[..., 1:] = 128
    found = {"best": distances(best_of(wanted, workload.ask), wanted)}
    for name, body in answers.items():
        found[name] = distances(read_ycc(io.BytesIO(body)), wanted)
    return found


def faults(workload, found):
    """What is wrong with judged answers."""
    enough = ENOUGH.get(workload.ask.format, 1000)
    for name, got in found.items():
        if got and got[0] < SAME:
            yield f"{workload.name}: {name} shows another picture ({got[0]:.1f} dB)"
        if name != "lorikeet":
            continue
        if not got:
            yield f"{workload.name}: Lorikeet's answer has another size"
            continue
        for what, value, best, loss in zip(("luma", "chroma"), got, found["best"], (LUMA_LOSS, CHROMA_LOSS)):
            if value < min(best - loss, enough):
                yield f"{workload.name}: Lorikeet's {what} has {value:.2f} dB where {best:.2f} could be"
