# SPDX-License-Identifier: BSD-2-Clause
"""TIFFs of signed, long or floating-point samples, which show what README.md says: SMinSampleValue to SMaxSampleValue, else
floats within 0 to 1 as that, else the least sample to the greatest."""
import numpy as np
from PIL import Image, TiffImagePlugin

from .picture import Undecodable

WIDTH, HEIGHT, BITS, PHOTOMETRIC, STRIPS, ORIENTATION, SAMPLES, LENGTHS = 256, 257, 258, 262, 273, 274, 277, 279
FORMAT, LEAST, GREATEST, PROFILE, NO_DATA = 339, 340, 341, 34675, 42113
UNSIGNED, SIGNED, FLOAT = 1, 2, 3
LETTERS = {UNSIGNED: "u", SIGNED: "i", FLOAT: "f"}
MOST_BITS = 16               # of samples that go from 0 to all of their bits


def tags(file):
    """Of its first page."""
    head = file.read(8)
    if head[2:4] in (b"+\0", b"\0+"):
        head += file.read(8)
    found = TiffImagePlugin.ImageFileDirectory_v2(head)
    file.seek(found.next)
    found.load(file)
    return found


def first(value):
    return value[0] if isinstance(value, tuple) else value


def kind(found):
    return first(found.get(FORMAT, UNSIGNED)), first(found.get(BITS, 1))


def has(found):
    form, bits = kind(found)
    if form not in (SIGNED, FLOAT) and bits <= MOST_BITS:
        return False
    if found[WIDTH] * found[HEIGHT] > Image.MAX_IMAGE_PIXELS:
        raise Undecodable(f"the original is {found[WIDTH]} x {found[HEIGHT]}: more than --max-pixels")
    return True


def limits(found, form, array, valid):
    low, high = (first(found.get(tag, np.nan)) for tag in (LEAST, GREATEST))
    if low < high:
        return float(low), float(high)
    if not valid.any():
        return 0., 1.
    low, high = float(array[valid].min()), float(array[valid].max())
    return (0., 1.) if form == FLOAT and low >= 0 and high <= 1 else (low, high)


def nothing(given, array):
    """The value that stands for none; NaN, which nothing is equal to, without one."""
    try:
        return np.float64(given.get(NO_DATA, "nan").strip("\0 ")).astype(array.dtype if array.dtype.kind == "f" else np.float64)
    except ValueError:
        return np.nan


def read(path, given):
    """The image in 8 bits, its size, its orientation, of a file of plain strips; given: tags of what it was made of."""
    with open(path, "rb") as file:
        order = "<" if file.read(2) == b"II" else ">"
        file.seek(0)
        found = tags(file)
        (form, bits), w, h, samples, white = kind(found), found[WIDTH], found[HEIGHT], found.get(SAMPLES, 1), found[PHOTOMETRIC] == 0
        if form not in LETTERS or bits not in (8, 16, 32, 64) or (samples, found[PHOTOMETRIC]) not in ((1, 0), (1, 1), (3, 2)):
            raise Undecodable(f"the original has {samples} samples of {bits} bits, which cannot be told the meaning of")
        strips = []
        for at, length in zip(found[STRIPS], found[LENGTHS]):
            file.seek(at)
            strips.append(file.read(length))
    array = np.frombuffer(b"".join(strips), f"{order}{LETTERS[form]}{bits // 8}").reshape(h, w, samples)
    valid = np.isfinite(array) & (array != nothing(given, array))
    low, high = limits(given, form, array, valid)
    scaled = np.clip((array.astype(np.float32) - low) / max(high - low, 1e-30), 0, 1) * 255
    scaled = np.where(valid, 255 - scaled if white else scaled, 0).round().astype(np.uint8)
    image = Image.fromarray(scaled if samples == 3 else scaled[:, :, 0])
    if PROFILE in given:
        image.info["icc_profile"] = given[PROFILE]
    return image, image.size, given.get(ORIENTATION, 1)
