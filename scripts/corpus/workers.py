# SPDX-License-Identifier: BSD-2-Clause
"""Processes that check an image each at a time. One that crashes in a decoder, runs out of memory or takes too long is that
image's failure: it is replaced, and nothing else is lost. What comes back is JSON, not objects."""
import ctypes
import json
import multiprocessing
import os
import resource
import shutil
import signal
import tempfile
import time
from multiprocessing.connection import wait

from .check import Checker, plain
from .s3 import Expired

PR_SET_PDEATHSIG = 1
TICK_S = 0.5
REQUESTS = 12                # at most, for an image: both versions of each answer; each may be tried twice
ORIGINAL_S = 300
BYTES_A_PIXEL = 16


def bound(settings):
    """Its memory, and the files of its tools."""
    most = (1 << 30) + settings.max_pixels * BYTES_A_PIXEL + settings.max_bytes * 2
    for limit in (resource.RLIMIT_DATA, resource.RLIMIT_FSIZE):
        resource.setrlimit(limit, (most, most))


def serve(pipe, others, folder, settings):
    """In the process: until the pipe closes, which no other process may hold open."""
    for other in others:
        other.close()
    # Not to go on alone if the parent is killed.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # libtiff has its say of originals there, with what they contain.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    bound(settings)
    tempfile.tempdir = folder
    checker = Checker(settings)
    while True:
        try:
            number, identifier = pipe.recv()
        except (EOFError, ConnectionError):
            return
        try:
            found = checker.check(number, identifier)
        except Expired as e:
            found = {"stop": str(e)}
        except Exception as e:
            found = failed(identifier, f"{type(e).__name__}: {e}")
        try:
            pipe.send_bytes(json.dumps({"n": number, **found}, separators=(",", ":")).encode())
        except BrokenPipeError:
            return


def failed(identifier, reason):
    return {"id": identifier, "faults": 1, "changes": 0, "asked": [{"kind": "image", "reason": plain(reason)}]}


def temporary(settings):
    return settings.out / "temporary"


class Hand:
    def __init__(self, settings, others):
        self.pipe, far = multiprocessing.Pipe()
        # Outlives the process, to be removed if that is killed.
        self.folder = tempfile.mkdtemp(dir=temporary(settings))
        words = far, [*others, self.pipe], self.folder, settings
        self.process = multiprocessing.get_context("fork").Process(target=serve, args=words, daemon=True)
        self.process.start()
        far.close()
        self.job, self.since = None, 0

    def give(self, job):
        self.job, self.since = job, time.monotonic()
        self.pipe.send(job)

    def end(self):
        self.pipe.close()
        if self.process.is_alive():
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.join()
        shutil.rmtree(self.folder, ignore_errors=True)


class Workers:
    """A with block; results() yields (number, outcome), and None now and then for whoever shows progress; it
    raises Expired if that is what a process met. closed: files that
    processes are not to keep open, as one that is locked."""

    def __init__(self, settings, closed=()):
        self.settings, self.closed, self.hands = settings, closed, []
        self.most_s = settings.image_timeout or REQUESTS * 2 * settings.timeout + ORIGINAL_S

    def __enter__(self):
        shutil.rmtree(temporary(self.settings), ignore_errors=True)
        temporary(self.settings).mkdir()
        return self

    def __exit__(self, *_):
        for hand in self.hands:
            hand.end()
        shutil.rmtree(temporary(self.settings), ignore_errors=True)

    def add(self):
        self.hands.append(Hand(self.settings, [*self.closed, *(h.pipe for h in self.hands)]))
        return self.hands[-1]

    def results(self, jobs):
        jobs = iter(jobs)
        for job in jobs:
            self.add().give(job)
            if len(self.hands) >= self.settings.parallel:
                break
        while busy := [h for h in self.hands if h.job]:
            ready = wait([h.pipe for h in busy], TICK_S)
            for hand in busy:
                outcome = self.outcome(hand, hand.pipe in ready)
                if not outcome:
                    continue
                yield outcome
                hand = hand if hand in self.hands else self.add()
                hand.job = None
                if job := next(jobs, None):
                    hand.give(job)
            yield None

    def outcome(self, hand, is_ready):
        """A failure too if its process is gone or takes too long."""
        number, identifier = hand.job
        try:
            if is_ready:
                found = json.loads(hand.pipe.recv_bytes())
                if "stop" in found:
                    raise Expired(found["stop"])
                return number, found
            if time.monotonic() - hand.since < self.most_s:
                return None
            reason = f"the whole image took longer than {self.most_s:g} s"
        except (EOFError, ConnectionError):
            hand.process.join()
            code = hand.process.exitcode
            reason = f"the process that checked it ended: {signal.Signals(-code).name if code < 0 else f'status {code}'}"
        self.hands.remove(hand)
        hand.end()
        return number, {"n": number, **failed(identifier, reason)}
