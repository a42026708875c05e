# SPDX-License-Identifier: BSD-2-Clause
"""The real worker behind the shipped nginx-sample.conf: what only both together can get right."""
import json
import os
import shutil
import subprocess
import time

import numpy as np
import pytest
from bench import in_parallel, sample
from PIL import Image
from stack import Stack, wait_for
from web import Client


@pytest.fixture(scope="module")
def real(scratch, binary):
    folder = scratch / "real"
    (folder / "images").mkdir(parents=True)
    Image.new("RGB", (900, 700), (200, 30, 30)).save(folder / "images" / "red.jpg", quality=90)
    Image.new("RGB", (640, 480), (30, 30, 200)).save(folder / "blue.jpg", quality=90)
    (folder / "lorikeet.conf").write_text(
        f'rules = ( {{ prefix = "slow/"; type = "file"; root = "{folder}/images"; revalidate_after = 3; }},\n'
        f'          {{ prefix = ""; type = "file"; root = "{folder}/images"; revalidate_after = 1; }} );\n')
    with Stack(folder / "s", binary, folder / "lorikeet.conf", workers=1) as stack:
        stack.images, stack.spare = folder / "images", folder
        stack.client = Client(stack.port)
        yield stack


def verdicts(stack, uri, n):
    """What nginx's cache said of n requests: it writes its log when the client has its answer."""
    def found():
        return [line.split("cache=")[1].split()[0] for line in stack.log("nginx-access.log").splitlines() if uri in line]
    wait_for("nginx's log", 5, lambda: len(found()) >= n)
    return found()


@pytest.mark.sanitize
def test_conditional_requests(real):
    uri = "/iiif/3/red.jpg/full/300,/0/default.jpg"
    full = real.client.ask(uri)
    etag, date = full.header("ETag"), full.header("Last-Modified")
    assert full.status == 200 and etag.startswith('"') and len(full.header("Content-Length")) > 2
    for _ in range(2):
        for headers in ({"If_None_Match": etag}, {"If_None_Match": "W/" + etag}, {"If_Modified_Since": date}):
            reply = real.client.ask(uri, **headers)
            assert (reply.status, reply.body) == (304, b""), headers
            assert reply.header("Access-Control-Allow-Origin") == "*"
        assert real.client.ask(uri, If_None_Match='"other"').body == full.body
        assert real.client.ask(uri).body == full.body
        time.sleep(1.1)


@pytest.mark.sanitize
def test_head_then_get(real):
    uri = "/iiif/2/red.jpg/full/200,/0/default.jpg"
    head = real.client.ask(uri, "HEAD")
    assert (head.status, head.body, head.header("Content-Type")) == (200, b"", "image/jpeg")
    full = real.client.ask(uri)
    assert full.picture.size == (200, 156) and full.header("ETag") == head.header("ETag")
    assert real.client.ask(uri, "HEAD").header("ETag") == head.header("ETag")


def test_cached_answers_are_the_same(real):
    uri = "/iiif/3/red.jpg/0,0,300,300/150,/0/default.png"
    first, second = real.client.ask(uri), real.client.ask(uri + "?x=1")
    assert first.body == second.body and verdicts(real, uri, 2) == ["MISS", "HIT"]
    hidden = {"date", "connection", "keep-alive"}
    assert {k: v for k, v in first.headers if k.lower() not in hidden} == \
           {k: v for k, v in second.headers if k.lower() not in hidden}


def test_ids_are_the_hosts_own(real):
    for host in ("localhost", "localhost:81", "127.0.0.1", "localhost"):
        info = json.loads(real.client.ask("/iiif/3/red.jpg/info.json", Host=host).body)
        assert info["id"] == f"http://{host}/iiif/3/red.jpg"
    info = json.loads(real.client.ask("/iiif/2/red.jpg/info.json", X_Forwarded_Proto="https",
                                      X_Forwarded_Host="iiif.example.org").body)
    assert info["@id"] == "https://iiif.example.org/iiif/2/red.jpg"


def test_a_replaced_original_is_seen(real):
    uri = "/iiif/3/change.jpg/full/100,/0/default.jpg"
    path = real.images / "change.jpg"
    shutil.copy(real.images / "red.jpg", path)
    os.utime(path, (1e9, 1e9))
    red = real.client.ask(uri)
    time.sleep(2.1)
    assert real.client.ask(uri).body == red.body
    shutil.copy(real.spare / "blue.jpg", path)
    end = time.monotonic() + 8
    while (reply := real.client.ask(uri)).body == red.body and time.monotonic() < end:
        time.sleep(0.2)
    assert reply.picture.size == (100, 75) and reply.header("ETag") != red.header("ETag")


