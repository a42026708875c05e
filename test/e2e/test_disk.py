# SPDX-License-Identifier: BSD-2-Clause
"""The disk of the cache in trouble, while requests for known and for new originals go on."""
import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import threading
import time

import pytest
from bench import Crowd
from origin import Origin
from shop import Shop, rule
from stack import wait_for
from test_origins import target
from web import Client

CLIENTS = 3
KNOWN = 5
SIZE = "full/40,/0/default.jpg"

pytestmark = pytest.mark.mounts


class Volume:
    """A small disk, which can be full, read-only and gone."""

    def __init__(self, path):
        self.path = path

    def mount(self):
        self.path.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "none", self.path], check=True)

    def unmount(self):
        subprocess.run(["umount", "--lazy", self.path], check=True)

    def remount(self, how):
        return subprocess.run(["mount", "-o", f"remount,{how}", self.path], capture_output=True).returncode == 0

    def fill(self):
        """To the last byte."""
        with open(self.path / "ballast", "ab", buffering=0) as f, contextlib.suppress(OSError):
            while f.write(bytes(4096)):
                pass

    def newest(self):
        """When the last of the originals on it came."""
        times = [0]
        for path in self.path.glob("files-1/*/*"):
            with contextlib.suppress(FileNotFoundError):
                times.append(path.stat().st_mtime)
        return max(times)


@pytest.fixture(scope="module")
def shop(scratch, binary, images):
    """Every identifier is an original of its own, of the same bytes. nginx keeps no answers, so that each request counts."""
    with Origin(images) as origin:
        rules = [rule("d/", url=origin.url("/O.jpg") + "?n={id}", revalidate_after=3600)]
        made = Shop(scratch / "disk", binary, rules, make_cache=False, changes={"fastcgi_cache lorikeet;": "fastcgi_cache off;"},
                    fetchers=4, env={"LORIKEET_CACHE_MAX_WAITING": 40})
        made.volume = Volume(made.cache)
        made.volume.mount()
        try:
            made.make_cache()
            with made:
                yield made
        finally:
            made.volume.unmount()


class Load(Crowd):
    """Clients that ask without a pause, and what they did not get, with the time when they asked."""

    def __init__(self, shop):
        super().__init__([()] * CLIENTS)
        self.port, self.wanted = shop.stack.port, shop.get(target("d/known-0", SIZE)).body
        self.faults, self.asked, self.new = [], 0, itertools.count()

    def ask(self):
        client = Client(self.port)
        for n in itertools.count():
            if self.over.is_set():
                return
            name = f"known-{n % KNOWN}" if n % 2 else f"new-{time.monotonic_ns()}-{next(self.new)}"
            began = time.monotonic()
            try:
                reply = client.ask(target("d/" + name, SIZE))
                fault = None if (reply.status, reply.body) == (200, self.wanted) else (name, reply.status, reply.body[:80])
            except OSError as e:
                fault = (name, repr(e))
            self.asked += 1
            if fault:
                self.faults.append((began, *fault))


def ride_through(shop, begin, end, seconds=3):
    """No request fails that is made a second after the trouble began, or while it ends, and all is well afterwards."""
    with Load(shop) as load:
        time.sleep(1)
        begin()
        began = time.monotonic()
        before = shop.metric("cache_unusable_total")
        time.sleep(seconds)
        elsewhere = shop.metric("cache_unusable_total") - before
        ended = time.time()
        end()
        wait_for("a new original on the volume", 15, lambda: shop.volume.newest() > ended + 0.5)
        wait_for("the index", 5, lambda: shop.metric("cache_usable") == 1 and shop.metric("cache_originals") > 0)
        time.sleep(0.5)
    late = [fault for fault in load.faults if fault[0] > began + 1]
    assert not late, (len(late), late[:5], shop.words())
    assert load.asked > 100
    verified = shop.run("cache", "verify", "--json").stdout
    assert '"damaged":0' in verified.replace("\t", "").replace(" ", ""), verified
    return elsewhere


def test_a_disk_filled_by_others(shop):
    stop = threading.Event()

    def fill():
        while not stop.wait(0.01):
            shop.volume.fill()
    filler = threading.Thread(target=fill)

    def clear():
        stop.set()
        filler.join()
        (shop.cache / "ballast").unlink()
    assert ride_through(shop, filler.start, clear) > 0


def test_a_disk_that_turns_read_only(shop):
    """The kernel lets nobody have it while somebody writes there, so all processes die with it, as in a crash."""
    def protect():
        for _ in range(100):
            for group in shop.stack.ALL_GROUPS:
                for pid in shop.stack.worker_pids(group):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            if shop.volume.remount("ro"):
                return
        pytest.fail("somebody always writes there")
    assert ride_through(shop, protect, lambda: shop.volume.remount("rw")) > 0


def test_a_folder_that_is_emptied(shop):
    def is_empty():
        """What is written meanwhile goes as well; without its marker nothing more is."""
        for path in shop.cache.iterdir():
            with contextlib.suppress(OSError):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        return not any(shop.cache.iterdir())

    def empty():
        wait_for("an empty folder", 2, is_empty)
    assert ride_through(shop, empty, shop.make_cache) > 0


def test_an_index_of_garbage(shop):
    def spoil():
        # In place: what a truncation frees others take at once, and the volume is full.
        for path in shop.cache.glob("index-*"):
            with open(path, "r+b") as index:
                index.write(os.urandom(min(40000, path.stat().st_size)))
    ride_through(shop, spoil, spoil)
    assert "a new one is made" in "".join(shop.stack.log(f"lorikeet-{g}.log") for g in shop.stack.ALL_GROUPS)


def test_a_volume_that_goes_and_comes_back_empty(shop):
    def come_back():
        shop.volume.mount()
        shop.make_cache()
    assert ride_through(shop, shop.volume.unmount, come_back) > 0
