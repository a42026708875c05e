# SPDX-License-Identifier: BSD-2-Clause
"""What scripts/loadtest asks for (thumbnails, zoom sessions, whole images) and by what: ab, wrk, or a replay of recorded
sessions. All times are in milliseconds.
"""
import asyncio
import itertools
import json
import math
import random
import re
import subprocess
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

HERE = Path(__file__).resolve().parent
SESSIONS = HERE / "sessions.jsonl"
COLD = "X-Lorikeet-No-Cache:1"        # has answers made anew, for addresses that nginx-sample.conf lets
AB_PROCESSES = 8
CONNECTIONS = 6                       # that a browser has to one host


class LoadError(Exception):
    pass


@dataclass
class Image:
    path: str                         # below the base, with a slash at its end
    width: int
    height: int
    tile: int
    factors: list


@dataclass
class Outcome:
    requests: int
    seconds: float
    bytes: int
    errors: int
    p50: float
    p90: float
    p99: float
    longest: float
    sessions: int = 0

    @property
    def rate(self):
        return self.requests / self.seconds if self.seconds else 0


# --- what is asked for ---

def images(base, identifiers, timeout=60):
    """What info.json says of each; those without one are left out, but for all of them."""
    def one(identifier):
        path = f"/iiif/3/{quote(identifier, safe='')}/"
        try:
            with urllib.request.urlopen(base + path + "info.json", timeout=timeout) as reply:
                info = json.load(reply)
            tiles = info["tiles"][0]
            return Image(path, info["width"], info["height"], tiles["width"], tiles["scaleFactors"])
        except (OSError, ValueError, KeyError, IndexError, TypeError):
            return None
    with ThreadPoolExecutor(4) as pool:
        found = [image for image in pool.map(one, identifiers) if image]
    if not found:
        raise LoadError(f"{base} has an info.json of none of the {len(identifiers)} identifiers")
    return found


def sessions(path=SESSIONS):
    """A list of (the picture's sides and tile, [(delay_ms, what is asked of it)])."""
    read = []
    for line in path.read_text().splitlines():
        words = json.loads(line)
        if "ask" in words:
            read[-1][1].append((words["delay_ms"], words["ask"]))
        else:
            read.append((words, []))
    return read


def fitted(asked, seen, image):
    """What a viewer asks of this image where in the recorded session it asked that: the tile at the same place, as far
    from the whole image in steps of two. Of an image of the same size it is the same."""
    same = (seen["width"], seen["height"], seen["tile"]) == (image.width, image.height, image.tile)
    tile = re.fullmatch(r"(?:full|(\d+),(\d+),(\d+),(\d+))/(\d+),(\d*)/0/default\.jpg", asked)
    if same or not tile:
        return asked
    x, y, w, h, out_w, out_h = (int(n) if n else 0 for n in tile.groups())
    w, h = w or seen["width"], h or seen["height"]
    # By the longer side, as the other may be a few pixels.
    factor = w / out_w if w >= h or not out_h else h / out_h
    factor *= max(image.width, image.height) / max(seen["width"], seen["height"])
    factor = min(image.factors, key=lambda f: abs(math.log2(f / factor)))
    side = image.tile * factor
    left, top = (int((at + size / 2) / whole * own) // side * side
                 for at, size, whole, own in ((x, w, seen["width"], image.width), (y, h, seen["height"], image.height)))
    width, height = min(side, image.width - left), min(side, image.height - top)
    region = "full" if (width, height) == (image.width, image.height) else f"{left},{top},{width},{height}"
    return f"{region}/{-(-width // factor)},{-(-height // factor)}/0/default.jpg"


def played(session, image):
    """(delay_ms, path) of a session on this image. What a browser has it does not ask for again."""
    seen, asked = session
    had, waited = set(), 0
    for delay, what in asked:
        path, waited = image.path + fitted(what, seen, image), waited + delay
        if path not in had:
            had.add(path)
            yield waited, path
            waited = 0


def paths(what, found, recorded, most, dice):
    """So many of a set, mixed."""
    if what == "thumbnails":
        asked = [image.path + "full/!200,200/0/default.jpg" for image in found]
    elif what == "full":
        asked = [image.path + "full/max/0/default.jpg" for image in found]
    else:
        asked = [path for image in found for _, path in played(dice.choice(recorded), image)]
    dice.shuffle(asked)
    return asked[:most]


def warm(base, asked):
    """Each is asked for once, so that it is in the caches."""
    def one(path):
        try:
            with urllib.request.urlopen(base + path, timeout=120) as reply:
                reply.read()
        except urllib.error.HTTPError:
            pass                      # counted when it is measured
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, asked))


# --- by what ---

