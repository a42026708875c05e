# SPDX-License-Identifier: BSD-2-Clause
"""Four independent servers over a real S3 server, behind both balancers as they are shipped (scripts/cluster.py)."""
import http.client
import io
import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from urllib.parse import unquote

import pytest
from bench import Crowd, in_parallel
from cluster import Balancer, Cluster, Version
from PIL import Image
from pool import newer, reloader, replace
from spellings import KINDS, spell
from stack import REPO, alive, children, wait_for
from web import Client

STATE = REPO / "build/cluster.json"
KINDS_OF_BALANCERS = Balancer.KINDS
# Each balancer has its own, as each gives them to servers in its own way.
NAMES = {kind: [f"{kind}/box {n % 5}/page {n // 50}/pic+{n}.jpg" for n in range(300)] for kind in KINDS_OF_BALANCERS}
HEALTH_INTERVAL = 3      # seconds in which HAProxy notices
turns = itertools.count()


def picture():
    data = io.BytesIO()
    Image.new("RGB", (300, 200), (90, 40, 200)).save(data, "JPEG")
    return data.getvalue()


class Town(Cluster):
    """What tests ask of a cluster."""

    def origin_requests(self, names):
        """How often S3 was asked for each."""
        log = (self.ceph.folder / "log/client.rgw.a.log").read_text(errors="replace")
        asked = [unquote(path) for path in re.findall(r'"GET /originals/(\S+) HTTP', log)]
        return {name: asked.count(name) for name in names}

    def lines(self, word):
        """Servers, each with the addresses that its nginx was asked for, with this word in them."""
        return {server: [line.split('"')[1].split()[1] for line in server.stack.log("nginx-access.log").splitlines() if word in line]
                for server in self.servers}

    def owners(self, balancer, names, kind=KINDS[2]):
        """Which server answers for each of the names, asked of it once."""
        turn = f"?turn={next(turns)}e"
        statuses = in_parallel(4, lambda i: [balancer.client.ask(spell(kind, name) + turn).status for name in names[i::4]])
        assert {status for some in statuses for status in some} == {200}, statuses
        wait_for("the logs", 10, lambda: sum(map(len, self.lines(turn).values())) == len(names))
        by_address = {address: server for server, found in self.lines(turn).items() for address in found}
        return {name: by_address[spell(kind, name) + turn] for name in names}


@pytest.fixture(scope="module")
def town(scratch, binary):
    with Town(scratch / "cluster", [Version("this", binary)] * 4, workers=1, fetchers=8) as running:
        # (So many fetchers that clients here never wait for S3 in vain: half of them may.)
        # S3 says what it was asked for.
        data = picture()
        names = [name for some in NAMES.values() for name in some]
        in_parallel(8, lambda i: [running.put(name, data) for name in names[i::8]])
        yield running


@pytest.fixture(scope="module")
def balancers(town, scratch):
    with Balancer(scratch / "nginx", "nginx", town.servers) as one, Balancer(scratch / "haproxy", "haproxy", town.servers) as two:
        for balancer in (one, two):
            balancer.client = Client(balancer.port)
        yield {"nginx": one, "haproxy": two}


@pytest.fixture(params=KINDS_OF_BALANCERS)
def kind(request):
    return request.param


