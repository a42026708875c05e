# SPDX-License-Identifier: BSD-2-Clause
"""Pictures of unknown origin, decoded by Pillow within bounds, as upright sRGB; and how much two of them differ."""
import base64
import io
import warnings
from math import ceil, floor, inf, log10

import numpy as np
from PIL import Image, ImageChops, ImageCms

from .info import Wrong

SIDE = 1600                  # what has more pixels than a square of this is compared reduced to so many
GRID = 96                    # pictures are compared with originals at this size
CELLS = 8
# Of 255: what is contrast in a part of an original, what is none in an answer's; which mean difference counts at all. Where
# fewer parts have contrast, all may be noise.
CONTRAST, FLAT, VISIBLE, FEW = 4, .5, 3, 4
LIKENESS = .5                # the correlation that parts have at least which are alike
GUESS_PSNR = 9               # where the colours of an original are a guess; what is not alike is found all the same
LUMA = np.array([.299, .587, .114], np.float32)
THUMB = 180
# What is half an input pixel into an output one counts by half. BOX takes it or not, and fine print comes out otherwise.
SMOOTH = Image.Resampling.HAMMING
FORMATS = {"jpg": ("JPEG", "image/jpeg"), "webp": ("WEBP", "image/webp")}
# What a byte is as light, of 255.
LIGHT = np.array([255 * (v / 12.92 if v <= .04045 else ((v + .055) / 1.055) ** 2.4) for v in np.arange(256) / 255], np.float32)
SRGB = ImageCms.createProfile("sRGB")
TURN = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90}
TURNED = (5, 6, 7, 8)


class Undecodable(Exception):
    """An original that cannot be compared with: why."""


def bound(most_pixels):
    Image.MAX_IMAGE_PIXELS = most_pixels
    warnings.simplefilter("error", Image.DecompressionBombWarning)


def open_answer(body, ask, headers, is_exact=False):
    """The picture of an answer, decoded to its end, and its size. Raises Wrong."""
    name, media_type = FORMATS[ask.format]
    given = headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != media_type:
        raise Wrong(f"Content-Type is {given!r}, not {media_type}")
    try:
        image = Image.open(io.BytesIO(body), formats=[name])
        size = image.size
        check_size(size, ask)
        if orientation(image) in TURN:
            raise Wrong("the answer carries an EXIF orientation: viewers would turn it")
        return loaded(image, is_exact), size
    except Wrong:
        raise
    except Exception as e:
        # Pillow's plugins raise whatever their parsing stumbles over.
        raise Wrong(f"cannot be decoded as {name}: {e or type(e).__name__}") from None


def check_size(size, ask):
    if not all(low <= side <= high for low, side, high in zip(ask.low, size, ask.high)):
        wanted = f"{ask.low[0]} x {ask.low[1]}" + ("" if ask.low == ask.high else f" to {ask.high[0]} x {ask.high[1]}")
        raise Wrong(f"is {size[0]} x {size[1]}, not {wanted}")


def orientation(image):
    """By EXIF, or the TIFF's own tag. Before load(), which may close the file that it is in."""
    return image.getexif().get(0x0112, 1)


def loaded(image, is_exact=True):
    """All of the file's data is read, large JPEGs at an eighth or so where that is enough."""
    if image.format == "JPEG" and not is_exact:
        image.draft(None, [min(side, SIDE) for side in image.size])
    image.load()
    return image


def eight_bits(image):
    """Without the modes that Pillow can neither resize nor convert well."""
    if image.mode.startswith("I"):
        samples = np.asarray(image).astype(np.float32)
        return Image.fromarray(np.clip(samples / 257, 0, 255).round().astype(np.uint8))
    if image.mode in ("P", "PA"):
        return image.convert("RGBA" if "transparency" in image.info or image.mode == "PA" else "RGB")
    return image.convert("L") if image.mode == "1" else image


