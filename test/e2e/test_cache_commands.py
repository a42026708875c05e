# SPDX-License-Identifier: BSD-2-Clause
"""The command line of the cache, beside a live stack: what people see of originals, and how they get rid of them."""
import json
import os
import pwd
import re
import shutil
import sqlite3
import subprocess
import threading
from datetime import datetime, timezone
from urllib.parse import quote

import pytest
from make_images import board
from origin import Origin
from PIL import Image
from shop import Shop, as_root, config_text, give_to_worker, rule
from stack import WORKER_USER, wait_for

ODD = "o dd%41\u009b2Jü.jpg"
ODD_SHOWN = "o%20dd%2541%C2%9B2Jü.jpg"
BYTES = b"caf\xe9 .jpg"
NAMES = ["pic.jpg", "a.jpg", "b.jpg", "c.jpg", "bad.jpg", "gone.jpg", "list.jpg", "fresh.jpg", "both.tif", "both.jpg",
         "mended.jpg", ODD]
GARBAGE = b"II*\0\x08\0\0\0 no picture"


def draw(path, side=96):
    kind = "TIFF" if str(path).endswith(".tif") else "JPEG"
    Image.fromarray(board(side, side // 2, 0)).save(path, kind)


@pytest.fixture(scope="module")
def origin(scratch):
    folder = scratch / "commands-origin"
    folder.mkdir()
    for name in NAMES:
        draw(folder / name)
    (folder / "bad.tif").write_bytes(GARBAGE)
    (folder / "late.jpg").write_bytes(b"GIF89a no picture")
    with Origin(folder) as running:
        yield running


@pytest.fixture(scope="module")
def disk(scratch):
    folder = scratch / "commands-disk"
    (folder / "deep").mkdir(parents=True)
    for name in ("file.jpg", "two.tif", "two.jpg", "deep/three.jpg", "mended.jpg"):
        draw(folder / name)
    (folder / "mended.tif").write_bytes(GARBAGE)
    (folder / "two.tif").write_bytes(GARBAGE)
    with open(os.fsencode(folder) + b"/" + BYTES, "wb") as f:
        f.write((folder / "file.jpg").read_bytes())
    return folder


def rules_of(origin, disk):
    url = f"http://127.0.0.1:{origin.port}/{{id}}"
    return [rule("web/", url=url, fallback=[".tif -> .jpg"]), rule("other/", url=url + "?x"),
            rule("files/", type="file", root=str(disk), fallback=[".tif -> .jpg"])]


@pytest.fixture(scope="module")
def shop(scratch, binary, origin, disk):
    with Shop(scratch / "commands", binary, rules_of(origin, disk), fetchers=1, workers=1) as running:
        yield running


@pytest.fixture
def bare(folder, binary, origin, disk):
    """A cache without a live stack, and with nothing in it."""
    return Shop(folder / "bare", binary, rules_of(origin, disk))


def target(identifier, rest="info.json"):
    return f"/iiif/3/{quote(os.fsencode(identifier), safe=str())}/{rest}"


def fill(shop, *identifiers, status=0):
    for identifier in identifiers:
        assert shop.run("get", target(identifier), check=False).returncode == status, identifier


def said(done, status=0):
    assert done.returncode == status, (done.stdout, done.stderr)
    return json.loads(done.stdout)


def rows(shop, *words):
    """By identifier: the JSON, and that the human form says the same."""
    found = said(shop.run("cache", "list", *words, "--json"))
    columns = ("identifier", "url", "verdict", "serves") if "--fallback" in words else \
        ("identifier", "url", "bytes", "fetched", "checked", "used", "verdict")
    lines = [line.split("\t") for line in shop.run("cache", "list", *words).stdout.splitlines()]
    assert lines == [["-" if row[c] is None else str(row[c]) for c in columns] for row in found]
    assert len({row["identifier"] for row in found}) == len(found), found
    return {row["identifier"]: row for row in found}


def answers_of(shop):
    """The paths in nginx's cache."""
    found = []
    for path in (shop.stack.folder / "cache").rglob("*"):
        key = re.search(rb"\nKEY: (.*)\n", path.read_bytes()[:65536]) if path.is_file() else None
        if key:
            found.append(key.group(1).decode().split(" ")[1])
    return sorted(found)


def owners(folder):
    return {pwd.getpwuid(p.stat().st_uid).pw_name for p in [folder, *folder.rglob("*")]}


def key_path(shop, identifier):
    """The file of an original in the cache."""
    for path in (shop.cache / "files-1").rglob("*"):
        if path.is_file() and b"\nidentifier=" + quote(identifier, safe="").encode() + b"\n" in path.read_bytes()[:4096]:
            return path
    raise AssertionError(identifier)


# --- init, stat ---

def test_init(folder, binary):
    (folder / "full").mkdir()
    (folder / "full/notes").write_text("mine")
    (folder / "new").mkdir()

    def init(where, *words, env=None):
        (folder / "c.conf").write_text(config_text([rule("", type="file", root="/srv")], cache={"folder": where} if where else {}))
        return subprocess.run([binary, "--config", folder / "c.conf", "cache", "init", *words], capture_output=True, text=True,
                              env={**os.environ, **(env or {})}, timeout=20)

    assert (init("").returncode, init("").stderr) == (1, "lorikeet: cache.folder: is not set\n")
    assert (init(folder / "full").returncode, "other things" in init(folder / "full").stderr) == (1, True)
    assert not (folder / "full/lorikeet-cache").exists()
    assert init(folder / "new", "--json").returncode == 2
    for _ in range(2):
        done = init(folder / "new")
        assert (done.returncode, done.stdout) == (0, f"{folder}/new is a cache\n")
        assert ("belongs to root" in done.stderr) == (os.geteuid() == 0)
    assert (folder / "new/lorikeet-cache").read_text() == "lorikeet cache 1\n"
    # Not made yet: what is above it counts.
    fake = pretend_nfs(folder, folder / "nfs")
    for where in ("nfs", "nfs/originals/deep"):
        done = init(folder / where, env={"LD_PRELOAD": str(fake)})
        assert done.returncode == 1 and "is on NFS: it must be on a local disk" in done.stderr, done.stderr
    assert not list((folder / "nfs").iterdir())
    (folder / "new/lorikeet-cache").write_text("lorikeet cache 77\n")
    assert (init(folder / "new").returncode, "another format" in init(folder / "new").stderr) == (1, True)


def pretend_nfs(folder, at):
    """A library in front of libc, for which a folder and all below it is on NFS."""
    at.mkdir(exist_ok=True)
    (folder / "nfs.c").write_text('''
        #define _GNU_SOURCE
        #include <dlfcn.h>
        #include <string.h>
        #include <sys/vfs.h>
        int statfs(const char *path, struct statfs *st)
        {
            int (*real)(const char *, struct statfs *) = (int (*)(const char *, struct statfs *))dlsym(RTLD_NEXT, "statfs");
            int r = real(path, st);
            if (r == 0 && strncmp(path, "%s", strlen("%s")) == 0)
                st->f_type = 0x6969;
            return r;
        }''' % (at, at))
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "nfs.so", folder / "nfs.c", "-ldl"], check=True)
    return folder / "nfs.so"


