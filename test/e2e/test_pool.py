# SPDX-License-Identifier: BSD-2-Clause
"""The pool as supervisor.conf runs it, with the real worker: no request is lost. nginx keeps nothing here."""
import asyncio
import os
import random
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from bench import NO_CACHE, Bench, ab, in_parallel, sample
from PIL import Image
from stack import Stack, alive, ask_socket, wait_for

ALL_GOOD = (5000, 0, 0)
URIS = ["full/!200,200/0/default.jpg", "0,0,256,256/256,256/0/default.jpg", "100,50,400,300/!100,100/0/gray.jpg",
        "square/max/!0/default.jpg", "full/90,/90/default.png"]


def write_images(root, size=(1600, 1200)):
    root.mkdir()
    noise = random.Random(3).randbytes(40 * 30 * 3)
    picture = Image.frombytes("RGB", (40, 30), noise).resize(size)
    picture.save(root / "flat.jpg", quality=90)
    return root


def real_stack(folder, binary, workers=2, changes=NO_CACHE, env=None):
    write_images(folder / "images")
    config = folder / "lorikeet.conf"
    config.write_text(f'rules = ( {{ prefix = ""; type = "file"; root = "{folder}/images"; }} );\n')
    return Stack(folder / "s", binary, config, workers=workers, nginx_conf=sample(folder, changes), worker_env=env)


@pytest.fixture(scope="module")
def young(scratch, binary):
    """A pool whose workers retire after 20 requests, once they are a minute old."""
    folder = scratch / "young"
    folder.mkdir()
    with real_stack(folder, binary, workers=1, env={"LORIKEET_SERVER_REQUESTS_PER_WORKER": "20"}) as stack:
        stack.born, stack.first = time.monotonic(), stack.worker_pids()
        yield stack


@pytest.fixture(scope="module")
def pool(scratch, binary):
    folder = scratch / "pool"
    folder.mkdir()
    with real_stack(folder, binary) as stack:
        yield stack


def tile(stack):
    return f"{stack.url}/iiif/3/flat.jpg/{URIS[1]}"


def test_workers_younger_than_a_minute_stay(young):
    assert ab(tile(young), 300, 4) == (300, 0, 0)
    assert young.worker_pids() == young.first


def test_workers_run_as_their_own_user(pool):
    pids = pool.worker_pids()
    assert len(pids) == 4
    if pool.root:
        assert {os.stat(f"/proc/{pid}").st_uid for pid in pids} != {0}
    mode = pool.socket("a").stat()
    assert mode.st_mode & 0o777 == 0o660


def test_each_group_keeps_to_its_part(pool):
    uri = f"/iiif/3/flat.jpg/{URIS[1]}"
    asked = [("a", ""), ("a", "pool-1"), ("a", "fetch-1"), ("fetch-a", "fetch-1"), ("fetch-a", ""), ("fetch-a", "pool-1")]
    answers = [ask_socket(pool.socket(group), uri, LORIKEET_STEP=step) for group, step in asked]
    statuses = [answer.split(b"\r\n")[0].removeprefix(b"Status: ")[:3] for answer in answers]
    assert statuses == [b"200", b"200", b"500", b"200", b"500", b"500"]
    assert b"X-Accel-Redirect: /.iiif/pool-1/image" in answers[3]
    assert "server.role is worker: it does not fetch" in pool.log("lorikeet-a.log")
    assert "server.role is fetcher" in pool.log("lorikeet-fetch-a.log")


@pytest.mark.sanitize
def test_restarting_the_groups_in_turn_loses_nothing(pool):
    first = pool.worker_pids()

    def deploy(running):
        rounds = 0
        while running() and rounds < 2:
            pool.restart_group("a")
            pool.restart_group("b")
            rounds += 1
        assert rounds > 0
    assert ab(tile(pool), meanwhile=deploy) == ALL_GOOD
    assert not set(first) & set(pool.worker_pids())


@pytest.mark.sanitize
def test_killing_busy_workers_loses_nothing(pool):
    dice, killed = random.Random(5), []

    def kill(running):
        while running() and len(killed) < 25:
            pids = pool.worker_pids()
            if pids:
                os.kill(pid := dice.choice(pids), signal.SIGKILL)
                killed.append(pid)
            time.sleep(0.15)
    assert ab(tile(pool), meanwhile=kill) == ALL_GOOD
    assert len(killed) >= 5
    wait_for("all workers", 10, lambda: len(pool.worker_pids()) == 4)


@pytest.mark.sanitize
def test_sigterm_while_a_client_says_nothing(pool):
    """It has connected, and its first byte does not come: no reason to stay, or to turn round in a circle."""
    pids = pool.worker_pids("a")
    silent = [socket.socket(socket.AF_UNIX) for _ in pids]
    for s in silent:
        s.connect(str(pool.socket("a")))
    time.sleep(0.3)
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    wait_for("their end", 8, lambda: not any(alive(pid) for pid in pids))
    for s in silent:
        s.close()
    pool.wait_for_group("a")


@pytest.mark.sanitize
def test_sigterm_to_workers_loses_nothing(pool):
    def end(running):
        for pid in [p for p in pool.worker_pids() for _ in range(2)]:
            if running() and alive(pid):
                os.kill(pid, signal.SIGTERM)
            time.sleep(0.2)
    assert ab(tile(pool), meanwhile=end) == ALL_GOOD
    wait_for("all workers", 10, lambda: len(pool.worker_pids()) == 4)


