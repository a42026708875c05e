# SPDX-License-Identifier: BSD-2-Clause
"""Originals by decoders that are not Lorikeet's: Pillow, and OpenJPEG's and libtiff's tools for what Pillow cannot open."""
import io
import os
import shutil
import subprocess
import tempfile

from PIL import Image, UnidentifiedImageError

from .picture import TURNED, Reference, Undecodable, loaded, orientation
from .s3 import Bucket, S3Error

TOOL_S = 120
# Not all that Pillow has: for PostScript it runs a program.
FORMATS = ["JPEG", "TIFF", "PNG", "GIF", "BMP", "PPM", "PSD", "WEBP", "JPEG2000"]


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


def by_tool(data, suffix, command):
    """What a tool makes of the file; it gets names for input and output."""
    if not shutil.which(command[0]):
        raise Undecodable(f"Pillow cannot open the original, and {command[0]} is not installed")
    with tempfile.TemporaryDirectory(prefix="corpus-check-") as folder:
        names = {"in": os.path.join(folder, f"in{suffix}"), "out": os.path.join(folder, "out.tif")}
        with open(names["in"], "wb") as file:
            file.write(data)
        # By a program of its own, as this process may be killed meanwhile.
        done = subprocess.run(["timeout", str(TOOL_S), *(word.format(**names) for word in command)], capture_output=True)
        if done.returncode == 124:
            raise Undecodable(f"{command[0]} took longer than {TOOL_S} s")
        if done.returncode or not os.path.exists(names["out"]):
            raise Undecodable(f"{command[0]} cannot decode the original")
        return opened(names["out"])


def opened(file):
    image = Image.open(file, formats=FORMATS)
    full, turned = image.size, orientation(image)
    if image.format == "PSD":
        # The merged picture lies on white already, and what Pillow takes for opacity may be a selection.
        return loaded(image).convert("RGB"), full, 1
    return loaded(image), full, turned


def decoded(data):
    """The image, its size as stored, its orientation."""
    is_boxed, is_tiff = data[4:8] == b"jP  ", data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
    if (is_boxed or data[:4] == b"\xff\x4f\xff\x51") and shutil.which("opj_decompress"):
        # Pillow knows nothing of palettes, channel definitions and colour spaces of JPEG 2000.
        found = by_tool(data, ".jp2" if is_boxed else ".j2k", ["opj_decompress", "-quiet", "-i", "{in}", "-o", "{out}"])
        if found[0].mode not in ("RGB", "L", "I;16"):
            raise Undecodable(f"OpenJPEG's tool does not tell what the components of a JPEG 2000 of {found[0].mode} are")
        return found
    try:
        return opened(io.BytesIO(data))
    except (UnidentifiedImageError, NotImplementedError):
        if not is_tiff:
            raise
        return by_tool(data, ".tif", ["tiff2rgba", "{in}", "{out}"])


def reference(where, name, background):
    """The original as a Reference. Raises Undecodable with why there is none."""
    try:
        data = where.read(name)
    except (OSError, ValueError, S3Error) as e:
        raise Undecodable(f"the original cannot be read: {e}") from None
    if data is None:
        raise Undecodable("there is no such original")
    try:
        image, full, turned = decoded(data)
        is_guess = image.mode == "CMYK" and not image.info.get("icc_profile")
        return Reference(image, *(full[::-1] if turned in TURNED else full), background, turned, is_guess)
    except Undecodable:
        raise
    except UnidentifiedImageError:
        raise Undecodable("Pillow cannot open the original") from None
    except Exception as e:
        # Pillow's plugins raise whatever their parsing stumbles over.
        raise Undecodable(f"the original cannot be decoded by Pillow: {e or type(e).__name__}") from None