@pytest.mark.sanitize
def test_stat(bare):
    empty = said(bare.run("cache", "stat", "--json"))
    assert empty["usable"] and empty["why"] is None and empty["index"] == "index-1" and empty["folder"] == str(bare.cache)
    assert (empty["files"], empty["bytes"], empty["others"]) == (0, 0, 0)
    assert empty["max_bytes"] == 10 << 30 and 0 < empty["free_bytes"] < shutil.disk_usage(bare.cache).free * 1.1
    fill(bare, "web/a.jpg", "web/b.jpg")
    fill(bare, "web/nothing.jpg", status=1)
    filled = said(bare.run("cache", "stat", "--json"))
    assert (filled["files"], filled["bytes"], filled["others"]) == (2, bare.held(), 1) and bare.held() > 8192
    text = bare.run("cache", "stat").stdout
    assert f"folder: {bare.cache}\nusable: yes\nindex: index-1\n" in text and "files: 2\n" in text
    assert f"bytes: {bare.held()} of {10 << 30}\nwithout a file: 1\n" in text
    # The index is lost: it is made anew, slice by slice.
    for name in ("current", "index-1", "index-1-wal", "index-1-shm"):
        (bare.cache / name).unlink(missing_ok=True)
    begun = said(bare.run("cache", "stat", "--json"))
    assert (begun["files"], begun["slices"], begun["all_slices"]) == (0, 0, 256)
    assert "taken up: 0 of 256 slices, the index is being made\n" in bare.run("cache", "stat").stdout
    (bare.cache / "lorikeet-cache").unlink()
    gone = said(bare.run("cache", "stat", "--json", check=False), status=1)
    assert gone["usable"] is False and "no lorikeet-cache in it" in gone["why"] and gone["index"] is None
    assert bare.run("cache", "stat", check=False).stdout.splitlines()[1].startswith(f"usable: no: {bare.cache}: no lorikeet-cache")
    for words in (["list"], ["verify"], ["purge", "web/a.jpg"], ["purge", "--all"]):
        done = bare.run("cache", *words, check=False)
        assert done.returncode == 1 and "the cache cannot be used" in done.stderr, words


