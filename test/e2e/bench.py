# SPDX-License-Identifier: BSD-2-Clause
"""What the end-to-end tests share: changed samples, the scripted responder's stack, crowds and ab."""
import json
import subprocess
import threading

from stack import REPO, Stack, render
from web import Client

# The cache is off where the pool itself is under test.
NO_CACHE = {"fastcgi_cache lorikeet;": "fastcgi_cache off;"}


def sample(folder, changes):
    """A copy of the shipped nginx-sample.conf with some values changed, as a reader of its comments would."""
    path = folder / "changed-sample.conf"
    path.write_text(render((REPO / "nginx-sample.conf").read_text(), changes))
    return path


class Served:
    """Has a stack, which runs meanwhile, and a client of it."""

    def __enter__(self):
        self.stack.start()
        self.client = Client(self.stack.port, self.stack.address, timeout=100)
        return self

    def __exit__(self, *_):
        self.stack.stop()

    def get(self, target, method="GET", **headers):
        return self.client.ask(target, method, **headers)


class Bench(Served):
    """A stack whose workers are the scripted responder, and its book of runs."""

    def __init__(self, folder, responder, workers=4, changes=None):
        folder.mkdir()
        folder.chmod(0o755)
        self.folder = folder
        self.book = folder / "runs"
        self.book.touch()
        self.book.chmod(0o666)
        (folder / "lorikeet.conf").touch()
        self.stack = Stack(folder / "s", responder, folder / "lorikeet.conf", workers=workers,
                           nginx_conf=sample(folder, changes or {}), worker_env={"RESPONDER_LOG": self.book})

    def echo(self, target, **headers):
        """The parameters the worker was given."""
        return json.loads(self.get(target, **headers).body)

    def runs(self, word):
        """The lines of the runs whose URI has that word in it."""
        return [line for line in self.book.read_text().splitlines() if word in line]


class Crowd:
    """Threads that ask while the block lasts: each runs ask(...), of a subclass, with what it was started with, until over
    is set."""

    def __init__(self, of_each):
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.ask, args=args) for args in of_each]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()


def in_parallel(n, call):
    """The results of n calls at once; an exception is a result too."""
    results = [None] * n

    def one(i):
        try:
            results[i] = call(i)
        except Exception as e:
            results[i] = e
    threads = [threading.Thread(target=one, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return results


def is_running(pid):
    """Not waiting for anything."""
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0] == "R"


def ab(url, n=5000, c=16, meanwhile=None):
    """Apache's ab: (complete, failed, not 2xx), while meanwhile(still_running) is called in this thread."""
    process = subprocess.Popen(["ab", "-l", "-q", "-s", "60", "-n", str(n), "-c", str(c), url],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        if meanwhile:
            meanwhile(lambda: process.poll() is None)
        out, _ = process.communicate(timeout=150)
    finally:
        process.kill()
        process.wait()

    def number(name):
        lines = [line for line in out.splitlines() if line.startswith(name)]
        return int(lines[0].split(":")[1]) if lines else 0
    assert "Complete requests" in out, out
    return number("Complete requests"), number("Failed requests"), number("Non-2xx responses")
