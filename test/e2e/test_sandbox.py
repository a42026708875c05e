# SPDX-License-Identifier: BSD-2-Clause
"""The pool in its sandbox: what it holds to, and that folders, links and volumes which come, go or take another's place
later are served as if there were none. What is refused is contract_sandbox's."""
import os
import random
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from bench import NO_CACHE, Crowd, in_parallel
from origin import Origin, tls_context
from shop import Shop, give_to_worker, rule
from stack import ask_socket, wait_for
from test_origins import target
from web import Client

pytestmark = pytest.mark.release_only

# Many, of all lengths: a copy of one may be overwritten by chance.
MORE = [f"more{n}" for n in range(60)]
SECRETS = {name: f"{name}-{random.Random(name).randbytes(12 + n).hex()}"
           for n, name in enumerate(("password", "bearer", "header", "proxy", "token", "overridden", "aws", "file", *MORE))}
SIZE = "full/60,/0/default.jpg"


@pytest.fixture(scope="module")
def origin(images):
    with Origin(images) as running:
        yield running


@pytest.fixture(scope="module")
def guarded(scratch, images):
    """The same behind TLS, with a certificate that only who is told trusts."""
    pems = scratch / "pems"
    pems.mkdir()
    pems.chmod(0o755)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", pems / "key.pem",
                    "-out", pems / "ca.pem"], check=True, capture_output=True)
    (pems / "server.pem").write_text((pems / "key.pem").read_text() + (pems / "ca.pem").read_text())
    with Origin(images, context=tls_context(pems)) as running:
        running.pems = pems
        yield running


@pytest.fixture(scope="module")
def shop(scratch, binary, origin, guarded):
    """Rules of all kinds; the folders of some of them come later."""
    top = scratch / "rooms"
    top.mkdir()
    top.chmod(0o755)
    (top / "secret").write_text(SECRETS["file"] + "\n")
    give_to_worker(top / "secret")
    url = origin.url("/")
    rules = [
        rule("later/", "file", root=str(top / "later")),
        rule("swapped/", "file", root=str(top / "swapped")),
        rule("linked/", "file", root=str(top / "linked")),
        rule("volume/", "file", root=str(top / "volume"), symlinks="inside"),
        rule("follow/", "file", root=str(top / "follow"), symlinks="follow", allowed_roots=[str(top / "allowed")]),
        rule("fall/", "file", root=str(top / "allowed"), fallback=[".tif -> .jpg"]),
        rule("web/", url=url + "{id}"),
        rule("name/", url=f"http://localhost:{origin.port}/{{id}}"),
        rule("tls/", url=f"https://localhost:{guarded.port}/{{id}}", ca_file=str(guarded.pems / "ca.pem")),
        rule("untrusted/", url=f"https://localhost:{guarded.port}/{{id}}"),
        rule("one/", url=url + "{id}", user="us", password=SECRETS["password"], headers=["X-Key: " + SECRETS["header"]]),
        rule("two/", url=url + "{id}", bearer=SECRETS["bearer"], proxy="http://u:" + SECRETS["proxy"] + "@127.0.0.1:9"),
        rule("file/", url=url + "{id}", secret_file=str(top / "secret"), revalidate_after=1),
        rule("s3/", "s3", bucket="b", access_key="id", secret_key=SECRETS["overridden"], session_token=SECRETS["token"]),
    ]
    rules += [rule(f"{name}/", url=url + "{id}", bearer=SECRETS[name]) for name in MORE]
    env = {"LORIKEET_RULES_13_SECRET_KEY": SECRETS["overridden"] + "-new", "AWS_SECRET_ACCESS_KEY": SECRETS["aws"]}
    for name in ("swapped", "volume", "allowed", "follow"):
        shutil.copytree(scratch / "images", top / name)
    (top / "linked").symlink_to("swapped")
    with Shop(top / "shop", binary, rules, env=env, changes=NO_CACHE, workers=2) as running:
        running.top, running.images = top, scratch / "images"
        yield running


