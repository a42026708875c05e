# SPDX-License-Identifier: BSD-2-Clause
"""Files that are not what they seem, or that change while they are served."""
import io
import json
import os
import subprocess
import threading
import time

import numpy as np
import pytest
from bench import in_parallel
from PIL import Image
from shop import as_worker, give_to_worker
from stack import Stack, wait_for
from web import Client


@pytest.fixture(scope="module")
def shelf(scratch, binary):
    folder = scratch / "files"
    (folder / "images").mkdir(parents=True)
    (folder / "c.conf").write_text(
        f'cache: {{ folder = "{folder}/originals"; }};\n'
        f'rules = ( {{ prefix = "f/"; root = "{folder}/images/f"; fallback = [".tif -> .jpg"]; verify = "no"; }},\n'
        f'          {{ prefix = ""; root = "{folder}/images"; revalidate_after = 1; negative_ttl = 1; }} );\n')
    (folder / "originals").mkdir()
    give_to_worker(folder / "originals")
    subprocess.run(as_worker([binary, "--config", folder / "c.conf", "cache", "init"]), check=True, capture_output=True)
    with Stack(folder / "s", binary, folder / "c.conf", workers=2) as stack:
        stack.images = folder / "images"
        stack.client = Client(stack.port)
        yield stack


def picture(shade, suffix, size=(400, 300), **words):
    out = io.BytesIO()
    Image.new("RGB", size, (shade, 255 - shade, 60)).save(out, suffix, **words)
    return out.getvalue()


def ask(shelf, name, rest="full/100,/0/default.png"):
    return shelf.client.ask(f"/iiif/3/{name}/{rest}")


KINDS = {"jpeg.tif": "JPEG", "tiff.jpg": "TIFF", "png": "PNG", "webp.png": "WEBP", "jp2.jpeg": "JPEG2000", "gif.xyz": "GIF",
         "nothing": "JPEG"}


@pytest.mark.sanitize
def test_names_do_not_matter(shelf):
    """A file is what its first bytes say, whatever its suffix, or without one."""
    for name, kind in KINDS.items():
        (shelf.images / name).write_bytes(picture(200, kind))
        assert ask(shelf, name).picture.getpixel((5, 5))[0] == pytest.approx(200, abs=12), name
        assert json.loads(ask(shelf, name, "info.json").body)["width"] == 400


@pytest.mark.sanitize
def test_what_is_no_image(shelf):
    (shelf.images / "empty.tif").write_bytes(b"")
    (shelf.images / "text.jpg").write_text("<!doctype html><title>Not found</title>")
    (shelf.images / "zeros.tif").write_bytes(bytes(5000))
    (shelf.images / "short.jpg").write_bytes(b"\xff\xd8\xff")
    (shelf.images / "folder.tif").mkdir()
    os.mkfifo(shelf.images / "pipe.tif")
    wanted = {"empty.tif": (500, "damaged"), "text.jpg": (501, "unsupported"), "zeros.tif": (501, "unsupported"),
              "short.jpg": (500, "damaged"), "folder.tif": (404, "not-found"), "pipe.tif": (404, "not-found")}
    for name, (status, reason) in wanted.items():
        for rest in ("info.json", "full/max/0/default.jpg"):
            start = time.monotonic()
            reply = ask(shelf, name, rest)
            assert reply.status == status, (name, rest, reply.status)
            assert time.monotonic() - start < 2
            assert str(shelf.images).encode() not in reply.body

        def logged():
            lines = [line for group in "ab" for line in shelf.log(f"lorikeet-{group}.log").splitlines() if f"/{name}/" in line]
            return len(lines) >= 2 and lines
        assert all(f"reason={reason} " in line for line in wait_for(f"the log of {name}", 5, logged)), name


