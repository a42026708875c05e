# SPDX-License-Identifier: BSD-2-Clause
"""Originals that take too long or end workers, in a local folder without a cache."""
import os
import signal
import threading
import time

import numpy as np
import pytest
from PIL import Image, ImageFile
from libconfig import setting
from stack import Stack, wait_for
from web import Client


ImageFile.MAXBLOCK = 1 << 28  # Pillow wants a progressive JPEG in one piece


def noise(w, h):
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (h, w, 3), np.uint8))


class Folder:
    """A stack over one folder; limits are those of the configuration."""

    def __init__(self, scratch, binary, name, workers=1, **limits):
        self.folder = scratch / f"decode-{name}"
        self.images = self.folder / "images"
        self.images.mkdir(parents=True)
        limits = {"max_request_memory": 2 * 10 ** 9, **limits}
        text = "limits: { " + " ".join(f"{k} = {setting(v)};" for k, v in limits.items()) + " };\n"
        (self.folder / "c.conf").write_text(
            text + f'rules = ( {{ prefix = ""; root = "{self.images}"; revalidate_after = 1; }} );\n')
        self.stack = Stack(self.folder / "s", binary, self.folder / "c.conf", workers=workers)

    def __enter__(self):
        self.stack.start()
        self.client = Client(self.stack.port, timeout=100)
        return self

    def __exit__(self, *_):
        self.stack.stop()

    def get(self, name, rest):
        return self.client.ask(f"/iiif/3/{name}/{rest}")

    def log(self):
        return self.stack.log("lorikeet-a.log") + self.stack.log("lorikeet-b.log")


def is_running(pid):
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0] == "R"


def decode_in(f, name):
    """Asks for it in the background; (the worker that has begun to decode it, replies, the thread to join)."""
    replies = []
    client = threading.Thread(target=lambda: replies.append(Client(f.stack.port).ask(f"/iiif/3/{name}/full/300,/0/default.jpg")))
    client.start()
    pid = wait_for("a worker that decodes", 10, lambda: next(filter(is_running, f.stack.worker_pids()), None))
    time.sleep(0.05)
    return pid, replies, client


def slow_jpeg(path):
    noise(7000, 6000).save(path, quality=85, subsampling="4:4:4", progressive=True)


@pytest.mark.release_only
def test_a_file_that_ends_workers_is_refused(scratch, binary):
    """Once: nginx's second try is answered with 500 at once, and so is everybody, until the file is another."""
    with Folder(scratch, binary, "deadly-local") as f:
        slow_jpeg(f.images / "slow.jpg")
        pid, replies, client = decode_in(f, "slow.jpg")
        others = set(f.stack.worker_pids()) - {pid}
        os.kill(pid, signal.SIGSEGV)
        client.join()
        assert replies[0].status == 500, replies[0].status
        wait_for("both workers", 10, lambda: len(f.stack.worker_pids()) == 2 and pid not in f.stack.worker_pids())
        before = set(f.stack.worker_pids())
        assert others < before, "who refused it died of that"
        for rest in ("full/200,/0/default.jpg", "info.json", "full/100,/0/default.png"):
            start = time.monotonic()
            assert f.get("slow.jpg", rest).status == 500
            assert time.monotonic() - start < 1
        assert set(f.stack.worker_pids()) == before
        noise(60, 50).save(f.images / "slow.jpg")
        time.sleep(1.2)
        assert f.get("slow.jpg", "full/40,/0/default.jpg").status == 200


@pytest.mark.sanitize
def test_what_takes_too_long_is_503(scratch, binary):
    with Folder(scratch, binary, "slow", max_decode_ms=100) as f:
        noise(8000, 4000).save(f.images / "slow.png", compress_level=0)
        noise(60, 50).save(f.images / "quick.png")
        before = set(f.stack.worker_pids())
        reply = f.get("slow.png", "full/300,/0/default.jpg")
        assert (reply.status, reply.header("Retry-After") is not None) == (503, True), reply.body
        assert str(f.images).encode() not in reply.body
        wait_for("the log", 5, lambda: "reason=slow" in f.log())
        assert f.get("slow.png", "info.json").status == 200
        assert f.get("quick.png", "full/max/0/default.jpg").status == 200
        assert set(f.stack.worker_pids()) == before


@pytest.mark.release_only
def test_what_never_asks_ends_with_its_worker(scratch, binary):
    """As a library that does not come back would: the worker is stopped until the timer has rung."""
    with Folder(scratch, binary, "endless", max_decode_ms=1500) as f:
        slow_jpeg(f.images / "slow.jpg")
        pid, replies, client = decode_in(f, "slow.jpg")
        others = set(f.stack.worker_pids()) - {pid}
        os.kill(pid, signal.SIGSTOP)
        time.sleep(3.1)
        os.kill(pid, signal.SIGCONT)
        client.join()
        assert replies[0].status == 500
        assert "a decoding took twice the 1500 ms of max_decode_ms, its process ends: slow.jpg" in f.log()
        wait_for("both workers", 10, lambda: len(f.stack.worker_pids()) == 2 and pid not in f.stack.worker_pids())
        before = set(f.stack.worker_pids())
        assert others < before, "who refused it died of that"
        assert f.get("slow.jpg", "full/200,/0/default.jpg").status == 500
        assert set(f.stack.worker_pids()) == before