@pytest.mark.sanitize
def test_a_killed_supervisord_leaves_no_orphans(pool):
    before = [pool.group_pid(g) for g in "ab"] + pool.worker_pids()
    assert len(before) == 6 and all(before)
    pool.kill_supervisord()
    started = time.monotonic()
    pool.start_pool()
    pool.wait_until_serving(10)
    assert time.monotonic() - started < 10
    assert not [pid for pid in before if alive(pid)]
    exe = pool.folder / "bin" / "lorikeet"
    mine = [p for p in Path("/proc").glob("[0-9]*") if command_of(p) == [str(exe)]]
    assert len(mine) == 4 + 2 + 1, "workers, fetchers and health"
    assert ab(tile(pool), 1000) == (1000, 0, 0)


def test_a_stack_that_has_hardly_begun_leaves_none_either(folder, binary):
    stack = real_stack(folder, binary)
    stack.prepare()
    for n in range(0, 60, 10):
        stack.start_pool()
        time.sleep(n / 1000)
        stack.stop()
    time.sleep(0.5)
    assert not [p for p in Path("/proc").glob("[0-9]*") if str(stack.folder / "bin/lorikeet") in command_of(p)]


def command_of(process):
    try:
        return (process / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return []


def resident_kb(pid):
    return int(next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines()
                    if line.startswith("VmRSS")).split()[1])


def test_memory_stays_flat_over_a_mix(pool):
    def round_of(n):
        for uri in URIS:
            assert ab(f"{pool.url}/iiif/3/flat.jpg/{uri}", n) == (n, 0, 0)
        return [resident_kb(pid) for pid in pool.worker_pids()]
    warm = round_of(100)
    after = round_of(400)
    assert max(after) - max(warm) < 8000, (warm, after)


def test_sigterm_lets_the_request_in_hand_finish(scratch, responder):
    with Bench(scratch / "term", responder, workers=1) as bench:
        replies = []

        def ask_or_stop(i):
            if i < 2:
                return bench.get(f"/hand/{i}/sleep=3000/size=10")
            time.sleep(1)
            return bench.stack.supervisorctl("stop", "all")
        started = time.monotonic()
        replies = in_parallel(3, ask_or_stop)
        assert [r.status for r in replies[:2]] == [200, 200]
        assert len(bench.runs("/hand/")) == 2, "the request was made twice"
        assert 2.5 < time.monotonic() - started < 10


def test_a_poisonous_request_leaves_the_others_alone(scratch, responder):
    with Bench(scratch / "poison", responder, workers=2, changes=NO_CACHE) as bench:
        def poison(running):
            for i in range(5):
                assert bench.get(f"/poison/{i}/crash=abort").status == 502
        url = f"{bench.stack.url}/good/sleep=2/size=5000"
        assert ab(url, 2000, meanwhile=poison) == (2000, 0, 0)
        assert len(bench.runs("/poison/")) == 10


async def crowd(port, idle, active, requests):
    """Idle clients hold a connection; active ones each ask that often. The statuses of all."""
    async def ask(streams, path):
        reader, writer = streams
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)).decode()
        length = next(int(line.split()[1]) for line in head.split("\r\n") if line.startswith("Content-Length"))
        await asyncio.wait_for(reader.readexactly(length), 60)
        return int(head.split()[1])

    async def client(i):
        streams = await asyncio.open_connection("127.0.0.1", port)
        statuses = [await ask(streams, f"/crowd/{i}/{n}/sleep=10/size=2000") for n in range(requests)]
        streams[1].close()
        return statuses

    waiting = []
    for _ in range(idle):
        waiting.append(await asyncio.open_connection("127.0.0.1", port))
        await ask(waiting[-1], "/ping")
    statuses = sum(await asyncio.gather(*(client(i) for i in range(active))), [])
    again = [await ask(streams, "/ping") for streams in waiting]
    for _, writer in waiting:
        writer.close()
    return statuses, again


def test_two_thousand_idle_and_a_thousand_active_clients(bench):
    statuses, again = asyncio.run(crowd(bench.stack.port, 2000, 1000, 3))
    assert (len(statuses), set(statuses)) == (3000, {200})
    assert (len(again), set(again)) == (2000, {200})


@pytest.mark.sanitize
def test_a_worker_that_cannot_start_waits_a_second(binary, tmp_path):
    (tmp_path / "bad.conf").write_text("server: { no_such_option = 1; };\n")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(tmp_path / "s"))
        s.listen()
        started = time.monotonic()
        done = subprocess.run([binary, "--config", tmp_path / "bad.conf"], stdin=s, capture_output=True, text=True,
                              timeout=20)
    assert done.returncode != 0 and time.monotonic() - started >= 1
    assert "bad.conf" in done.stderr and "no_such_option" in done.stderr


def test_workers_retire_when_old_enough_without_a_loss(young):
    time.sleep(max(0, young.born + 62 - time.monotonic()))
    assert ab(tile(young), 600, 4) == (600, 0, 0)
    wait_for("new workers", 10, lambda: len(young.worker_pids()) == 2)
    assert not set(young.first) & set(young.worker_pids())
    counts = ask_socket(young.socket("a"), LORIKEET_METRICS="1").decode()
    assert re.search(r'worker_ends_total{group="a",kind="retired"} [1-9]', counts) and counts.count('kind="killed"} 0\n') == 5