def test_wrong_words(bare):
    for words in ([], ["nonsense"], ["stat", "more"], ["list", "--damaged", "--fallback"], ["purge"], ["purge", "--prefix"],
                  ["purge", "--all", "x"], ["purge", "--prefix", "a", "--all"], ["purge", "--urls"], ["purge", "x", "--url"],
                  ["verify", "x"]):
        done = bare.run("cache", *words, check=False)
        assert done.returncode == 2 and done.stderr.startswith("usage: lorikeet cache "), words


@pytest.mark.skipif(os.geteuid() != 0, reason="nobody else can act as another user")
def test_root_leaves_nothing_of_its_own(bare):
    shutil.rmtree(bare.cache)
    bare.cache.mkdir()
    give_to_worker(bare.cache)
    assert as_root(bare, "cache", "init").stderr == ""
    for words in (["check"], ["cache", "stat"], ["get", target("web/a.jpg")], ["cache", "list"], ["cache", "purge", "web/b.jpg"],
                  ["cache", "verify"]):
        as_root(bare, *words)
        assert owners(bare.cache) == {WORKER_USER}, words
    assert said(as_root(bare, "cache", "stat", "--json"))["files"] == 1
    # While another holds the index open, its side files are there.
    with sqlite3.connect(bare.cache / "index-1") as held:
        held.execute("SELECT * FROM total").fetchall()
        os.chown(bare.cache / "index-1-wal", *bare_owner(bare))
        os.chown(bare.cache / "index-1-shm", *bare_owner(bare))
        as_root(bare, "cache", "purge", "web/a.jpg")
        assert owners(bare.cache) == {WORKER_USER}
    held.close()


def bare_owner(bare):
    s = bare.cache.stat()
    return s.st_uid, s.st_gid


@pytest.mark.skipif(os.geteuid() != 0, reason="nobody else can make another user's folder")
def test_a_temporary_folder_of_another_is_not_read(bare, origin):
    shutil.rmtree(bare.cache)
    temporary = bare.folder / "s/run/temporary"
    temporary.parent.mkdir(parents=True)
    give_to_worker(temporary.parent)
    draw(origin.memory.folder / "trap.jpg")
    fill(bare, "web/trap.jpg")
    origin.script("/trap.jpg", {"status": 404})
    fill(bare, "web/trap.jpg")
    for path in [temporary, *temporary.rglob("*")]:
        os.chown(path, 0, 0)
        path.chmod(0o755 if path.is_dir() else 0o666)
    fill(bare, "web/trap.jpg", status=1)


# --- list ---