@pytest.mark.sanitize
def test_a_crowd_after_a_replacement_runs_once(real):
    """Many clients have waited for the entry to age: one asks anew, the others get the old answer meanwhile."""
    # nginx counts in whole seconds: the entry is stale from 4 s after its answer at the latest to 6 s at the earliest.
    uri = "/iiif/3/slow%2Fcrowd.jpg/full/max/0/default.png"
    path = real.images / "crowd.jpg"
    shutil.copy(real.images / "red.jpg", path)
    os.utime(path, (1e9, 1e9))
    red = real.client.ask(uri)
    shutil.copy(real.spare / "blue.jpg", path)
    time.sleep(4.1)
    replies = in_parallel(50, lambda i: real.client.ask(uri))
    assert {r.status for r in replies} == {200}
    assert sum(r.body == red.body for r in replies) > 0
    time.sleep(1)
    assert real.client.ask(uri).picture.size == (640, 480)
    runs = [line for group in "ab" for line in real.log(f"lorikeet-{group}.log").splitlines() if uri in line]
    assert len(runs) == 2, runs


def test_a_missing_image_that_appears(real):
    uri = "/iiif/3/late.jpg/full/100,/0/default.jpg"
    missing = real.client.ask(uri)
    assert (missing.status, missing.header("Cache-Control")) == (404, "max-age=1")
    shutil.copy(real.images / "red.jpg", real.images / "late.jpg")
    time.sleep(2.1)
    assert real.client.ask(uri).status == 200


@pytest.mark.sanitize
def test_fifty_cold_requests_run_once(real):
    uri = "/iiif/3/red.jpg/full/max/90/gray.png"
    replies = in_parallel(50, lambda i: real.client.ask(uri))
    assert {(r.status, r.body) for r in replies} == {(200, replies[0].body)}
    assert real.log("lorikeet-a.log").count(uri) + real.log("lorikeet-b.log").count(uri) == 1


def test_a_tile_of_a_large_pyramid_takes_little_memory(folder, binary):
    (folder / "images").mkdir()
    noise = np.random.default_rng(1).integers(0, 255, (109, 154, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((12288, 8704)).save(folder / "large.jpg", quality=85)
    subprocess.run([binary, "pyramid", folder / "large.jpg", folder / "images" / "large.tif"], check=True, timeout=120)
    (folder / "images" / "large.tif").chmod(0o644)
    (folder / "lorikeet.conf").write_text(f'rules = ( {{ prefix = ""; type = "file"; root = "{folder}/images"; }} );\n')
    with Stack(folder / "s", binary, folder / "lorikeet.conf", workers=1) as stack:
        client = Client(stack.port)

        def resident():
            from test_pool import resident_kb
            return max(resident_kb(pid) for pid in stack.worker_pids())
        before = resident()
        for x in range(0, 12288, 2048):
            reply = client.ask(f"/iiif/3/large.tif/{x},1024,512,512/512,512/0/default.jpg")
            assert reply.picture.size == (512, 512)
            reply = client.ask(f"/iiif/3/large.tif/{x},0,2048,2048/512,512/0/default.jpg")
            assert reply.picture.size == (512, 512)
        assert resident() - before < 40000


def test_a_web_server_that_would_keep_connections(scratch, binary):
    """Each is ended with its request: else the next one on it would not be heard."""
    folder = scratch / "kept"
    (folder / "images").mkdir(parents=True)
    Image.new("RGB", (90, 70), (200, 30, 30)).save(folder / "images" / "red.jpg")
    (folder / "lorikeet.conf").write_text(f'rules = ( {{ prefix = ""; root = "{folder}/images"; }} );\n')
    changes = {"fastcgi_keep_conn off;": "fastcgi_keep_conn on;", "upstream lorikeet {": "upstream lorikeet { keepalive 4;",
               "fastcgi_cache lorikeet;": "fastcgi_cache off;"}
    with Stack(folder / "s", binary, folder / "lorikeet.conf", workers=1, nginx_conf=sample(folder, changes)) as stack:
        client = Client(stack.port)
        start = time.monotonic()
        for width in range(20, 60):
            assert client.ask(f"/iiif/3/red.jpg/full/{width},/0/default.jpg").status == 200
        assert time.monotonic() - start < 10