def in_srgb(image, profile):
    """By the profile, if there is one and it is sound; its opacity stays."""
    alpha = image.getchannel("A") if image.mode in ("RGBA", "LA") else None
    flat = image.convert({"RGBA": "RGB", "LA": "L"}[image.mode]) if alpha else image
    if profile and flat.mode in ("RGB", "L", "CMYK", "LAB"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            flat = ImageCms.profileToProfile(flat, source, SRGB, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):
            pass
    if flat.mode == "LAB":
        flat = ImageCms.profileToProfile(flat, ImageCms.createProfile("LAB"), SRGB, outputMode="RGB")
    flat = flat.convert("RGB")
    if alpha:
        flat.putalpha(alpha)
    return flat


class Reference:
    """A picture to compare with, of an image that is w x h in full and upright, as which orientation `turned` shows it.
    is_guess: its colours are (CMYK without a profile)."""

    def __init__(self, image, w, h, background, turned=1, is_guess=False):
        self.image, self.profile = eight_bits(image), image.info.get("icc_profile")
        self.w, self.h, self.background, self.turned, self.is_guess = w, h, background, turned, is_guess
        self.seen = {}

    def stored(self, region):
        """Where in the image the region is: left, top, right, bottom."""
        x, y, w, h = region
        spans = [(x, x + w, self.w), (y, y + h, self.h)]
        if self.turned in TURNED:
            spans.reverse()
        spans = [(low * side / whole, high * side / whole, side) for (low, high, whole), side in zip(spans, self.image.size)]
        turns = self.turned in (2, 3, 7, 8), self.turned in (3, 4, 6, 7)
        spans = [(side - high, side - low) if turn else (low, high) for (low, high, side), turn in zip(spans, turns)]
        return [min(span[i], side) for i in (0, 1) for span, side in zip(spans, self.image.size)]

    def part(self, region, by_light=False):
        """Upright sRGB, no larger than SIDE says."""
        if (region, by_light) not in self.seen:
            self.seen[region, by_light] = self.cut(self.stored(region), by_light)
        return self.seen[region, by_light]

    def cut(self, box, by_light):
        outer = [*map(floor, box[:2]), *map(ceil, box[2:])]
        image = self.image if outer == [0, 0, *self.image.size] else self.image.crop(outer)
        box = [at - corner for at, corner in zip(box, outer[:2] * 2)]
        w, h = box[2] - box[0], box[3] - box[1]
        scale = min(1, SIDE / (w * h) ** .5)
        size = [max(1, round(side * scale)) for side in (w, h)]
        if by_light and image.mode in ("RGB", "L"):
            image = Image.merge(image.mode, [Image.fromarray(s.round().astype(np.uint8)) for s in smooth_light(image, size, box)])
        else:
            image = image.resize(size, SMOOTH, box=box)
        image = in_srgb(image, self.profile)
        if image.mode == "RGBA":
            below = Image.new("RGBA", image.size, (*self.background, 255))
            image = Image.alpha_composite(below, image).convert("RGB")
        return image.transpose(TURN[self.turned]) if self.turned in TURN else image


def rgb(image, background):
    """All of an upright picture in sRGB, no larger than SIDE says."""
    return Reference(image, *image.size, background).part((0, 0, *image.size))


def smooth_light(image, size, box=None):
    """Each component, weighed as light and again in bytes."""
    for band in image.split():
        light = Image.fromarray(LIGHT[np.asarray(band)]).resize(size, SMOOTH, box=box)
        yield np.interp(np.asarray(light), LIGHT, np.arange(256))


def samples(image, grid, box=None, by_light=False):
    if by_light:
        return np.dstack([*smooth_light(image, grid, box)]).astype(np.float32)
    return np.asarray(image.resize(grid, SMOOTH, box=box), np.float32)


def psnr(one, other):
    error = float(np.mean((one - other) ** 2))
    return inf if error == 0 else 10 * log10(255 ** 2 / error)


def cells(array):
    """Up to 8 x 8 parts of a picture or plane, of four samples a side or more."""
    rows, columns = (max(1, min(CELLS, side // 4)) for side in array.shape[:2])
    return [cell for row in np.array_split(array, rows, axis=0) for cell in np.array_split(row, columns, axis=1)]


def unlike(one, other):
    """The share of those parts with contrast in which the luma does not follow the other's: gray, turned, inverted ones."""
    parts = [(a.ravel(), b.ravel()) for a, b in zip(cells(one @ LUMA), cells(other @ LUMA)) if b.std() > CONTRAST]
    if len(parts) < FEW:
        return 0
    far = ((a, b) for a, b in parts if np.abs(a - b).mean() > VISIBLE)
    return sum(a.std() < FLAT or np.corrcoef(a, b)[0, 1] < LIKENESS for a, b in far) / len(parts)


def compare(picture, ask, reference, limits):
    """The PSNR on a small version of both; and what is wrong, empty if nothing is. README.md argues for the limits. A server may
    scale by light (linear_light), which shows fine print of black and white as a lighter gray."""
    by_bytes = compare_by(False, picture, ask, reference, limits)
    if by_bytes[1]:
        by_light = compare_by(True, picture, ask, reference, limits)
        return by_bytes if by_light[1] else by_light
    return by_bytes


def compare_by(light, picture, ask, reference, limits):
    other = reference.part(ask.region, light)
    # Halved at least, so that neither sharp pixels nor subsampled chroma count.
    grid = [max(1, min(GRID, side // 2, r)) for side, r in zip(picture.size, other.size)]
    # The last row and column of a tile may lie beyond the image's edge in part.
    inside = [min(side, r / ask.factor) if ask.factor else side for side, r in zip(picture.size, ask.region[2:])]
    one, other = samples(picture, grid, (0, 0, *inside), light), samples(other, grid, None, light)
    decibels, share = psnr(one, other), unlike(one, other)
    cell = max(float(part.mean()) for part in cells(np.abs(one - other).mean(axis=2)))
    is_far = decibels < GUESS_PSNR if reference.is_guess else decibels < limits.psnr or cell > limits.cell
    if not is_far and share <= limits.unlike:
        return decibels, ""
    guess = ", and its colours are a guess" if reference.is_guess else ""
    return decibels, (f"PSNR {decibels:.1f} dB, the worst part differs by {cell:.0f} of 255, {share:.0%} of the parts are "
                      f"unlike{guess}")


def exact_psnr(one, other):
    """Of two pictures of one size, each pixel."""
    return psnr(np.asarray(one, np.float32), np.asarray(other, np.float32))


def difference(one, other):
    """What differs, eight times as bright."""
    return ImageChops.difference(one, other).point(lambda v: min(255, v * 8))


def thumb(image):
    """As a data: address."""
    small, out = image.copy(), io.BytesIO()
    small.thumbnail((THUMB, THUMB))
    small.save(out, "JPEG", quality=75)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