def pids(shop, groups):
    return [pid for group in groups for pid in shop.stack.worker_pids(group)]


def log(shop, groups):
    return "".join(shop.stack.log(f"lorikeet-{group}.log") for group in groups)


def ask(shop, identifier):
    return shop.get(target(identifier, SIZE)).status


def status_of(pid):
    """What /proc says of all threads of a process."""
    return [dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line)
            for task in Path(f"/proc/{pid}/task").iterdir()]


def wait_until_all_are_in_it(shop):
    """Some have only just begun."""
    groups = shop.stack.GROUPS + shop.stack.FETCH_GROUPS
    wait_for("the sandboxes", 10, lambda: log(shop, groups).count("sandbox: files held") >= len(pids(shop, groups)))


def test_every_process_is_in_it(shop):
    groups = shop.stack.GROUPS + shop.stack.FETCH_GROUPS
    wait_until_all_are_in_it(shop)
    for pid in pids(shop, groups):
        for thread in status_of(pid):
            assert (thread["NoNewPrivs"], thread["Seccomp"]) == ("1", "2")
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert re.search(r"Max core file size +0 +0 ", limits)
    said = "sandbox: files held to the configured ones, system calls limited, "
    assert said + "no connections, no secrets" in log(shop, "a") and said + "connections allowed" in log(shop, ["fetch-a"])
    assert re.search(r"sandbox, as this kernel has it: Landlock, version \d+; seccomp\n", shop.run("check").stdout)


def memory(pid):
    """All that can be read of a process's memory."""
    pieces = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            begin, end = (int(x, 16) for x in line.split()[0].split("-"))
            if "[v" in line:
                continue
            try:
                mem.seek(begin)
                pieces.append(mem.read(end - begin))
            except (OSError, ValueError):
                pass
    return b"\n".join(pieces)


def found_in(pid):
    held = memory(pid)
    assert b"allowed_roots" in held
    # Not the whole: of what was overwritten in part the end would be left.
    return {name for name, secret in SECRETS.items() if secret[-12:].encode() in held}


def test_workers_have_forgotten_all_secrets(shop):
    """While fetchers have them: so the search is a search."""
    wait_until_all_are_in_it(shop)
    for pid in pids(shop, shop.stack.GROUPS):
        assert found_in(pid) == set()
        assert SECRETS["aws"].encode() not in Path(f"/proc/{pid}/environ").read_bytes()
    for pid in pids(shop, shop.stack.FETCH_GROUPS):
        assert found_in(pid) == set(SECRETS)
    # The keys of originals are the same with and without them: what fetchers stored is found.
    assert ask(shop, "one/A.jpg") == 200
    assert "hits" in shop.get("/metrics").body.decode()


class Visitors(Crowd):
    """Clients that ask for one picture without a pause: the statuses they got."""

    def __init__(self, shop, identifier, n=4):
        super().__init__([()] * n)
        self.port, self.target, self.got = shop.stack.port, target(identifier, SIZE), []

    def ask(self):
        client = Client(self.port)
        while not self.over.is_set():
            self.got.append(client.ask(self.target).status)


def test_a_root_that_comes_later(shop):
    assert ask(shop, "later/A.jpg") == 503
    before = pids(shop, shop.stack.GROUPS)
    # As a whole, as a mount would.
    shutil.copytree(shop.images, shop.top / "filling")
    (shop.top / "filling").rename(shop.top / "later")
    assert in_parallel(8, lambda i: Client(shop.stack.port).ask(target("later/A.jpg", SIZE)).status) == [200] * 8
    assert not set(before) & set(pids(shop, shop.stack.GROUPS))
    assert f"{shop.top}/later is another now, or has come or gone: a new process takes over" in log(shop, "ab")
    shutil.rmtree(shop.top / "later")
    assert ask(shop, "later/A.jpg") == 503


