# SPDX-License-Identifier: BSD-2-Clause
"""What balancers are told, draining, and `lorikeet reload`, through the real nginx and pool."""
import json
import os
import signal
import subprocess
import threading
import time
from contextlib import contextmanager

import pytest
from bench import NO_CACHE, Crowd
from origin import Origin
from PIL import Image
from pool import newer, reloader, replace, write_command
from shop import Shop, rule
from stack import REPO, ask_socket, can_connect, render, wait_for

PICTURE = "/iiif/3/f%2Fa.png/full/max/0/default.jpg"
FETCHED = "/iiif/3/o%2Fa.png/full/max/0/default.jpg"


@pytest.fixture(scope="module")
def shop(scratch, binary):
    folder = scratch / "health"
    images = scratch / "health-images"
    images.mkdir()
    Image.new("RGB", (64, 48), "red").save(images / "a.png")
    with Origin(images) as origin:
        rules = [rule("f/", "file", root=str(images)), rule("o/", url=origin.url("/") + "{id}", revalidate_after=1),
                 rule("gone/", url="http://127.0.0.1:1/{id}"), rule("slow/", url=origin.url("/") + "{id}?delay=9")]
        with Shop(folder, binary, rules, changes=NO_CACHE) as running:
            yield running


def ready(shop, path="/health/ready", **headers):
    answer = shop.get(path, **headers)
    return answer.status, json.loads(answer.body)


@contextmanager
def stopped(shop, *groups):
    for group in groups:
        shop.stack.supervisorctl("stop", f"lorikeet-{group}")
    try:
        yield
    finally:
        for group in groups:
            shop.stack.supervisorctl("start", f"lorikeet-{group}")
            shop.stack.wait_for_group(group)


@contextmanager
def frozen(pids):
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_a_sound_server_is_ready(shop):
    assert shop.get("/ping").status == 200
    live = shop.get("/health/live")
    assert (live.status, live.body) == (200, b"live\n")
    # Some may still be starting.
    wait_for("all fetchers", 10, lambda: ready(shop)[1]["fetchers"]["alive"] == 4)
    status, told = ready(shop)
    assert (status, told["status"], told["cache"], told["workers"]["alive"]) == (200, "ready", "usable", 4)
    assert told["version"] in subprocess.check_output([shop.binary, "--version"], text=True)


@pytest.mark.parametrize("host", ["192.0.2.1", "unknown.example", "localhost"])
def test_under_any_name(shop, host):
    assert ready(shop, Host=host)[0] == 200
    assert shop.get("/health/live", Host=host).status == 200


def test_head_and_other_paths(shop):
    assert shop.get("/health/ready", method="HEAD").status == 200
    assert shop.get("/health/readyx").status in (400, 404)
    assert shop.get("/health/").status in (400, 404)


def test_nothing_is_logged_or_counted(shop):
    def counted():
        metrics = shop.get("/metrics").body.decode()
        return [line for line in metrics.splitlines() if line.startswith("lorikeet_requests_total")]
    before = counted()
    for _ in range(5):
        ready(shop)
    assert counted() == before
    assert "GET /health/ready " not in shop.stack.log("nginx-access.log") + shop.stack.log("lorikeet-health.log")


def test_it_answers_while_all_workers_are_busy(shop):
    with frozen(shop.stack.worker_pids() + [p for g in shop.stack.FETCH_GROUPS for p in shop.stack.worker_pids(g)]):
        assert ready(shop)[0] == 200
        assert b"lorikeet_workers{" in shop.get("/metrics").body


def test_draining(shop):
    drain = REPO / "scripts/drain"
    env = {**os.environ, "LORIKEET_BINARY": str(shop.binary), "LORIKEET_CONFIG": str(shop.config),
           "LORIKEET_SERVER_DRAIN_FILE": str(shop.stack.folder / "run/drain")}

    def run(word):
        return subprocess.run([drain, word], env=env, capture_output=True, text=True).returncode
    assert run("status") == 0
    try:
        assert run("on") == 0 and run("on") == 0
        assert run("status") == 3
        assert ready(shop)[0] == 503 and ready(shop)[1]["status"] == "draining"
        assert shop.get("/health/live").status == 200
        assert shop.get(PICTURE).status == 200
    finally:
        assert run("off") == 0 and run("off") == 0
    assert run("status") == 0 and ready(shop)[0] == 200
    assert run("perhaps") == 2


def test_a_pipe_in_the_place_of_the_drain_file_holds_nobody_up(folder, binary):
    """Its folder is the workers', and the command mostly root's."""
    os.mkfifo(folder / "drain")
    done = subprocess.run([binary, "drain", "on"], env={**os.environ, "LORIKEET_SERVER_DRAIN_FILE": str(folder / "drain")},
                          capture_output=True, timeout=10)
    assert done.returncode == 1


def test_without_workers(shop):
    with stopped(shop, "a"):
        assert ready(shop)[0] == 200
    with stopped(shop, "a", "b"):
        status, told = ready(shop)
        assert (status, told["status"], told["workers"]["alive"]) == (503, "no workers", 0)
    assert ready(shop)[0] == 200