class Load(Crowd):
    """Clients that ask without a break, half of them each balancer, with a connection of its own for each request, and never twice."""

    def __init__(self, balancers, clients=4):
        super().__init__([(i, kind, balancer.port) for i in range(clients // 2) for kind, balancer in balancers.items()])
        self.good, self.bad = 0, []

    def ask(self, seed, kind, port):
        dice = random.Random(seed)
        while not self.over.wait(0.03):
            status = self.status(port, spell(dice.choice(KINDS), dice.choice(NAMES[kind][::2])))
            if status == 200:
                self.good += 1
            else:
                self.bad.append((time.monotonic(), kind, status))

    @staticmethod
    def status(port, target):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request("GET", target)
            reply = connection.getresponse()
            return reply.status if reply.read() else "empty"
        except (OSError, http.client.HTTPException) as e:
            return repr(e)
        finally:
            connection.close()


def differing(some, others):
    """Names that have another value there, in their order. (pytest's own explanation of it takes a minute.)"""
    return sorted((name for name in some if some[name] != others[name]), key=lambda name: int(re.search(r"pic\+(\d+)", name)[1]))


def test_one_mapping_in_both_samples_of_nginx():
    marked = [line.removeprefix("#peers ") for line in (REPO / "nginx-sample.conf").read_text().splitlines()]
    own = (REPO / "scripts/balancer-nginx.conf").read_text().splitlines()
    at = own.index("map $uri $iiif_identifier {")
    there = marked.index("map $uri $iiif_identifier {")
    assert own[at:at + 5] == marked[there:there + 5] and own[at + 4] == "}"


def test_shares_are_even_and_each_original_is_fetched_once(town, balancers, kind):
    names = NAMES[kind]
    assert set(town.origin_requests(names).values()) == {0}
    owners = town.owners(balancers[kind], names)
    shares = [sum(owner is server for owner in owners.values()) / len(names) for server in town.servers]
    assert 0.15 <= min(shares) and max(shares) <= 0.35, shares
    # In any other spelling, too.
    for other in KINDS:
        assert not differing(town.owners(balancers[kind], names[:16], other), owners), other
    assert not differing(town.origin_requests(names), dict.fromkeys(names, 1))


def test_what_the_client_is_and_asked_for(town, balancers, kind):
    base, target = balancers[kind].url, spell(KINDS[0], NAMES[kind][0])
    forged = {"X_Forwarded_Host": "evil.example", "X_Forwarded_Proto": "https", "X_Forwarded_Port": "99", "X_Forwarded_For": "192.0.2.66"}
    info = balancers[kind].client.ask(target + "?forged=" + kind, **forged)
    assert info.json["id"] == base + target.removesuffix("/info.json")
    assert balancers[kind].client.ask(target, Host="other.example").status == 421
    assert balancers[kind].client.ask(target, If_None_Match=info.header("ETag")).status == 304
    assert balancers[kind].client.ask("/iiif/3/" + "x/" * 4000 + "x/info.json").status == 404
    logs = wait_for("the log", 5, lambda: "".join(line for server in town.servers for line in
                    server.stack.log("nginx-access.log").splitlines() if "?forged=" + kind in line))
    assert logs.startswith("127.0.0.1 [")


# --- under load ---

def drain(server, word):
    folder = server.stack.folder
    done = subprocess.run([folder / "bin/lorikeet", "drain", word], stdout=subprocess.DEVNULL, env={
        **os.environ, "LORIKEET_CONFIG": str(server.config), "LORIKEET_SERVER_DRAIN_FILE": str(folder / "run/drain")})
    assert done.returncode == 0


@contextmanager
def drained(server, town, balancers):
    """As a person does it: out of nginx's list, and said to HAProxy by the server itself; until nothing arrives any more."""
    drain(server, "on")
    balancers["nginx"].change(town.servers, down=[server])
    wait_for("the last requests", 20, lambda: quiet(server))
    yield
    drain(server, "off")
    balancers["nginx"].change(town.servers)
    wait_for("requests again", 20, lambda: not quiet(server))


def quiet(server):
    before = server.stack.log("nginx-access.log")
    time.sleep(0.7)
    return server.stack.log("nginx-access.log") == before


def version_of(server):
    return json.loads(Client(server.stack.port).ask("/health/ready").body)["version"]


@pytest.fixture(scope="module")
def other(scratch, binary):
    """A program of another version."""
    program = scratch / "other"
    replace(program, newer(binary.read_bytes(), subprocess.check_output([binary, "--version"], text=True).split()[-1]))
    return program


def test_each_in_turn_is_drained_upgraded_and_restarted(town, balancers, binary, other):
    with Load(balancers) as load:
        for server in town.servers:
            before, version = load.good, version_of(server)
            with drained(server, town, balancers):
                server.stack.stop()
                server.stack.binary = other
                server.stack.start()
            assert version_of(server) == "9" + version[1:] and load.good > before
        # Back by a reload, which needs no draining; one is enough, as it takes longest.
        replace(server.stack.folder / "bin/lorikeet", binary.read_bytes())
        done = reloader(server.stack)()
        assert done.returncode == 0 and version_of(server) == version, done.stderr
    assert load.good > 100 and not load.bad, load.bad[:5]


def kill_outright(server):
    """As if its power went: all at once, without a word."""
    stack = server.stack
    groups = [stack.group_pid(group) for group in stack.ALL_GROUPS]
    pids = [stack.nginx.pid, *children(stack.nginx.pid), stack.supervisord.pid, *groups, *(p for g in groups for p in children(g))]
    for pid in pids:
        with suppress(ProcessLookupError):      # some end with others
            os.kill(pid, signal.SIGKILL)
    wait_for("the end of all", 5, lambda: not any(map(alive, pids)))
    stack.stop()


def test_one_is_killed_outright_and_comes_back(town, balancers, record_property):
    victim = town.servers[2]
    names = {kind: NAMES[kind][1::2] for kind in KINDS_OF_BALANCERS}        # the load asks for the others
    before = {kind: town.owners(balancers[kind], names[kind]) for kind in KINDS_OF_BALANCERS}
    fetched = {kind: town.origin_requests(names[kind]) for kind in KINDS_OF_BALANCERS}
    with Load(balancers) as load:
        time.sleep(1)
        assert not load.bad
        at = time.monotonic()
        kill_outright(victim)
        time.sleep(HEALTH_INTERVAL)
        good = load.good
        for kind, balancer in balancers.items():
            moved = [name for name in names[kind] if before[kind][name] is victim]
            with_three = town.owners(balancer, names[kind])
            assert differing(with_three, before[kind]) == moved
            # To all of the others, and each fetched by one of them.
            assert {with_three[name] for name in moved} == set(town.servers) - {victim}
            assert not differing(town.origin_requests(names[kind]), {name: fetched[kind][name] + (name in moved) for name in names[kind]})
        wait_for("more answers", 10, lambda: load.good > good + 10)
        victim.stack.start()
        for kind, balancer in balancers.items():
            wait_for("the server's part", 30, lambda: town.owners(balancer, names[kind]) == before[kind])
    late = [failure for failure in load.bad if failure[0] - at > HEALTH_INTERVAL]
    for kind in KINDS_OF_BALANCERS:
        failed = sum(failure[1] == kind for failure in load.bad)
        record_property(f"failed_{kind}", failed)
        print(f"{kind}: {failed} failed of {load.good + len(load.bad)} behind both, within {HEALTH_INTERVAL} s")
    assert not late, late
    # Those in its hands, and a few before it was noticed.
    assert len(load.bad) <= 20, load.bad[:5]


def test_one_more_server_and_one_less(town, balancers, binary):
    before = {kind: town.owners(balancers[kind], NAMES[kind]) for kind in KINDS_OF_BALANCERS}
    new = town.add(Version("this", binary))

    def differences(servers):
        for kind, balancer in balancers.items():
            balancer.change(servers)
            after = town.owners(balancer, NAMES[kind])
            yield NAMES[kind], before[kind], after, differing(after, before[kind])

    with Load(balancers) as load:
        for names, _, after, moved in differences(town.servers):
            assert moved == [name for name in names if after[name] is new]
            # About a fifth.
            assert 0.1 <= len(moved) / len(names) <= 0.3, len(moved)
        for *_, moved in differences(town.servers[:-1]):
            assert not moved
        wait_for("its last requests", 20, lambda: quiet(new))
        town.remove(new)
        # Whichever is taken away.
        first, *others = town.servers
        for names, was, _, moved in differences(others):
            assert moved == [name for name in names if was[name] is first]
        for *_, moved in differences(town.servers):
            assert not moved
    assert load.good > 50 and not load.bad, load.bad[:5]


# --- the command ---

@pytest.fixture
def few(folder):
    (folder / "box").mkdir()
    (folder / "box/deep").mkdir()
    for name in ("a b.jpg", "deep/c.jpe", b"no utf-8 \xff.jpg".decode(errors="surrogateescape"), "readme.txt"):
        (folder / "box" / name).write_bytes(picture())
    return folder


def command(*words, at=REPO):
    return [at / "scripts/cluster", *words]


@pytest.fixture
def package(few, other):
    """A Debian package of another version."""
    root = few / "root"
    subprocess.run(["/usr/bin/python3", "-B", REPO / "scripts/package/tree.py", other, "9", "Nobody <nobody@example.org>", root], check=True)
    (root / "usr/bin").mkdir()
    shutil.copy(other, root / "usr/bin/lorikeet")
    (root / "DEBIAN").mkdir()
    (root / "DEBIAN/control").write_text("Package: lorikeet\nVersion: 9\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\n"
                                         "Description: another version\n")
    subprocess.run(["dpkg-deb", "-Znone", "--build", root, few / "lorikeet_test.deb"], check=True, stdout=subprocess.DEVNULL)
    return few / "lorikeet_test.deb"


def git(folder, *words):
    return subprocess.run(["git", "-C", folder, "-c", "user.name=Nobody", "-c", "user.email=nobody@example.org", *words],
                          check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def clone(few, binary, other):
    """A shallow clone of a repository with all that the command needs, of three commits, and the first of them, which is not in
    the clone. What a commit says of how to build it is to copy a program: the compiler would take a minute."""
    origin = few / "origin"
    shutil.copytree(REPO / "scripts", origin / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    (origin / "test").mkdir()
    for name in ("nginx-sample.conf", "test/ceph.py", "test/libconfig.py"):
        shutil.copy(REPO / name, origin / name)
    (origin / "scripts/build").write_text('#!/bin/sh\ncd "$(dirname "$0")/.." && mkdir -p build/release && cp program build/release/lorikeet\n')
    git(few, "init", "--quiet", origin)
    for program in (None, other, binary):
        if program:
            shutil.copy(program, origin / "program")
        git(origin, "add", "--all")
        git(origin, "commit", "--quiet", "-m", "A commit")
    git(few, "clone", "--quiet", "--depth", "2", f"file://{origin}", few / "clone")
    return few / "clone", git(origin, "rev-parse", "HEAD~2")


def two_versions(repository, few, version):
    """Each behind a balancer of its own, both behind a third."""
    asked = """for base in {url} {new} {old}; do
                   curl -sf $base/iiif/3/a%20b.jpg/full/30,/0/default.jpg >/dev/null || exit 1
               done
               curl -s {new}/health/ready | grep -o '"version":"[0-9]*'
               curl -s {old}/health/ready | grep -o '"version":"[0-9]*'
               ls {images} >/dev/null && cat {identifiers} && exit 7"""
    done = subprocess.run(command("2", "--images", few / "box", "--version", version, "--", "sh", "-c", asked, at=repository),
                          capture_output=True, text=True, timeout=200)
    assert done.returncode == 7, done.stderr
    assert done.stdout.splitlines()[-4:] == ['"version":"0', '"version":"9', "a b.jpg", "deep/c.jpe"]
    assert not (repository / "build/cluster.json").exists()


def test_the_command_runs_another_on_a_package_and_this_version(few, package):
    try:
        two_versions(REPO, few, package)
    finally:
        shutil.rmtree(REPO / "build/versions/lorikeet_test", ignore_errors=True)


def test_the_command_runs_another_on_a_commit_and_this_version(few, clone):
    repository, too_old = clone
    two_versions(repository, few, "HEAD~1")
    assert git(repository, "status", "--porcelain", "--ignored").splitlines() == ["?? build/"]
    assert git(repository, "worktree", "list").count("\n") == 0
    done = subprocess.run(command("2", "--images", few, "--version", too_old, at=repository), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and f"no commit {too_old}" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("version", ["no-such-commit", "/none.deb"])
def test_a_version_that_there_is_not(few, version):
    done = subprocess.run(command("2", "--images", few, "--version", version), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and version in done.stderr and "Traceback" not in done.stderr and not STATE.exists()


@pytest.mark.parametrize("words, status", [([], 0), (["--", "sh", "-c", "sleep 1000 & echo $!; wait"], 143)])
def test_down_ends_one_that_was_left_behind(few, words, status):
    process = subprocess.Popen(command("1", "--images", few, "--balancer", "nginx", *words), stdout=subprocess.PIPE, text=True,
                               start_new_session=True)
    try:
        lines = list(itertools.takewhile(lambda line: "identifiers" not in line, process.stdout))
        port = int(re.search(r"http://127\.0\.0\.1:(\d+)   nginx", "".join(lines))[1])
        run = int(process.stdout.readline()) if words else None
        assert Load.status(port, spell(KINDS[0], "box/a b.jpg")) == 200
        assert subprocess.run(command("1"), capture_output=True).returncode == 1
        assert subprocess.run(command("--down"), capture_output=True, timeout=90).returncode == 0
        assert process.wait(20) == status and not (run and alive(run))
        assert "refused" in Load.status(port, "/ping") and not STATE.exists()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)
        process.stdout.close()


@pytest.mark.parametrize("words", [[], ["0"], ["1", "--version", "HEAD"], ["2", "--down"], ["2", "--images", __file__], ["x"]])
def test_wrong_words(words):
    done = subprocess.run(command(*words), capture_output=True, text=True, timeout=20)
    assert done.returncode == 2 and "error" in done.stderr
