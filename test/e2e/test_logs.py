# SPDX-License-Identifier: BSD-2-Clause
"""The logs in trouble: their disk is full, or who reads them sleeps. Requests notice nothing."""
import contextlib
import os
import signal
import subprocess
import threading
import time

import pytest
from bench import NO_CACHE
from PIL import Image
from shop import Shop, rule
from stack import wait_for
from web import Client

RATE, SECONDS, CLIENTS = 200, 60, 8
PICTURE = "/iiif/3/a.png/full/max/0/default.jpg"

pytestmark = pytest.mark.mounts


@pytest.fixture(scope="module")
def shop(scratch, binary):
    images = scratch / "logs-images"
    images.mkdir()
    Image.new("RGB", (64, 48), "red").save(images / "a.png")
    made = Shop(scratch / "logs", binary, [rule("", "file", root=str(images))], changes=NO_CACHE)
    volume = made.stack.folder / "log"
    volume.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", volume], check=True)
    try:
        with made:
            yield made
    finally:
        subprocess.run(["umount", "--lazy", volume], check=True)


class Load:
    """Requests at an even rate: what was not answered well, and the longest wait in seconds."""
    def __init__(self, port, seconds):
        self.port, self.end = port, time.monotonic() + seconds
        self.bad, self.good, self.slowest = [], 0, 0
        self.lock = threading.Lock()

    def client(self, i):
        client, due = Client(self.port, timeout=30), time.monotonic() + i / RATE
        while due < self.end:
            time.sleep(max(0, due - time.monotonic()))
            begun = time.monotonic()
            try:
                status = client.ask(PICTURE).status
            except OSError as e:
                status = repr(e)
            with self.lock:
                self.slowest = max(self.slowest, time.monotonic() - begun)
                self.good += status == 200
                if status != 200:
                    self.bad.append(status)
            due += CLIENTS / RATE

    def run(self):
        threads = [threading.Thread(target=self.client, args=(i,)) for i in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self


def fill(folder):
    with open(folder / "ballast", "ab", buffering=0) as f, contextlib.suppress(OSError):
        while f.write(bytes(4096)):
            pass


def test_a_full_disk(shop):
    fill(shop.stack.folder / "log")
    size = (shop.stack.folder / "log/lorikeet-a.log").stat().st_size
    try:
        load = Load(shop.stack.port, 10).run()
        fill(shop.stack.folder / "log")
    finally:
        (shop.stack.folder / "log/ballast").unlink()
    assert not load.bad and load.good > RATE * 10 * .9
    assert (shop.stack.folder / "log/lorikeet-a.log").stat().st_size < size + 100_000
    # And when there is room again, it goes on.
    wait_for("a new line", 10, lambda: shop.get(PICTURE + "?again").status == 200 and
             (shop.stack.folder / "log/lorikeet-a.log").stat().st_size > size + 200)


def test_a_sleeping_supervisord(shop):
    before = shop.metric("log_lines_dropped_total")
    os.kill(shop.stack.supervisord.pid, signal.SIGSTOP)
    try:
        load = Load(shop.stack.port, SECONDS).run()
    finally:
        os.kill(shop.stack.supervisord.pid, signal.SIGCONT)
    assert not load.bad and load.good > RATE * SECONDS * .9
    # Two pipes of 64 KiB hold a few hundred lines; the rest was dropped, which is counted and said.
    dropped = shop.metric("log_lines_dropped_total") - before
    assert dropped > RATE * SECONDS / 2
    wait_for("the word of it", 10, lambda: shop.get(PICTURE).status == 200 and "dropped=" in
             shop.stack.log("lorikeet-a.log") + shop.stack.log("lorikeet-b.log"))