def test_without_the_old_file_of_counts(shop):
    """Somebody removed it: a health process that restarts sees only itself, and does not call the pool dead."""
    for path in (shop.stack.folder / "run").glob("metrics*"):
        path.unlink()
    shop.stack.restart_group("health")
    assert ready(shop)[0] == 200
    for group in shop.stack.ALL_GROUPS:
        shop.stack.restart_group(group)
    status, told = ready(shop)
    assert status == 200 and told["workers"]["alive"] == 4


def test_without_the_cache_volume(shop):
    away = shop.cache.with_name("away")
    shop.cache.rename(away)
    try:
        told = wait_for("the loss to be noticed", 10, lambda: ready(shop) if ready(shop)[0] == 503 else None)
        assert told[1]["status"] == "no cache"
        assert shop.get(PICTURE).status == 200
    finally:
        away.rename(shop.cache)
    wait_for("the volume to be back", 10, lambda: ready(shop)[0] == 200)


def test_without_the_shared_counts_nothing_is_said_of_others(scratch, binary):
    """They may be off, or their file not to be made: that is no reason to detach a server that works."""
    rules = [rule("f/", "file", root=str(scratch / "health-images"))]
    for name, file in (("off", ""), ("lost", "/nowhere/metrics")):
        with Shop(scratch / f"health-{name}", binary, rules, env={"LORIKEET_SERVER_METRICS_FILE": file}) as alone:
            status, told = ready(alone)
            assert (status, told["status"], "workers" in told) == (200, "ready", False), name


def test_origins_show_and_detach_nobody(shop):
    ready(shop)
    assert shop.get("/iiif/3/gone%2Fb.jpg/info.json").status in (502, 503, 504)
    status, told = ready(shop)
    assert status == 200 and told["origins"]["failed"] >= 1 and told["origins"]["requests"] >= told["origins"]["failed"]


def test_without_its_own_process_a_worker_answers(shop):
    with stopped(shop, "health"):
        assert ready(shop)[0] == 200
        assert shop.get("/metrics").status == 200


def test_ping(shop):
    def ping(path):
        return subprocess.run([shop.binary, "ping", path], capture_output=True, text=True,
                              env={**os.environ, "LORIKEET_SERVER_METRICS_FILE": str(shop.stack.folder / "run/metrics")})
    for group in shop.stack.ALL_GROUPS:
        assert ping(shop.stack.socket(group)).returncode == 0, group
    missing = ping(shop.stack.socket("none"))
    assert missing.returncode == 1 and "No such file" in missing.stderr
    assert ping("/" + "x" * 200).returncode == 1
    with frozen(shop.stack.worker_pids("a")):
        assert ping(shop.stack.socket("a")).returncode == 1
    fetchers = shop.stack.socket("fetch-a")
    waiting = [threading.Thread(target=ask_socket, args=(fetchers, f"/iiif/3/slow%2F{i}.png/info.json", 30),
                                kwargs={"LORIKEET_STEP": "fetch-1"}) for i in range(shop.stack.fetchers)]
    for thread in waiting:
        thread.start()
    wait_for("both to fetch", 5, lambda: b'lorikeet_workers{group="fetch-a",state="busy"} 2' in shop.get("/metrics").body)
    assert ping(fetchers).returncode == 3
    for thread in waiting:
        thread.join()
    assert ping(fetchers).returncode == 0
    assert subprocess.run([shop.binary, "ping"], capture_output=True).returncode == 2


# --- reload ---

@pytest.fixture
def reload(shop):
    return reloader(shop.stack)


class Load(Crowd):
    """Clients that ask without a break, for a local original and a fetched one."""
    def __init__(self, shop, clients=4):
        super().__init__([()] * clients)
        self.shop, self.good, self.bad, self.etags = shop, 0, [], set()

    def ask(self):
        while not self.over.is_set():
            for target in (PICTURE, FETCHED):
                answer = self.shop.get(target)
                if answer.status == 200:
                    self.good += 1
                    self.etags.add((target, answer.header("ETag"), answer.body))
                else:
                    self.bad.append(answer.status)


def all_pids(shop):
    return {pid for g in shop.stack.ALL_GROUPS for pid in shop.stack.worker_pids(g)}


def test_reload_replaces_all_and_loses_nothing(shop, reload):
    before = all_pids(shop)
    with Load(shop) as load:
        done = reload()
    assert done.returncode == 0, done.stderr
    assert not before & all_pids(shop) and len(all_pids(shop)) == len(before)
    assert load.good > 50 and not load.bad and len(load.etags) == 2