def test_a_root_that_another_replaces(shop):
    """The picture is in both. One rename at a time, so there is a moment without any: a root that is a link has none."""
    with Visitors(shop, "linked/A.jpg") as crowd:
        for turn in range(6):
            time.sleep(0.3)
            (shop.top / "next").symlink_to(("allowed", "swapped")[turn % 2])
            (shop.top / "next").rename(shop.top / "linked")
        time.sleep(0.5)
    assert set(crowd.got) == {200} and len(crowd.got) > 5, {s: crowd.got.count(s) for s in set(crowd.got)}
    for turn in range(3):
        (shop.top / "swapped").rename(shop.top / f"old-{turn}")
        shutil.copytree(shop.images, shop.top / "swapped")
        assert [ask(shop, "swapped/A.jpg") for _ in range(8)] == [200] * 8


@pytest.mark.mounts
def test_a_volume_that_comes_later_and_goes(shop):
    volume = shop.top / "volume"
    with Visitors(shop, "swapped/A.jpg") as crowd:
        for _ in range(3):
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", volume], check=True)
            try:
                shutil.copyfile(shop.images / "A.jpg", volume / "new.jpg")
                assert [ask(shop, "volume/new.jpg") for _ in range(8)] == [200] * 8
            finally:
                subprocess.run(["umount", "--lazy", volume], check=True)
            assert ask(shop, "volume/new.jpg") == 404 and ask(shop, "volume/A.jpg") == 200
    assert set(crowd.got) == {200}


@pytest.mark.mounts
def test_a_volume_below_a_root_needs_nothing(shop):
    below = shop.top / "volume/below"
    below.mkdir()
    before = pids(shop, shop.stack.GROUPS)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", below], check=True)
    try:
        shutil.copyfile(shop.images / "A.jpg", below / "A.jpg")
        assert [ask(shop, "volume/below/A.jpg") for _ in range(8)] == [200] * 8
        assert pids(shop, shop.stack.GROUPS) == before
    finally:
        subprocess.run(["umount", "--lazy", below], check=True)


def test_links_say_what_they_said(shop):
    """Into an allowed root; out of all, which is no image, and not an error."""
    (shop.top / "follow/in.jpg").symlink_to(shop.top / "allowed/A.jpg")
    (shop.top / "follow/out.jpg").symlink_to(shop.top / "swapped/A.jpg")
    (shop.top / "follow/etc.jpg").symlink_to("/etc/passwd")
    (shop.top / "volume/etc.jpg").symlink_to("/etc/passwd")
    (shop.top / "volume/itself.jpg").symlink_to(shop.top / "volume/A.jpg")
    wanted = {"follow/in.jpg": 200, "follow/etc.jpg": 404, "volume/etc.jpg": 404, "volume/itself.jpg": 200,
              "follow/out.jpg": 404}
    assert {name: ask(shop, name) for name in wanted} == wanted
    wait_for("the log", 5, lambda: "a link that may not be followed" in log(shop, "ab"))


def test_fetchers_read_secrets_that_are_replaced(shop, origin):
    """By rename, at once; each original is asked for once."""
    for turn, (secret, wanted) in enumerate([(None, 200), ("other", 401), (SECRETS["file"], 200), ("again", 401)]):
        name = f"guarded-{turn}.jpg"
        os.link(shop.images / "A.jpg", shop.images / name)
        origin.script("/" + name, {"auth": "bearer:" + SECRETS["file"]})
        if secret:
            (shop.top / "part").write_text(secret + "\n")
            give_to_worker(shop.top / "part")
            (shop.top / "part").rename(shop.top / "secret")
        got = ask(shop, "file/" + name)
        assert got == 200 if wanted == 200 else got in (403, 502), (turn, got)