@pytest.mark.sanitize
def test_a_file_that_is_being_written(shelf):
    """Until it is whole it is damaged, which nobody keeps for longer than a second; then it serves."""
    whole = picture(80, "TIFF", (700, 500))
    path = shelf.images / "growing.tif"
    for part in (0, 7, 1000, len(whole) // 2, len(whole) - 10):
        path.write_bytes(whole[:part])
        time.sleep(1.1)
        reply = ask(shelf, "growing.tif", "full/max/0/default.png")
        assert reply.status in (500, 501), (part, reply.status)
        assert "max-age=1" in reply.header("Cache-Control")
    path.write_bytes(whole)
    time.sleep(1.1)
    assert ask(shelf, "growing.tif", "full/max/0/default.png").picture.size == (700, 500)


@pytest.mark.sanitize
def test_replaced_between_info_and_image(shelf):
    """The image is of the new file, and says so by its ETag; the info follows."""
    path = shelf.images / "replaced.jpg"
    path.write_bytes(picture(250, "JPEG", (800, 600)))
    os.utime(path, (1e9, 1e9))
    old = ask(shelf, "replaced.jpg", "info.json")
    first = ask(shelf, "replaced.jpg", "0,0,256,256/256,/0/default.png")
    other = shelf.images / "other.part"
    other.write_bytes(picture(10, "JPEG", (300, 200)))
    os.replace(other, path)
    tile = ask(shelf, "replaced.jpg", "0,0,128,128/128,/0/default.png")
    assert tile.picture.getpixel((9, 9))[0] < 30 and tile.header("ETag") != first.header("ETag")
    # A region that is not there any more is the request's fault, not the server's.
    assert ask(shelf, "replaced.jpg", "512,512,128,128/128,/0/default.png").status == 400
    time.sleep(2.1)
    ask(shelf, "replaced.jpg", "info.json")  # may still be the old one while it is asked for anew
    wait_for("the new info", 5, lambda: json.loads(ask(shelf, "replaced.jpg", "info.json").body)["width"] == 300)
    assert ask(shelf, "replaced.jpg", "info.json").header("ETag") != old.header("ETag")


@pytest.mark.sanitize
def test_replaced_again_and_again(shelf):
    """Each answer is of the file that is there now, though workers know what it was like."""
    path, part = shelf.images / "often.jpg", shelf.images / "often.part"
    for turn in range(12):
        shade = 20 + 200 * (turn % 2)
        part.write_bytes(picture(shade, "JPEG", (400 + turn, 300)))
        os.replace(part, path)
        time.sleep(.05)
        for n in range(5):
            # Each time another size, which no cache has.
            reply = ask(shelf, "often.jpg", f"full/{100 + 5 * turn + n},/0/default.png")
            assert reply.status == 200, (turn, n, reply.status)
            assert reply.picture.getpixel((5, 5))[0] == pytest.approx(shade, abs=12), (turn, n)


@pytest.mark.sanitize
def test_a_mended_file_is_served_at_once(shelf):
    """What was wrong with its last state is not said of this one."""
    path, part, fallback = shelf.images / "f/mended.tif", shelf.images / "mended.part", shelf.images / "f/mended.jpg"
    path.parent.mkdir()
    fallback.write_bytes(picture(120, "JPEG"))
    for turn, shade in enumerate((20, 220, 20, 220)):
        path.write_bytes(picture(99, "TIFF", compression="tiff_deflate")[:700])
        time.sleep(.05)
        for n in range(5):
            reply = ask(shelf, "f%2Fmended.tif", f"full/{100 + 10 * turn + n},/0/default.png")
            assert reply.status == 200 and reply.header("X-IIIF-Fallback") == "1", (turn, n)
        part.write_bytes(picture(shade, "TIFF"))
        os.replace(part, path)
        time.sleep(.05)
        for n in range(5):
            reply = ask(shelf, "f%2Fmended.tif", f"full/{200 + 10 * turn + n},/0/default.png")
            assert reply.status == 200 and reply.header("X-IIIF-Fallback") is None, (turn, n)
            assert reply.picture.getpixel((5, 5))[0] == pytest.approx(shade, abs=12), (turn, n)


def stripes(shade):
    """An uncompressed TIFF, so that files of equal length differ in pixels only."""
    out = io.BytesIO()
    Image.fromarray(np.full((1600, 1500, 3), shade, np.uint8)).save(out, "TIFF")
    return out.getvalue()


def test_overwritten_in_place(shelf):
    """As rsync --inplace does: an answer is of one state or the other, or 503; never 200 with parts of both."""
    states = {shade: stripes(shade) for shade in (30, 220)}
    path = shelf.images / "inplace.tif"
    path.write_bytes(states[30])
    stop = threading.Event()

    def overwrite():
        with open(path, "r+b", buffering=0) as file:
            shade = 220
            while not stop.is_set():
                for at in range(0, len(states[shade]), 1 << 18):
                    file.seek(at)
                    file.write(states[shade][at:at + (1 << 18)])
                    time.sleep(0.002)
                shade = 250 - shade
                time.sleep(0.5)

    replies = []

    def enough():
        return all(sum(r.status == status for r in replies) > 10 for status in (200, 503))

    def client(i):
        # How often a write is met depends on the machine, so ask until it was, often enough.
        for n in range(300):
            replies.append(ask_alone(shelf, f"full/{1400 - 4 * n - i},/0/default.png"))
            if enough():
                break

    writer = threading.Thread(target=overwrite)
    writer.start()
    try:
        assert in_parallel(4, client) == [None] * 4
    finally:
        stop.set()
        writer.join()
    for reply in replies:
        if reply.status == 200:
            low, high = reply.picture.convert("L").getextrema()
            assert high - low <= 2, f"a mixture: {low} to {high}"
        else:
            assert reply.status == 503 and reply.header("Retry-After"), reply.status
    assert enough(), [r.status for r in replies]
    time.sleep(0.1)
    assert ask(shelf, "inplace.tif", "full/77,/0/default.png").status == 200


def ask_alone(shelf, rest):
    return Client(shelf.port).ask(f"/iiif/3/inplace.tif/{rest}")
