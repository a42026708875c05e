# SPDX-License-Identifier: BSD-2-Clause
"""npm packages of fixed versions and contents, never committed: fetched once by `npm pack`, unpacked in build/npm.

    folder("openseadragon") / "build/openseadragon/openseadragon.min.js"

Nothing of a package is run here. openseadragon is for scripts/run, the others are for the tests.
"""
import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

CACHE = Path(__file__).resolve().parent.parent / "build/npm"
# Version, and the SHA-512 of the archive.
PACKAGES = {
    "openseadragon": ("6.1.1", "g4iKe2q8B642SaBT3+x4ZF3/8b1TxPPydyjmtrOLgDrlYWMKd9ZXM+1Cb/xa9DVySkvs/7l6HR1nHKfD5F3Tsw=="),
    "playwright-core": ("1.65.0", "vNSKgH6YqtN7cdT/L334zo0a+YwkrpicyrHJlWWPIm/Q+Nn2SWInil01oT0mbu96U4GgoRtCYQD9CzJQgju+lA=="),
    "mirador": ("4.0.0", "uWsE9e2oqSc/lUu+vVwDGhTsycuhGsfZ2KfX6CLfXiT3wgGy6qT9+q5M3V9Zz72hkdIgsJugKesaowmRtYmvrA=="),
    "universalviewer": ("4.4.0", "9OVs6uCzeQYw50jg8k2vEGq6hQFu7kEv9OOAlmqVH9duhrpg1xlIqcMIb2rhNQnAxTQd3R13gxJze9UYkiwdzg=="),
    "tify": ("0.35.0", "fIEtR4XMoqIif+ksLaxWLjZb4yBsYddfKzr/nRnK0QSj455sf6DuYYaFL4YW0ZSZq9Oy8w4N7G7WjRaTcy+eAg=="),
    "leaflet": ("1.9.4", "nxS1ynzJOmOlHp+iL3FyWqK89GtNL8U8rvlMOsQdTTssxZwCXh8N2NB3GDQOL+YR3XnWyZAxwQixURb+FA74PA=="),
    "leaflet-iiif": ("3.0.0", "WWejon+vWaJUPe4Lp/AidYMosyy82bU/OjVgHQCTUojFWaUxzs00Ao6pSd42EYw45S8SW2Drc4VsMb3sxSNUMQ=="),
}


class NpmError(Exception):
    pass


def pack(spec, folder, seconds):
    """The archive of NAME@VERSION in the folder."""
    command = ["npm", "pack", "--silent", "--fetch-retries=1", "--pack-destination", str(folder), spec]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=seconds,
                              stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise NpmError("there is no npm") from None
    except subprocess.TimeoutExpired:
        raise NpmError(f"npm did not fetch {spec} in {seconds} s") from None
    archives = list(Path(folder).glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise NpmError(f"npm could not fetch {spec}: {words[-1] if words else 'no reason given'}")
    return archives[0]


def fetch(name, version, wanted, target, seconds):
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as part:
        archive = pack(f"{name}@{version}", part, seconds)
        if base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode() != wanted:
            raise NpmError(f"{name}@{version} is not the archive that was expected")
        with tarfile.open(archive) as tar:
            for member in tar:
                if not member.isfile() or ".." in Path(member.name).parts or member.name.startswith("/"):
                    continue
                path = Path(part, "unpacked", *Path(member.name).parts[1:])
                path.parent.mkdir(parents=True, exist_ok=True)
                with tar.extractfile(member) as source, open(path, "wb") as to:
                    shutil.copyfileobj(source, to)
        os.chmod(part, 0o755)
        try:
            Path(part, "unpacked").rename(target)
        except OSError:
            if not target.exists():    # else another run was quicker
                raise


def folder(name, seconds=120):
    """Where the package lies; fetched when it is not there yet."""
    version, wanted = PACKAGES[name]
    target = CACHE / f"{name}-{version}"
    if not target.exists():
        fetch(name, version, wanted, target, seconds)
    return target