def test_fetchers_find_hosts_and_authorities(shop):
    assert ask(shop, "name/G.jpg") == 200
    assert ask(shop, "tls/G.jpg") == 200
    # The system's authorities were read, and do not know this one.
    assert ask(shop, "untrusted/T.jpg") == 502
    wait_for("the log", 5, lambda: "self-signed certificate" in log(shop, shop.stack.FETCH_GROUPS))


def test_imagemagick_has_read_its_files_before(shop):
    """Else it says that it could not write its policy."""
    assert shop.get(target("swapped/A.jpg", "full/60,/0/default.gif")).body[:4] == b"GIF8"
    wait_for("the log", 5, lambda: "default.gif status=200" in log(shop, "ab"))
    assert "ImageMagick" not in log(shop, "ab")


def test_a_fetcher_verifies_files(shop):
    shutil.copyfile(shop.images / "lzw.tif", shop.top / "allowed/verified.tif")
    assert ask(shop, "fall/verified.tif") == 200


def test_a_cache_that_comes_later(scratch, binary, origin):
    """Made while the pool runs: the folder, then its content."""
    rules = [rule("web/", url=origin.url("/") + "{id}")]
    with Shop(scratch / "late-cache", binary, rules, changes=NO_CACHE, make_cache=False) as shop:
        assert ask(shop, "web/A.jpg") == 200 and shop.metric("cache_usable") == 0
        shop.make_cache()
        wait_for("the cache", 5, lambda: shop.metric("cache_usable") == 1)
        assert ask(shop, "web/E.jpg") == 200
        assert shop.held() > 0


def test_without_and_with_all_of_it(folder, binary, images):
    """Off; and where it is required, which this kernel has."""
    for word, seccomp in (("off", "0"), ("require", "2")):
        rules = [rule("", "file", root=str(images))]
        with Shop(folder / word, binary, rules, server={"sandbox": word}) as shop:
            assert ask(shop, "A.jpg") == 200
            if word == "require":
                wait_until_all_are_in_it(shop)
            assert {thread["Seccomp"] for pid in pids(shop, "ab") for thread in status_of(pid)} == {seccomp}


# A kernel without it.
NO_LANDLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/syscall.h>
long syscall(long number, long a, long b, long c, long d, long e, long f)
{
	if (number != SYS_landlock_create_ruleset)
		return ((long (*)(long, ...))dlsym(RTLD_NEXT, "syscall"))(number, a, b, c, d, e, f);
	errno = ENOSYS;
	return -1;
}
"""


def test_required_where_there_is_none(folder, binary):
    """The check says so, before a reload ends anything; a process that was started ends, and does not count as killed."""
    fake, at = folder / "fake.so", folder / "w.sock"
    subprocess.run(["gcc", "-shared", "-fPIC", "-w", "-x", "c", "-o", fake, "-"], input=NO_LANDLOCK, text=True, check=True)
    env = {**os.environ, "LORIKEET_SERVER_METRICS_FILE": str(folder / "metrics"), "LORIKEET_SERVER_SANDBOX": "require"}
    without = {**env, "LD_PRELOAD": str(fake)}
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(at))
        listening.listen()
        failed = subprocess.run([binary], env=without, stdin=listening, capture_output=True, text=True, timeout=30)
        assert failed.returncode == 1 and "server.sandbox" in failed.stderr
        worker = subprocess.Popen([binary], env=env, stdin=listening, stderr=subprocess.DEVNULL)
        try:
            told = ask_socket(at, LORIKEET_METRICS="1").decode()
        finally:
            worker.terminate()
            worker.wait()
    ends = dict(re.findall(r'worker_ends_total\{.*kind="(\w+)"\} (\d+)', told))
    assert (ends["failed"], ends["killed"]) == ("1", "0")
    assert subprocess.run([binary, "check"], env=env).returncode == 0
    checked = subprocess.run([binary, "check"], env=without, capture_output=True, text=True)
    assert checked.returncode == 1 and "server.sandbox" in checked.stderr