def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise LoadError(f"{command[0]}: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout


def percentiles(weighted):
    """50, 90, 99 and the longest of (value, weight)."""
    weighted = sorted(weighted)
    total, found = sum(weight for _, weight in weighted), []
    for part in (.5, .9, .99):
        sums = itertools.accumulate(weight for _, weight in weighted)
        found.append(next((v for (v, _), s in zip(weighted, sums) if s >= part * total * (1 - 1e-9)), 0))
    return [*found, weighted[-1][0] if weighted else 0]


def ab(base, asked, clients, seconds, cold, folder):
    """It knows one address only, so some run at once, with an address each."""
    asked = asked[:min(AB_PROCESSES, clients)]
    header = ["-H", COLD] if cold else []

    def one(number):
        # -t before -n, which it sets, too.
        mine = clients // len(asked) + (number < clients % len(asked))
        return run(["ab", "-q", "-r", "-l", "-k", "-s", "120", "-t", str(seconds), "-n", "200000", "-c", str(mine), *header,
                    "-e", str(folder / f"{number}.csv"), base + asked[number]])
    with ThreadPoolExecutor(len(asked)) as pool:
        texts = list(pool.map(one, range(len(asked))))

    def number(text, name):
        found = re.search(rf"^{name}:\s+([\d.]+)", text, re.M)
        return float(found[1]) if found else 0
    complete = [number(text, "Complete requests") for text in texts]
    weighted = []
    for i, count in enumerate(complete):
        lines = (folder / f"{i}.csv").read_text().splitlines()[1:] if count else []
        weighted += [(float(line.split(",")[1]), count / len(lines)) for line in lines]
    longest = max(float(found[1]) for text in texts for found in re.finditer(r"^ +100% +(\d+)", text, re.M)) if weighted else 0
    p50, p90, p99, almost = percentiles(weighted)
    return Outcome(round(sum(complete)), max(number(text, "Time taken for tests") for text in texts),
                   round(sum(number(text, "Total transferred") for text in texts)),
                   round(sum(number(text, "Failed requests") + number(text, "Non-2xx responses") for text in texts)),
                   p50, p90, p99, max(longest, almost))


def wrk(base, asked, clients, seconds, cold, folder):
    (folder / "paths").write_text("\n".join(asked))
    text = run(["wrk", "-t", str(min(2, clients)), "-c", str(clients), "-d", f"{seconds}s", "--timeout", "120s",
                "-s", str(HERE / "loadtest.lua"), base, "--", str(folder / "paths"), COLD if cold else ""])
    said = [int(word) for word in re.search(r"^loadtest (.*)", text, re.M)[1].split()]
    requests, microseconds, size, errors, *times = said
    return Outcome(requests, microseconds / 1e6, size, errors, *(t / 1000 for t in times))


# --- the replay ---

class Connections:
    """A browser's: a few, kept open."""

    def __init__(self, base):
        parts = urlsplit(base)
        self.host, self.tls, self.name = parts.hostname, parts.scheme == "https", parts.netloc
        self.port = parts.port or (443 if self.tls else 80)
        self.free, self.turn = [], asyncio.Semaphore(CONNECTIONS)

    async def ask(self, path):
        """Status and bytes."""
        async with self.turn:
            reader, writer = self.free.pop() if self.free else await self.connect()
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {self.name}\r\n\r\n".encode())
                answer = await self.answer(reader)
            except BaseException:
                writer.close()
                raise
            self.free.append((reader, writer))
            return answer

    async def connect(self):
        return await asyncio.open_connection(self.host, self.port, ssl=self.tls or None)

    @staticmethod
    async def answer(reader):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        if length := re.search(r"\ncontent-length: *(\d+)", head):
            body = len(await reader.readexactly(int(length[1])))
        else:
            body, size = 0, 1
            while size:
                size = int(await reader.readline(), 16)
                body += len(await reader.readexactly(size + 2)) - 2
        return int(head.split()[1]), body

    def close(self):
        for _, writer in self.free:
            writer.close()


class Replay:
    def __init__(self, base, found, recorded, seed):
        self.base, self.found, self.recorded, self.dice = base, found, recorded, random.Random(seed)
        # Few are looked at often, and many now and then.
        self.weights = list(itertools.accumulate(1 / (i + 3) for i in range(len(found))))
        self.times, self.errors, self.bytes, self.sessions, self.late = [], 0, 0, 0, 0

    async def one(self, connections, path):
        begun = time.monotonic()
        try:
            status, size = await connections.ask(path)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):
            status, size = 0, 0
        self.times.append((time.monotonic() - begun) * 1000)
        self.errors += status != 200
        self.bytes += size

    async def client(self, end):
        """One person after the other, each with a browser of an empty cache."""
        while (now := time.monotonic()) < end:
            connections, due, asked = Connections(self.base), now, []
            [image] = self.dice.choices(self.found, cum_weights=self.weights)
            for delay, path in played(self.dice.choice(self.recorded), image):
                due += delay / 1000
                if due > end:
                    break
                await asyncio.sleep(max(0, due - time.monotonic()))
                self.late = max(self.late, time.monotonic() - due)
                asked.append(asyncio.create_task(self.one(connections, path)))
            await asyncio.gather(*asked)
            connections.close()
            if due > end:
                return
            self.sessions += 1

    async def play(self, clients, seconds):
        begun = time.monotonic()
        end = begun + seconds

        async def joins(after):
            await asyncio.sleep(after)
            await self.client(end)
        # They do not all come at the same moment.
        await asyncio.gather(*(joins(self.dice.random() * min(5, seconds / 4)) for _ in range(clients)))
        return Outcome(len(self.times), time.monotonic() - begun, self.bytes, self.errors,
                       *percentiles([(t, 1) for t in self.times]), self.sessions)


def replay(base, found, recorded, clients, seconds, seed):
    """The outcome, and by how many ms a request was begun too late, which says whether this program keeps up."""
    played = Replay(base, found, recorded, seed)
    return asyncio.run(played.play(clients, seconds)), played.late * 1000
