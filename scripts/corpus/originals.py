# SPDX-License-Identifier: BSD-2-Clause
"""Originals by decoders that are not Lorikeet's: Pillow, and OpenJPEG's and libtiff's tools for what Pillow cannot open."""
import io
import os
import shutil
import subprocess
import tempfile

from PIL import Image, UnidentifiedImageError

from .picture import Reference, Undecodable, loaded, upright_rgb
from .s3 import Bucket, S3Error

TOOL_S = 120
TURNED = (5, 6, 7, 8)


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
        try:
            done = subprocess.run([word.format(**names) for word in command], capture_output=True, timeout=TOOL_S)
        except subprocess.TimeoutExpired:
            raise Undecodable(f"{command[0]} took longer than {TOOL_S} s") from None
        if done.returncode or not os.path.exists(names["out"]):
            raise Undecodable(f"{command[0]} cannot decode the original")
        with Image.open(names["out"]) as image:
            image.load()
        return image


def opened(data):
    try:
        image = Image.open(io.BytesIO(data))
        full = image.size
        return loaded(image), full
    except (UnidentifiedImageError, NotImplementedError) as e:
        refused = e
    except Exception as e:
        raise Undecodable(f"Pillow cannot decode the original: {e or type(e).__name__}") from None
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        image = by_tool(data, ".tif", ["tiff2rgba", "{in}", "{out}"])
    elif data[4:8] == b"jP  " or data[:4] == b"\xff\x4f\xff\x51":
        suffix = ".jp2" if data[4:8] == b"jP  " else ".j2k"
        image = by_tool(data, suffix, ["opj_decompress", "-quiet", "-i", "{in}", "-o", "{out}"])
    else:
        raise Undecodable(f"Pillow cannot open the original: {type(refused).__name__}")
    return image, image.size


def reference(where, name, background):
    """The original as a Reference. Raises Undecodable with why there is none."""
    try:
        data = where.read(name)
    except (OSError, ValueError, S3Error) as e:
        raise Undecodable(f"the original cannot be read: {e}") from None
    if data is None:
        raise Undecodable("there is no such original")
    image, full = opened(data)
    is_guess = image.mode == "CMYK" and not image.info.get("icc_profile")
    if image.getexif().get(0x0112) in TURNED:
        full = full[::-1]
    try:
        return Reference(upright_rgb(image, background), *full, is_guess)
    except Undecodable:
        raise
    except Exception as e:
        raise Undecodable(f"Pillow cannot convert the original: {e or type(e).__name__}") from None
