# SPDX-License-Identifier: BSD-2-Clause
"""The last part of scripts/run: samples, nginx and the pool in the foreground, until a signal."""
import argparse
import hashlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path

import npm
from stack import REPO, Stack, StackError, check_worker_can_pass, free_port

BINARY = REPO / "build/release/lorikeet"
SHOWN = 6
SUFFIXES = {".jpg", ".jpeg", ".tif", ".tiff", ".jp2", ".png", ".webp", ".gif"}


def samples():
    """The folder of sample images, made once for each state of samples.py."""
    script, folder = REPO / "scripts/samples.py", REPO / "build/samples"
    state = hashlib.sha256(script.read_bytes()).hexdigest()
    stamp = folder / ".stamp"
    if not stamp.exists() or stamp.read_text() != state:
        print("making sample images (about 20 seconds) ... ", end="", flush=True)
        started = time.monotonic()
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-B", script, folder, BINARY], check=True)
        stamp.write_text(state)
        print(f"done in {time.monotonic() - started:.0f} s")
    return folder


def quoted(text):
    """A string of libconfig."""
    return '"' + str(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def first_images(folder):
    """The identifiers of some images of a folder, and no long walk through a large one."""
    walk = (Path(at, name) for at, folders, names in os.walk(folder) if not folders.sort() for name in sorted(names))
    found = (p for p in itertools.islice(walk, 5000) if p.suffix.lower() in SUFFIXES)
    return [str(p.relative_to(folder)) for p in itertools.islice(found, SHOWN)]


def port_to_use(wanted):
    """The wanted port, or 8080, or any free one."""
    try:
        return free_port(wanted or 8080)
    except OSError as e:
        if wanted:
            raise StackError(f"port {wanted}: {e.strerror}") from None
        return free_port()


def viewer():
    """The unpacked OpenSeadragon for the start page, None where it cannot be had."""
    try:
        return npm.folder("openseadragon", seconds=60)
    except (npm.NpmError, OSError) as e:
        print(f"no zoom on the start page, as OpenSeadragon could not be fetched: {e}")
        return None


def show(url, identifiers, pid, page, own_config):
    print(f"\nLorikeet serves at {url}   (process {pid}; Ctrl-C ends it)\n")
    if page:
        print(f"  {url}/   shows the images in a viewer\n")
    if own_config:
        print("  what is served where is said by the configuration")
        return
    for name in identifiers:
        base = f"{url}/iiif/3/{urllib.parse.quote(os.fsencode(name), safe='')}"
        print(f"  {base}/info.json\n  {base}/full/!800,800/0/default.jpg")
    if not identifiers:
        print("  no image was found; an image is at IDENTIFIER/full/max/0/default.jpg below /iiif/3/")
    print("\n  /iiif/2/ is the Image API 2.1, /iiif/3/ is 3.0", flush=True)


def serve(words, folder):
    images = Path(words.images).resolve() if words.images else None
    worker_env = {}
    if words.config:
        config = Path(words.config)
        if images:
            worker_env = {"LORIKEET_RULES_0_ROOT": images}
    else:
        config = folder / "lorikeet.conf"
        if not images:
            images = folder / "images"
            shutil.copytree(samples(), images)
        config.write_text('server: { start_page = true; };\n'
                          f'rules = ( {{ prefix = ""; type = "file"; root = {quoted(images)}; }} );\n')
    if images:
        check_worker_can_pass(images)
        if not os.access(images, os.R_OK | os.X_OK):
            raise StackError(f"the folder {images} cannot be read")
    check = subprocess.run([BINARY, "--config", config, "check"], capture_output=True, text=True,
                           env={**os.environ, **{k: str(v) for k, v in worker_env.items()}})
    sys.stderr.write(check.stderr)
    if check.returncode:
        raise StackError("the configuration is wrong")
    with Stack(folder / "stack", BINARY, config, port=port_to_use(words.port), workers=words.workers, fetchers=4,
               worker_env=worker_env, viewer=viewer()) as stack:
        show(stack.url, first_images(images) if images else [], os.getpid(), stack.status("/") == 200,
             bool(words.config))
        print(f"  logs are in {stack.folder}/log", flush=True)
        while stack.running():
            time.sleep(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--images")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() + 1) // 2))
    parser.add_argument("--config")
    words = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    folder = Path(tempfile.mkdtemp(prefix="lorikeet-run-"))
    folder.chmod(0o755)
    try:
        serve(words, folder)
    except StackError as e:
        sys.exit(f"scripts/run: {e}")
    finally:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
