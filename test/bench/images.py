# SPDX-License-Identifier: BSD-2-Clause
"""The pictures of scripts/bench, in all kinds of files, made once and kept.

Of each master (a flat JPEG, 4:2:0, quality 90, or a person's own) there are a JPEG pyramid by `lorikeet pyramid` and one as
others write it, and a deflate pyramid; of the first master also JP2 (in tiles of 1024, and without), PNG, WebP and GIF.
"""
import hashlib
import os
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import masters
from PIL import Image
from stack import REPO

Image.MAX_IMAGE_PIXELS = None
KEPT = REPO / "build/bench/images"
TOOLS = REPO / "build/release"
TILE = 256
JP2_REDUCTIONS = 5
LEAST_SIDE, WEBP_SIDE = 2048, 16383
JP2 = {"irreversible": True, "mct": 1, "quality_mode": "rates", "quality_layers": [10], "num_resolutions": JP2_REDUCTIONS + 1}
OTHERS = {"tiled.jp2": {**JP2, "tile_size": (1024, 1024)}, "untiled.jp2": JP2, "rest.png": {"compress_level": 4},
          "rest.webp": {"quality": 85, "method": 2}, "rest.gif": {"interlace": 0}}


class ImagesError(Exception):
    pass


@dataclass(frozen=True)
class Master:
    name: str
    folder: Path
    width: int
    height: int
    first: bool

    def path(self, kind):
        return self.folder / f"{self.name}-{kind}"


def without_metadata(jpeg):
    """A JPEG without its profile, orientation and the like, of which only some contestants know."""
    out, at = bytearray(b"\xff\xd8"), 2
    while jpeg[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(jpeg[at + 2:at + 4], "big")
        if not 0xE1 <= jpeg[at + 1] <= 0xEF or jpeg[at + 1] == 0xEE:
            out += jpeg[at:end]
        at = end
    return bytes(out + jpeg[at:])


def own_jpegs(folder):
    """Those of a person's JPEGs with which all workloads can be done."""
    for path in sorted(p for p in Path(folder).iterdir() if p.suffix.lower() in (".jpg", ".jpeg")):
        with Image.open(path) as picture:
            if picture.format == "JPEG" and picture.mode == "RGB" and min(picture.size) >= LEAST_SIDE:
                yield path
            else:
                print(f"{path.name} is left out: a JPEG in colour of {LEAST_SIDE} pixels a side or more is wanted")


def derive(flat, first):
    """The other files beside a flat JPEG."""
    def beside(kind):
        return flat.with_name(flat.name.removesuffix("flat.jpg") + kind)
    env = {**os.environ, "LORIKEET_IMAGES_JPEG_QUALITY": "90", "LORIKEET_CONFIG": "/dev/null"}
    commands = [([TOOLS / "lorikeet", "pyramid", flat, beside("restart.tif")], env),
                ([TOOLS / "bench/pyramid", flat, beside("plain.tif"), "jpeg"], None),
                ([TOOLS / "bench/pyramid", flat, beside("deflate.tif"), "deflate"], None)]
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(subprocess.run, command, check=True, env=e) for command, e in commands]
        if first:
            with Image.open(flat) as picture:
                picture.load()
            for kind, options in OTHERS.items():
                if kind != "rest.webp" or max(picture.size) <= WEBP_SIDE:
                    jobs.append(pool.submit(picture.save, beside(kind), **options))
        for job in jobs:
            job.result()


def make(folder, sizes, own):
    """Masters by name: (width, height) to invent, or paths of a person's own."""
    folder.mkdir(parents=True)
    for i, (name, what) in enumerate(own.items() if own else sizes.items()):
        flat = folder / f"{name}-flat.jpg"
        if own:
            flat.write_bytes(without_metadata(what.read_bytes()))
        else:
            masters.make(*what).save(flat, quality=90, subsampling=2)
        derive(flat, i == 0)


def state_of(own):
    """What the kept files depend on."""
    sources = [Path(masters.__file__), Path(__file__), REPO / "test/bench/pyramid.c", REPO / "lib/image/tiff_write.c"]
    state = hashlib.sha256(b"".join(p.read_bytes() for p in sources))
    for path in own.values():
        state.update(f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}".encode())
    return state.hexdigest()


def ready(name, sizes, own_folder=None):
    """The masters, their files made if need be. sizes: {name: (width, height)}, unless own_folder has some."""
    own = {}
    if own_folder:
        own = {f"own{i + 1}": path.resolve() for i, path in enumerate(own_jpegs(own_folder))}
        if not own:
            raise ImagesError(f"no usable JPEG in {own_folder}")
        for key, path in own.items():
            print(f"{key}: {path.name}")
    folder, state = KEPT / name, state_of(own)
    stamp = folder / "stamp"
    if not stamp.exists() or stamp.read_text() != state:
        print("making images ... ", end="", flush=True)
        started = time.monotonic()
        shutil.rmtree(folder, ignore_errors=True)
        make(folder, sizes, own)
        stamp.write_text(state)
        print(f"done in {time.monotonic() - started:.0f} s")
    found = []
    for key in own or sizes:
        with Image.open(folder / f"{key}-flat.jpg") as picture:
            found.append(Master(key, folder, *picture.size, key == next(iter(own or sizes))))
    return found
