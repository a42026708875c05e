# SPDX-License-Identifier: BSD-2-Clause
"""Headless Chromium, driven by playwright-core in node (browser.js).

    with Browser() as browser:
        page = browser.open(1440, 900)
        page.go(url)
        page.wait("document.images.length > 3")
"""
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

import npm

HERE = Path(__file__).resolve().parent
SHOTS = HERE.parent.parent / "build/test-screenshots"
PATIENCE = 180


class BrowserError(Exception):
    pass


class Browser:
    """It ends with this process, whatever happens: node is told by its standard input and by the kernel."""

    def __init__(self, *flags):
        self.flags = flags                  # for Chromium

    def __enter__(self):
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.home = tempfile.mkdtemp(prefix="lorikeet-browser-")
        self.words = open(Path(self.home) / "stderr", "w+b")
        self.node = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "node", HERE / "browser.js", npm.folder("playwright-core"),
             shutil.which("chromium") or "/usr/bin/chromium", *self.flags],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.words, start_new_session=True,
            env={**os.environ, "HOME": self.home, "TMPDIR": self.home})
        return self

    def __exit__(self, *_):
        try:
            self.node.stdin.close()
            self.node.wait(20)
        except (subprocess.TimeoutExpired, OSError):
            pass
        finally:
            if self.node.poll() is None:
                os.killpg(self.node.pid, signal.SIGKILL)
                self.node.wait()
            self.node.stdout.close()
            self.words.close()
            shutil.rmtree(self.home, ignore_errors=True)

    def ask(self, **words):
        try:
            self.node.stdin.write(json.dumps(words).encode() + b"\n")
            self.node.stdin.flush()
        except OSError:
            raise BrowserError(f"the browser ended: {self.last_words()}") from None
        ready, _, _ = select.select([self.node.stdout], [], [], PATIENCE)
        line = self.node.stdout.readline() if ready else b""
        if not line:
            raise BrowserError(f"no answer to {words}: {self.last_words()}")
        answer = json.loads(line)
        if "error" in answer:
            raise BrowserError(f"{words}: {answer['error']}")
        return answer["result"]

    def last_words(self):
        self.words.seek(0)
        return self.words.read().decode(errors="replace")[-3000:]

    def open(self, width=1440, height=900, **words):
        return Page(self, self.ask(command="open", width=width, height=height, **words))


class Page:
    def __init__(self, browser, number):
        self.browser, self.number = browser, number

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ask("close")

    def ask(self, command, **words):
        return self.browser.ask(command=command, page=self.number, **words)

    def go(self, url):
        return self.ask("go", url=url)

    def js(self, text):
        return self.ask("evaluate", js=text)

    def wait(self, text, seconds=60):
        """The expression's value as soon as it is true. (playwright's own waiting needs eval, which a policy may forbid.)"""
        end = time.monotonic() + seconds
        while not (value := self.js(text)):
            if time.monotonic() > end:
                raise BrowserError(f"{text}: not in {seconds} s; {self.book()['errors']}")
            time.sleep(0.1)
        return value

    def click(self, selector):
        self.ask("click", selector=selector)

    def fill(self, selector, text):
        self.ask("fill", selector=selector, text=text)

    def choose(self, selector, value):
        self.ask("choose", selector=selector, value=value)

    def press(self, *keys):
        for key in keys:
            self.ask("press", key=key)

    def wheel(self, x, y, by):
        self.ask("wheel", x=x, y=y, by=by)

    def book(self):
        return self.ask("book")

    def answers(self, word):
        """Status and address of every answer whose address has the word in it."""
        return [(status, url) for status, url in self.book()["answers"] if word in url]

    def shot(self, name, whole=False):
        """A screenshot, kept under this name, as an array of pixels."""
        path = SHOTS / f"{name}.png"
        self.ask("shot", path=str(path), whole=whole)
        return np.asarray(Image.open(path).convert("RGB")).astype(int)

    def settle(self, seconds=60, quiet=0.5):
        """Until nothing has been asked for during some time, and nothing is under way."""
        end, before, since = time.monotonic() + seconds, None, time.monotonic()
        while time.monotonic() < end:
            book = self.book()
            now = (len(book["answers"]), book["pending"])
            if now != before:
                before, since = now, time.monotonic()
            elif not book["pending"] and time.monotonic() - since > quiet:
                return
            time.sleep(0.1)
        raise BrowserError(f"not quiet after {seconds} s: {before}")