@pytest.mark.sanitize
def test_list(bare, origin):
    before = datetime.now(timezone.utc).replace(microsecond=0)
    fill(bare, "web/list.jpg", "web/" + ODD)
    fill(bare, "web/nothing.jpg", status=1)
    found = rows(bare)
    assert set(found) == {"web/list.jpg", "web/" + ODD_SHOWN, "web/nothing.jpg"}
    row = found["web/list.jpg"]
    assert row["url"] == origin.url("/list.jpg") and row["verdict"] == "good"
    assert row["bytes"] == key_path(bare, "web/list.jpg").stat().st_size
    for name in ("fetched", "checked", "used"):
        at = datetime.strptime(row[name], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
        assert before <= at <= datetime.now(timezone.utc)
    missing = found["web/nothing.jpg"]
    assert (missing["bytes"], missing["fetched"], missing["verdict"]) == (0, None, "missing")
    assert found["web/" + ODD_SHOWN]["url"] == origin.url("/" + ODD)
    # What is printed can be given back.
    assert said(bare.run("cache", "purge", "web/" + ODD_SHOWN, "--json", check=False), status=1)["originals"] == 1
    assert set(rows(bare)) == {"web/list.jpg", "web/nothing.jpg"}


def test_a_thousand_rows(bare):
    """More than are read at once."""
    bare.run("cache", "stat")
    with sqlite3.connect(bare.cache / "index-1") as db:
        db.executemany("INSERT INTO original(key, url, identifier, verdict) VALUES(?, 'u', ?, 3)",
                       [(f"{i:032x}", f"{'odd' if i % 2 else 'even'}/{i}") for i in range(1000)])
        # No request can have made this one.
        db.execute("INSERT INTO original(key, url, identifier, verdict) "
                   "VALUES('f', 'u\t\x1b %41', cast(x'09fe0a0d1b5b33316d7f' AS TEXT), 1)")
    db.close()
    for name in os.listdir(bare.cache):
        give_to_worker(bare.cache / name)
    found = rows(bare)
    assert set(found) == {f"{'odd' if i % 2 else 'even'}/{i}" for i in range(1000)} | {"%09%FE%0A%0D%1B[31m%7F"}
    assert found["%09%FE%0A%0D%1B[31m%7F"]["url"] == "u%09%1B%20%41"
    assert said(bare.run("cache", "purge", "--prefix", "odd/", "--json", check=False), status=1)["originals"] == 500
    assert set(rows(bare, "--damaged")) == {f"even/{i}" for i in range(0, 1000, 2)}


@pytest.mark.sanitize
def test_damaged_and_fallback(bare, origin, disk):
    assert rows(bare, "--damaged") == rows(bare, "--fallback") == {}
    fill(bare, "web/bad.tif", "web/gone.tif", "web/both.tif", "web/pic.jpg", "files/two.tif", "files/mended.tif")
    fill(bare, "web/late.jpg", "other/bad.tif", status=1)
    damaged = rows(bare, "--damaged")
    assert {k: v["verdict"] for k, v in damaged.items()} == {
        "web/bad.tif": "damaged", "files/two.tif": "damaged", "files/mended.tif": "damaged", "web/late.jpg": "damaged"} | \
        {k: v["verdict"] for k, v in damaged.items() if k == "other/bad.tif"}
    assert damaged["web/bad.tif"]["url"] == origin.url("/bad.tif") and damaged["files/two.tif"]["url"] == "two.tif"
    instead = rows(bare, "--fallback")
    assert {k: (v["verdict"], v["url"], v["serves"]) for k, v in instead.items()} == {
        "web/bad.tif": ("damaged", origin.url("/bad.tif"), origin.url("/bad.jpg")),
        "web/gone.tif": ("missing", origin.url("/gone.tif"), origin.url("/gone.jpg")),
        "files/two.tif": ("damaged", "two.tif", "two.jpg"), "files/mended.tif": ("damaged", "mended.tif", "mended.jpg")}
    # Once mended, nothing is left to be done.
    draw(disk / "mended.tif")
    bare.run("cache", "purge", "web/gone.tif", check=False)
    assert "files/mended.tif" not in rows(bare, "--damaged") and "web/bad.tif" in rows(bare, "--damaged")
    assert set(rows(bare, "--fallback")) == {"web/bad.tif", "files/two.tif"}


def test_a_failing_origin_is_no_reason_for_a_fallback(bare, origin):
    fill(bare, "web/fresh.jpg")
    origin.script("/fresh.tif", {"status": 500})
    for _ in range(2):
        done = bare.run("get", target("web/fresh.tif"), check=False)
        assert "Status: 502" in done.stderr, done.stderr
    assert rows(bare, "--fallback") == {}


# --- purge ---

def get(shop, identifier, rest="full/40,/0/default.jpg"):
    reply = shop.get(target(identifier, rest))
    assert reply.status == 200, (reply.status, reply.body)
    return reply.header("ETag")


def test_purge_changes_all_etags_and_empties_nginx(shop, origin):
    kinds = ["info.json", "full/40,/0/default.jpg", "full/41,/0/gray.png"]
    before = {k: get(shop, "web/pic.jpg", k) for k in kinds}
    get(shop, "web/a.jpg")
    assert shop.get(target("web/pic.jpg;1", "info.json")).status == 200
    assert shop.get("/iiif/2/web%2Fpic.jpg/info.json").status == 200
    assert len(answers_of(shop)) >= 6 and before == {k: get(shop, "web/pic.jpg", k) for k in kinds}
    asked = origin.count("/pic.jpg")
    done = as_root(shop, "cache", "purge", "web%2Fpic.jpg")
    assert (done.returncode, done.stdout) == (0, "purged: 1 originals, 5 answers of nginx's cache\n"), done.stderr
    assert not [p for p in answers_of(shop) if "pic.jpg" in p] and [p for p in answers_of(shop) if "a.jpg" in p]
    after = {k: get(shop, "web/pic.jpg", k) for k in kinds}
    assert not set(after.values()) & set(before.values()) and origin.count("/pic.jpg") == asked + 1
    # A client's copy of the old is not confirmed.
    assert shop.get(target("web/pic.jpg", kinds[1]), If_None_Match=before[kinds[1]]).status == 200
    assert shop.get(target("web/pic.jpg", kinds[1]), If_None_Match=after[kinds[1]]).status == 304
    # Twice within a second, too.
    as_root(shop, "cache", "purge", "web/pic.jpg")
    assert get(shop, "web/pic.jpg", kinds[1]) not in (before[kinds[1]], after[kinds[1]])


def test_purge_of_what_is_just_coming(bare, origin):
    path = origin.memory.folder / "slow.jpg"
    draw(path, 96)
    origin.script("/slow.jpg", [{"drip": path.stat().st_size // 2}, {}])
    done = []
    coming = threading.Thread(target=lambda: done.append(bare.run("get", target("other/slow.jpg"))))
    coming.start()
    wait_for("the first bytes", 5, lambda: bare.held() > 4096)
    draw(path, 200)
    bare.run("cache", "purge", "other/slow.jpg", check=False)
    coming.join()
    assert json.loads(done[0].stdout)["width"] == 200 and origin.count("/slow.jpg") == 2


@pytest.mark.sanitize
def test_purge_of_files(shop):
    odd = "files/" + os.fsdecode(BYTES)
    old = {i: get(shop, i) for i in ("files/file.jpg", "files/two.tif", odd)}
    shown = "files/caf%E9%20.jpg"
    result = said(as_root(shop, "cache", "purge", "--json", "--urls", "files/file.jpg", shown))
    port = shop.stack.port
    assert sorted(result["urls"]) == sorted(
        f"http://127.0.0.1:{port}" + target(i, "full/40,/0/default.jpg") for i in ("files/file.jpg", odd))
    assert result["originals"] == 2 and result["answers"] == 2
    new = {i: get(shop, i) for i in old}
    assert {i: new[i] != old[i] for i in old} == {odd: True, "files/file.jpg": True, "files/two.tif": False}
    # All candidates of an identifier.
    done = as_root(shop, "cache", "purge", "files/two.tif", "--urls")
    assert done.stdout == f"http://127.0.0.1:{port}{target('files/two.tif', 'full/40,/0/default.jpg')}\n"
    assert done.stderr == "purged: 2 originals, 1 answers of nginx's cache\n"
    assert get(shop, "files/two.tif") != new["files/two.tif"]


@pytest.mark.sanitize
def test_purge_of_a_prefix_and_of_all(shop):
    for identifier in ("web/a.jpg", "web/b.jpg", "other/c.jpg", "files/deep/three.jpg"):
        get(shop, identifier)
    assert as_root(shop, "cache", "purge", "--prefix", "web%2").returncode == 0
    held = set(rows(shop))
    assert said(as_root(shop, "cache", "purge", "--prefix", "web/a", "--json"))["answers"] >= 1
    assert "web/a.jpg" not in rows(shop) and set(rows(shop)) == held - {"web/a.jpg"}
    assert said(as_root(shop, "cache", "purge", "--prefix", "web/", "--json"))["originals"] >= 2
    left = answers_of(shop)
    assert not [p for p in left if "/web%2F" in p] and [p for p in left if "/other%2F" in p] and [p for p in left if "three" in p]
    assert "other/c.jpg" in rows(shop) and "web/b.jpg" not in rows(shop)
    assert said(as_root(shop, "cache", "purge", "--all", "--json"))["answers"] == len(left)
    assert answers_of(shop) == [] and rows(shop) == {} and said(shop.run("cache", "stat", "--json"))["files"] == 0
    get(shop, "other/c.jpg")
    get(shop, "web/b.jpg")


def test_purge_without_a_rule_and_without_the_right(shop):
    done = as_root(shop, "cache", "purge", "nobody/x.jpg", "web/b.jpg")
    assert done.returncode == 1 and "nobody/x.jpg: no rule" in done.stderr and "purged: 1 originals" in done.stdout
    get(shop, "web/b.jpg")
    assert "web/b.jpg" in rows(shop)
    if os.geteuid() == 0:
        done = shop.run("cache", "purge", "web/b.jpg", check=False)
        assert done.returncode == 1 and "Permission denied (it belongs to nginx's user: run this as root)" in done.stderr
        assert "web/b.jpg" not in rows(shop) and [p for p in answers_of(shop) if "b.jpg" in p]


def test_purge_leaves_what_is_not_nginxs(bare):
    cache = bare.folder / "s/cache"
    mine = [cache / "a/bc" / ("d" * 32), cache / "notes/bc" / ("d" * 32), cache / "a/bc/notes",
            cache / "a/bc" / ("e" * 32 + ".0000000001")]
    yours = cache / "b/cd" / ("f" * 32)
    for path in [*mine, yours]:
        path.parent.mkdir(parents=True, exist_ok=True)
        key = "http://h /iiif/3/x.jpg/info.json " if path == yours or path != mine[0] else "no key"
        path.write_bytes(bytes(300) + b"\nKEY: " + key.encode() + b"\nbody")
    # The line may lie behind the first block.
    far = cache / "b/cd" / ("0" * 32)
    far.write_bytes(bytes(4090) + b"\nKEY: http://h /iiif/3/far.jpg/info.json \nbody")
    (cache / "b/cd" / ("1" * 32)).symlink_to(mine[1])
    (cache / "c").symlink_to(cache / "notes")
    (cache / "d").write_text("no folder")
    done = as_root(bare, "cache", "purge", "--all", "--urls")
    urls = ["http://h/iiif/3/far.jpg/info.json", "http://h/iiif/3/x.jpg/info.json"]
    assert done.returncode == 0 and sorted(done.stdout.split()) == urls
    assert all(p.exists() for p in mine) and not yours.exists() and not far.exists()


def test_purge_without_a_cache(folder, binary, disk):
    """Files only: the answers go, and it is said that ETags stay."""
    none = {"nginx_folder": "", "temporary": ""}
    (folder / "c.conf").write_text(config_text([rule("", type="file", root=str(disk))], cache=none))
    done = subprocess.run([binary, "--config", folder / "c.conf", "cache", "purge", "file.jpg"], capture_output=True,
                          text=True, timeout=20)
    assert done.returncode == 0 and "cache.folder is not set: ETags stay as they are" in done.stderr
    assert done.stdout == "purged: 1 originals, 0 answers of nginx's cache\n"


# --- verify ---

@pytest.mark.sanitize
def test_verify(bare):
    fill(bare, "web/a.jpg", "web/b.jpg", "web/c.jpg", "web/pic.jpg")
    sound = said(bare.run("cache", "verify", "--json"))
    assert sound == {"findings": [], "files": 4, "bytes": bare.held(), "damaged": 0, "adopted": 0, "gone": 0}
    rotten, gone, short = key_path(bare, "web/a.jpg"), key_path(bare, "web/b.jpg"), key_path(bare, "web/pic.jpg")
    bits = bytearray(rotten.read_bytes())
    bits[-9] ^= 1
    rotten.write_bytes(bits)
    short.write_bytes(short.read_bytes()[:-1])
    gone.unlink()
    done = bare.run("cache", "verify", check=False)
    assert done.returncode == 1 and set(done.stdout.splitlines()) == {
        f"{rotten.name}: is not what was fetched", f"{short.name}: has no header that fits its length",
        f"{gone.name}: is in the index, but has no file", "files: 3", f"bytes: {bare.held()}", "damaged: 2", "adopted: 0", "gone: 1"}
    assert not rotten.exists() and not short.exists()
    assert said(bare.run("cache", "stat", "--json"))["files"] == 1
    for name in ("current", "index-1", "index-1-wal", "index-1-shm"):
        (bare.cache / name).unlink(missing_ok=True)
    found = said(bare.run("cache", "verify", "--json"))
    assert found["findings"] == [{"key": key_path(bare, "web/c.jpg").name, "what": "was not in the index"}]
    assert found["adopted"] == 1
    assert set(rows(bare)) == {"web/c.jpg"}
    assert bare.run("cache", "verify").stdout.startswith("files: 1\n")


def test_verify_beside_writers(bare):
    """A row can be forgotten although others write meanwhile."""
    bare.run("cache", "stat")
    with sqlite3.connect(bare.cache / "index-1") as db:
        db.executemany("INSERT INTO original(key, bytes) VALUES(?, 5000)", [(f"{i:032x}",) for i in range(600)])
    for name in os.listdir(bare.cache):
        give_to_worker(bare.cache / name)
    ended, writes = threading.Event(), []

    def write():
        other = sqlite3.connect(bare.cache / "index-1", timeout=5)
        while not ended.wait(0.0005):
            with other:
                other.execute("UPDATE total SET slice = slice")
            writes.append(1)
        other.close()

    writer = threading.Thread(target=write)
    writer.start()
    found = said(bare.run("cache", "verify", "--json"))
    ended.set()
    writer.join()
    db.close()
    assert found["gone"] == 600 and len(writes) > 3
    assert said(bare.run("cache", "stat", "--json"))["bytes"] == 0


# --- check ---

def test_check(folder, binary):
    (folder / "root/inside").mkdir(parents=True)
    (folder / "cache").mkdir()
    (folder / "link").symlink_to(folder / "root/inside")
    root = rule("files/", type="file", root=str(folder / "root"))

    def check(cache, rules=(root,), env=None):
        (folder / "c.conf").write_text(config_text(rules, cache={"temporary": "", **cache}))
        done = subprocess.run([binary, "--config", folder / "c.conf", "check"], capture_output=True, text=True, timeout=20,
                              env={**os.environ, **(env or {})})
        assert ("is valid" in done.stdout) == (done.returncode == 0)
        return done.returncode, done.stderr

    assert check({}) == (0, "")
    for where in ("root", "root/inside", "link", "root/not/there/yet", "link/new", "root/../root"):
        for option in ("folder", "temporary"):
            status, text = check({option: folder / where})
            assert status == 1, where
            assert f"cache.{option} {folder / where} and rules.0: root {folder}/root must not lie in each other" in text
    assert check({"folder": str(folder)})[0] == check({"temporary": "/"})[0] == 1
    assert check({"folder": folder / "root-2"})[0] == 0
    assert "cache.temporary" in check({"folder": folder / "cache", "temporary": folder / "cache/t"})[1]
    status, text = check({"folder": folder / "cache"})
    assert status == 0 and "warning: cache.folder: " in text and "no lorikeet-cache in it" in text
    subprocess.run([binary, "--config", folder / "c.conf", "cache", "init"], capture_output=True, check=True, timeout=20)
    assert check({"folder": folder / "cache"}) == (0, "")
    fake = {"LD_PRELOAD": str(pretend_nfs(folder, folder / "nfs"))}
    assert check({"folder": folder / "nfs/new"}, env=fake) == (
        1, f"lorikeet: cache.folder {folder}/nfs/new is on NFS: it must be on a local disk\n")
    assert check({"folder": folder / "cache"}, env=fake) == (0, "")
    for other in (rule("", url="http://127.0.0.1/{id}"), rule("", type="s3", bucket="b", anonymous=True)):
        assert check({}, [root, other]) == (
            0, "lorikeet: warning: rules.1: originals come over the network, but cache.folder is not set\n")
        assert check({"folder": folder / "cache"}, [root, other]) == (0, "")
