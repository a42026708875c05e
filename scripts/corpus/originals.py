# SPDX-License-Identifier: BSD-2-Clause
"""Originals by decoders that are not Lorikeet's: Pillow, and the tools of OpenJPEG, libtiff, libheif and libjxl for what Pillow
cannot open."""
import io
import os
import shutil
import subprocess
import tempfile

import numpy as np
from PIL import Image, UnidentifiedImageError

from . import numbers
from .picture import TURNED, Reference, Undecodable, loaded, orientation
from .s3 import Bucket, Expired, S3Error

TOOL_S = 120
# Not all that Pillow has: for PostScript it runs a program.
FORMATS = ["JPEG", "TIFF", "PNG", "GIF", "BMP", "PPM", "PSD", "WEBP", "JPEG2000"]
# Of ITU-T H.273, with 2 for not said; BT.709's own curve is taken for sRGB's.
SRGB_PRIMARIES, SRGB_CURVES = (b"\0\1", b"\0\2"), (b"\0\1", b"\0\2", b"\0\6", b"\0\x0d")
JXL = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")


class Folder:
    def __init__(self, root, most_bytes):
        self.root, self.most_bytes = os.path.realpath(root), most_bytes

    def read(self, name):
        path = os.path.realpath(os.path.join(self.root, name))
        if not path.startswith(self.root.rstrip("/") + "/") or not os.path.isfile(path):
            return None
        if os.path.getsize(path) > self.most_bytes:
            raise Undecodable(f"the original has more than {self.most_bytes} bytes")
        with open(path, "rb") as file:
            return file.read()


def place(where, most_bytes, timeout_s):
    return Bucket(where, timeout_s, most_bytes) if where.startswith("s3://") else Folder(where, most_bytes)


def by_tool(data, suffix, commands, out=".tif", read=None):
    """What the first tool that is there makes of the file; it gets names for input and output."""
    command = next((c for c in commands if shutil.which(c[0])), None)
    if not command:
        raise Undecodable(f"Pillow cannot open the original, and {' or '.join(c[0] for c in commands)} is not installed")
    with tempfile.TemporaryDirectory() as folder:
        names = {"in": os.path.join(folder, f"in{suffix}"), "out": os.path.join(folder, f"out{out}")}
        with open(names["in"], "wb") as file:
            file.write(data)
        # By a program of its own, as this process may be killed meanwhile.
        done = subprocess.run(["timeout", str(TOOL_S), *(word.format(**names) for word in command)], capture_output=True)
        if done.returncode == 124:
            raise Undecodable(f"{command[0]} took longer than {TOOL_S} s")
        if done.returncode or not os.path.exists(names["out"]):
            raise Undecodable(f"{command[0]} cannot decode the original")
        return (read or opened)(names["out"])


def upright(file):
    """As opened(), of what a tool has turned already, whatever EXIF says."""
    image, full, _ = opened(file)
    return image, full, 1


def opened(file):
    image = Image.open(file, formats=FORMATS)
    full, turned = image.size, orientation(image)
    loaded(image)
    if image.format == "PSD":
        # The merged picture lies on white already, and what Pillow takes for opacity may be a selection.
        return image.convert("RGB"), full, 1
    if image.format == "TIFF":
        # Pillow has turned it.
        return tiff(image), image.size, 1
    return image, full, turned


def tiff(image):
    """Pillow shows white for black where grays of 16 bits begin with white."""
    if not image.mode.startswith("I") or image.tag_v2.get(numbers.PHOTOMETRIC) != 0:
        return image
    turned_over = Image.fromarray(~np.asarray(image))
    turned_over.info.update(image.info)
    return turned_over


def decoded(data):
    """The image, its size as stored, its orientation."""
    is_boxed, is_tiff = data[4:8] == b"jP  ", data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
    if (is_boxed or data[:4] == b"\xff\x4f\xff\x51") and shutil.which("opj_decompress"):
        # Pillow knows nothing of palettes, channel definitions and colour spaces of JPEG 2000.
        found = by_tool(data, ".jp2" if is_boxed else ".j2k", [["opj_decompress", "-quiet", "-i", "{in}", "-o", "{out}"]])
        if found[0].mode not in ("RGB", "L", "I;16", "I;16B"):
            raise Undecodable(f"OpenJPEG's tool does not tell what the components of a JPEG 2000 of {found[0].mode} are")
        return found
    if data[4:8] == b"ftyp":
        return by_tool(data, ".heif", [["heif-convert", "{in}", "{out}"], ["heif-dec", "{in}", "{out}"]], ".png", upright)
    if data.startswith(JXL):
        return by_tool(data, ".jxl", [["djxl", "{in}", "{out}"]], ".png", upright)
    if is_tiff and numbers.has(given := numbers.tags(io.BytesIO(data))):
        command = ["tiffcp", "-c", "none", "-s", "-p", "contig", "{in},0", "{out}"]
        return by_tool(data, ".tif", [command], read=lambda path: numbers.read(path, given))
    try:
        return opened(io.BytesIO(data))
    except (UnidentifiedImageError, NotImplementedError):
        if not is_tiff:
            raise
        if given.get(numbers.ORIENTATION, 1) != 1:
            raise Undecodable("Pillow cannot open the original, and tiff2rgba does not turn it") from None
        return by_tool(data, ".tif", [["tiff2rgba", "{in}", "{out}"]])


def is_of_other_colours(data):
    """A HEIC or AVIF whose colours are numbers, and not sRGB's: libheif's tool leaves them as they are."""
    at = data.find(b"colrnclx", 0, 1 << 16) + 8
    return data[4:8] == b"ftyp" and at >= 8 and (data[at:at + 2] not in SRGB_PRIMARIES or data[at + 2:at + 4] not in SRGB_CURVES)


def reference(where, name, background):
    """The original as a Reference. Raises Undecodable with why there is none, Expired if there will be none of any other."""
    try:
        data = where.read(name)
    except Expired:
        raise
    except (OSError, ValueError, S3Error) as e:
        raise Undecodable(f"the original cannot be read: {e}") from None
    if data is None:
        raise Undecodable("there is no such original")
    try:
        image, full, turned = decoded(data)
        is_guess = not image.info.get("icc_profile") and (image.mode == "CMYK" or is_of_other_colours(data))
        return Reference(image, *(full[::-1] if turned in TURNED else full), background, turned, is_guess)
    except Undecodable:
        raise
    except UnidentifiedImageError:
        raise Undecodable("Pillow cannot open the original") from None
    except Exception as e:
        # Pillow's plugins raise whatever their parsing stumbles over.
        raise Undecodable(f"the original cannot be decoded by Pillow: {e or type(e).__name__}") from None