def test_nobody_waits_in_a_group_that_stops(shop):
    """One download keeps it: what comes meanwhile is the other group's at once."""
    stack = shop.stack
    for i in range(4):
        Image.new("RGB", (64, 48), "red").save(stack.folder.parent.parent / f"health-images/new{i}.png")
    slow = threading.Thread(target=ask_socket, args=(stack.socket("fetch-a"), "/iiif/3/slow%2Fa.png/info.json", 30),
                            kwargs={"LORIKEET_STEP": "fetch-1"})
    slow.start()
    wait_for("the download", 5, lambda: b'lorikeet_workers{group="fetch-a",state="busy"} 1' in shop.get("/metrics").body)
    restart = threading.Thread(target=stack.restart_group, args=("fetch-a",))
    restart.start()
    wait_for("its socket to close", 5, lambda: not can_connect(stack.socket("fetch-a")))
    assert [shop.get(f"/iiif/3/o%2Fnew{i}.png/info.json").status for i in range(4)] == [200] * 4
    assert restart.is_alive() and slow.is_alive()
    for thread in (slow, restart):
        thread.join()
    assert can_connect(stack.socket("fetch-a"))


def test_two_versions_run_beside_each_other(shop, reload):
    """An upgrade, and back: half of the pool is of the other version for a while, on the same caches."""
    program = shop.stack.folder / "bin/lorikeet"
    old = program.read_bytes()
    version = ready(shop)[1]["version"]
    try:
        with Load(shop) as load:
            replace(program, newer(old, version))
            for group in ("a", "fetch-a", "health"):
                shop.stack.restart_group(group)
            assert ready(shop)[1]["version"] == "9" + version[1:]
            time.sleep(2)
            assert reload().returncode == 0
            replace(program, old)
            assert reload().returncode == 0
    finally:
        replace(program, old)
    assert ready(shop)[1]["version"] == version
    assert load.good > 100 and not load.bad and len(load.etags) == 2


def test_ready_while_a_version_with_other_counts_takes_over(shop, reload):
    """Old and new processes then have a file each, and do not see each other."""
    pool, statuses, over = shop.stack.folder / "pool.conf", [], threading.Event()
    old = pool.read_text()

    def ask():
        while not over.is_set():
            statuses.append(ready(shop)[1]["status"])
            time.sleep(0.05)
    asking = threading.Thread(target=ask)
    asking.start()
    try:
        pool.write_text(old.replace("run/metrics", "run/other"))
        forth = reload().returncode
        pool.write_text(old)
        assert (forth, reload().returncode) == (0, 0)
    finally:
        over.set()
        asking.join()
        pool.write_text(old)
    assert len(statuses) > 50 and set(statuses) == {"ready"}


def test_systemd_restarts_in_the_same_order(folder):
    names = [f"lorikeet-{g}.service" for g in ("a", "health", "b", "fetch-a", "fetch-b")]
    said = folder / "said"
    pool = render((REPO / "scripts/package/lorikeet-pool").read_text(), {
        "/etc/lorikeet/pool": f"{folder}/choice", "[ -d /run/systemd/system ]": "true",
        "/etc/supervisor/conf.d/lorikeet.conf": f"{folder}/none"})
    write_command(folder / "lorikeet-pool", pool)
    (folder / "choice").write_text("systemd\n")
    for name in ("lorikeet", "setpriv"):
        write_command(folder / name, "#!/bin/sh\n")
    write_command(folder / "systemctl", "#!/bin/sh\n" f"""case "$*" in
cat*) printf '[Unit]\\nWants={' '.join(names)}\\n' ;;
show*) echo '{' '.join(sorted([*names, 'lorikeet-more.service', 'other.service'], reverse=True))}' ;;
restart*) echo $2 >>{said} ;;
esac
""")
    subprocess.run([folder / "lorikeet-pool", "restart"], env={"PATH": f"{folder}:{os.environ['PATH']}"}, check=True, timeout=60)
    assert said.read_text().split() == [name.removesuffix(".service") for name in names] + ["lorikeet-more"]


def test_a_wrong_configuration_changes_nothing(shop, reload):
    config = shop.stack.folder / "lorikeet.conf"
    right, before = config.read_text(), all_pids(shop)
    config.write_text(right + "nonsense = 1;\n")
    try:
        done = reload()
    finally:
        config.write_text(right)
    assert done.returncode == 1 and "nonsense" in done.stderr
    assert all_pids(shop) == before


def test_a_group_that_fails_stops_it(shop, reload):
    """A program that checks its configuration and then ends, in place of the worker."""
    program = shop.stack.folder / "bin/lorikeet"
    real = program.with_name("real")
    before = {g: set(shop.stack.worker_pids(g)) for g in shop.stack.ALL_GROUPS}
    program.rename(real)
    write_command(program, f'#!/bin/sh\n[ $# -gt 0 ] || exit 1\nexec {real} "$@"\n')
    try:
        with Load(shop) as load:
            done = reload()
        assert done.returncode == 1 and "lorikeet-a does not answer, and was stopped" in done.stderr
        for group in shop.stack.ALL_GROUPS[1:]:
            assert set(shop.stack.worker_pids(group)) == before[group], group
    finally:
        real.rename(program)
    assert load.good > 50 and not load.bad
    assert reload().returncode == 0
    shop.stack.wait_for_group("a")
