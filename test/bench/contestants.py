# SPDX-License-Identifier: BSD-2-Clause
"""Who is measured: servers behind one nginx, and programs.

Each has start(workload), which is None where it cannot do that, else a run of it:

    run.measure(n)   does the workload n times: Figures for one request; the peak is the process's own so far, which in the
                     first Figures is that of this workload alone
    run.answer       the bytes of its last answer, where the workload is a single request
"""
import http.client
import math
import os
import subprocess
import time
from collections import namedtuple
from pathlib import Path

from stack import REPO

PROGRAMS = REPO / "build/release/bench"
# Debian's own allows 256 MiB; whatever is larger would go to disk.
POLICY = "<policymap>" + "".join(f'<policy domain="resource" name="{name}" value="{value}"/>' for name, value in (
    ("memory", "64GiB"), ("area", "1EP"), ("width", "2GP"), ("height", "2GP"), ("map", "0"), ("disk", "0"),
    ("thread", "1"))) + "</policymap>"

Figures = namedtuple("Figures", "cpu_ms wall_ms peak_mb bytes")


class ContestantError(Exception):
    pass


# --- servers ---

def cpu_ns(pid):
    return sum(int(p.read_text().split()[0]) for p in Path(f"/proc/{pid}/task").glob("*/schedstat"))


def is_idle(pid):
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "S"


def settle(pid):
    """An answer is out before the worker has put all away."""
    end = time.monotonic() + 2
    while not is_idle(pid) and time.monotonic() < end:
        time.sleep(0.0005)


def resident_kb(pid, which):
    """VmRSS: now; VmHWM: at most since its start."""
    return next(int(line.split()[1]) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
                if line.startswith(which + ":"))


class Server:
    """pid() is the process whose time counts, renew() has another one in its place. target(workload, ask) gives the path,
    or None."""

    def __init__(self, name, port, pid, renew, target):
        self.name, self.port, self.pid, self.renew, self.target = name, port, pid, renew, target
        self.connection = None

    def get(self, path):
        """(status, body) over one connection."""
        for again in (True, False):
            if not self.connection:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
            try:
                self.connection.request("GET", path)
                reply = self.connection.getresponse()
                return reply.status, reply.read()
            except (http.client.HTTPException, OSError):
                self.connection.close()
                self.connection = None
                if not again:
                    raise
        return None

    def start(self, workload):
        targets = [self.target(workload, ask) for ask in workload.asks or [None]]
        if None in targets:
            return None
        self.renew()
        status, body = self.get(targets[0])
        return ServerRun(self, targets, body) if status == 200 else None


class ServerRun:
    """A run behind nginx."""

    def __init__(self, server, targets, answer):
        self.server, self.targets, self.answer = server, targets, answer

    def measure(self, n):
        try:
            return self.measure_process(n, self.server.pid())
        except (FileNotFoundError, ProcessLookupError):
            raise ContestantError(f"{self.server.name}'s process has ended") from None

    def measure_process(self, n, pid):
        settle(pid)
        cpu, wall, sizes = cpu_ns(pid), time.monotonic(), 0
        for _ in range(n):
            for target in self.targets:
                status, self.answer = self.server.get(target)
                sizes += len(self.answer)
                if status != 200:
                    raise ContestantError(f"{self.server.name} answered {status} to {target}")
        wall = time.monotonic() - wall
        settle(pid)
        requests = n * len(self.targets)
        return Figures((cpu_ns(pid) - cpu) / 1e6 / requests, wall * 1e3 / requests, resident_kb(pid, "VmHWM") / 1024,
                       sizes / requests)


# --- programs ---

class Program:
    """command(workload) gives the words of a warm process (test/bench/loop.h), or None."""

    def __init__(self, name, command, folder, env=None):
        self.name, self.command, self.folder, self.env = name, command, folder, env
        self.processes = []

    def start(self, workload):
        words = self.command(workload)
        if words is None:
            return None
        process = subprocess.Popen(list(map(str, words)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                   env=self.env)
        self.processes.append(process)
        return ProgramRun(self, process, len(workload.asks), workload)

    def end(self):
        for process in self.processes:
            process.stdin.close()
            process.stdout.close()
            process.wait()


class ProgramRun:
    """A run of a process of its own, which stays warm."""

    def __init__(self, program, process, requests, workload):
        self.program, self.process, self.requests, self.workload = program, process, requests, workload
        self.path = Path(program.folder, f"{program.name}-{workload.name}".replace("/", "-"))

    def measure(self, n):
        self.process.stdin.write(f"{n} {self.path}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise ContestantError(f"{self.program.name} ended in {self.workload.name}")
        cpu, wall, peak, size = map(float, line.split())
        return Figures(cpu / self.requests, wall / self.requests, peak / 1024, size)

    @property
    def answer(self):
        return self.path.read_bytes()


def floor_ask(workload, ask):
    """The numbers of an ask as test/bench/floor.c wants them."""
    level = workload.level(ask)
    place = ask.region
    if workload.kind.endswith(".tif"):
        (x, y, w, h), d = place, 2 ** level
        place = (x // d, y // d, -(-(x + w) // d) - x // d, -(-(y + h) // d) - y // d)
    if workload.kind.endswith(".jp2") and level:
        # Reduced samples lie between those of the answer: what Lanczos3 reaches is needed too.
        x, y, w, h = place
        reach = math.ceil(3 * max(ask.step)) + 2 ** level
        left, top = max(0, x - reach), max(0, y - reach)
        place = (left, top, min(workload.master.width, x + w + reach) - left,
                 min(workload.master.height, y + h + reach) - top)
    return " ".join(map(str, (level, *place, *ask.size)))


def floor_command(workload, reader, folder):
    first = workload.ask
    coding = "gray" if first.quality == "gray" else first.format
    numbers = [floor_ask(workload, ask) for ask in workload.asks]
    if not workload.single:
        listed = Path(folder, f"list-{workload.name}".replace("/", "-"))
        listed.write_text("".join(line + "\n" for line in numbers))
        numbers = [f"@{listed}"]
    if reader.endswith(" alone"):
        reader, coding = reader.split()[0], "none"
    return PROGRAMS / "floor", reader, coding, workload.file, numbers[0]


def wand_command(workload):
    if not workload.single:
        return None
    ask, m = workload.ask, workload.master
    coding = "gray" if ask.quality == "gray" else ask.format
    numbers = (workload.level(ask), m.width, m.height, *ask.region, *ask.size, ask.rotation // 90)
    return PROGRAMS / "wand", coding, workload.file, " ".join(map(str, numbers))


def programs(folder):
    """floor: the least that the libraries need. library: as one would first use them (libtiff to RGB and encoded;
    OpenJPEG alone). MagickWand: a server of nothing else."""
    Path(folder, "policy.xml").write_text(POLICY)
    return [Program("floor", lambda w: floor_command(w, w.readers[0], folder) if w.readers else None, folder),
            Program("library", lambda w: floor_command(w, w.readers[1], folder) if w.readers[1:] else None, folder),
            Program("MagickWand", wand_command, folder, {**os.environ, "MAGICK_CONFIGURE_PATH": str(folder)})]
