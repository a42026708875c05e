# SPDX-License-Identifier: BSD-2-Clause
"""A stand-in for a CDN: what README's chapter "Behind a CDN" promises."""
import gzip
import itertools
import os
import time

import pytest
from front import Front
from PIL import Image
from shop import Shop, as_root, rule
from stack import wait_for

# As CloudFront does with the settings of README's chapter: TLS ends there, X-Forwarded-Proto goes, Host is the origin's, Via
# comes; Accept-Encoding becomes gzip or nothing; Accept and the query are forwarded, and are part of the key, only as told.
# What is kept, for how long, is what the answers say, also when the origin fails.
CDN = """
    proxy_cache_path {folder}/cache levels=1 keys_zone=cdn:1m use_temp_path=off;
    map $http_accept_encoding $packing {{ default ""; "~gzip" gzip; }}
    map $request_uri $asked {{ "~^(?<path>[^?]*)" $path; }}
    map $asked $accept {{ default ""; "~/info\\.json$" $http_accept; }}
    map $args $query {{ default ""; "~^download" ?download; }}
    server {{
        listen {{listen}};
        location / {{
            proxy_pass http://127.0.0.1:{port}$asked$query;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host localhost:{port};
            proxy_set_header Via "1.1 0123456789abcdef.cloudfront.net (CloudFront)";
            proxy_set_header X-Amz-Cf-Id abc;
            proxy_set_header X-Forwarded-Proto "";
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header Accept-Encoding $packing;
            proxy_set_header Accept $accept;
            proxy_set_header Cookie "";
            proxy_connect_timeout 1s;
            proxy_cache cdn;
            proxy_cache_key "$asked$query $packing $accept";
            proxy_cache_revalidate on;
            proxy_cache_background_update on;
            proxy_ignore_headers Vary;
            add_header X-Cache $upstream_cache_status always;
        }}
    }}
"""
MARKS = itertools.count()
IMAGE = "full/60,/0/default.jpg"


class Edge(Front):
    def invalidate(self, urls):
        """By path, with all that is kept of it, as CDNs do."""
        paths = ["/" + url.split("/", 3)[3] for url in urls]
        gone = 0
        for file in (self.folder / "cache").rglob("*"):
            if file.is_file() and any(b"\nKEY: " + p.encode() + b" " in file.read_bytes() for p in paths):
                file.unlink()
                gone += 1
        return gone


def target(identifier, rest=IMAGE, version=3):
    return f"/iiif/{version}/{identifier.replace('/', '%2F')}/{rest}"


def draw(path, red):
    """In whole seconds of its own, so that each is another state."""
    fresh = path.with_suffix(".new")
    Image.new("RGB", (300, 200), (red, 90, 40)).save(fresh, "JPEG")
    os.utime(fresh, (1e9 + red, 1e9 + red))
    fresh.rename(path)


def red(reply):
    return int(reply.pixels[30, 30, 0])


@pytest.fixture(scope="module")
def disk(scratch):
    folder = scratch / "cdn-pictures"
    folder.mkdir()
    for name in ("a", "b", "c", "d", "e", "f", "g"):
        draw(folder / f"{name}.jpg", 100)
    return folder


def rules_of(disk):
    brief = {"type": "file", "root": str(disk), "cache_images": 1, "cache_info": 1, "revalidate_after": 1}
    return [rule("brief/", **brief, stale_if_error=600), rule("strict/", **brief, stale_if_error=0),
            rule("year/", type="file", root=str(disk), immutable=True), rule("", type="file", root=str(disk))]


@pytest.fixture(scope="module")
def shop(scratch, binary, disk):
    with Shop(scratch / "cdn-shop", binary, rules_of(disk), workers=1, cache={"tag_header": "Cache-Tag"},
              server={"base_uri": "https://iiif.example.org"}) as running:
        yield running


@pytest.fixture(scope="module")
def cdn(scratch, shop):
    with Front(scratch / "cdn", CDN.replace("{folder}", "{{folder}}").format(port=shop.stack.port)) as running:
        running.__class__ = Edge
        yield running


def reached(shop, uri):
    """The statuses of what came to our own nginx. It writes its log a moment after each answer, in order."""
    mark = f"/mark/{next(MARKS)}"
    shop.get(mark)
    wait_for("nginx's log", 5, lambda: f" {mark} " in shop.stack.log("nginx-access.log"))
    lines = [line for line in shop.stack.log("nginx-access.log").splitlines() if f" {uri} " in line]
    return [int(line.split('" ')[1].split()[0]) for line in lines]


def test_the_second_request_does_not_reach_us(cdn, shop):
    accepts = ["*/*", "image/avif,image/webp,*/*", "image/png"]
    for uri in (target("a.jpg"), target("a.jpg", version=2), target("year/a.jpg")):
        replies = [cdn.get(uri, Accept=accept) for accept in accepts]
        assert {(r.status, r.body, r.header("ETag")) for r in replies} == {(200, replies[0].body, replies[0].header("ETag"))}
        assert replies[0].header("Vary") is None and replies[0].header("Access-Control-Allow-Origin") == "*"
        assert [r.header("X-Cache") for r in replies] == ["MISS", "HIT", "HIT"] and len(reached(shop, uri)) == 1
    assert cdn.get(target("a.jpg")).header("Cache-Control") == \
        "public, max-age=86400, stale-while-revalidate=60, stale-if-error=604800"
    assert cdn.get(target("year/a.jpg")).header("Cache-Control") == "public, max-age=31536000, immutable"


def test_ids_are_the_published_ones(cdn):
    assert cdn.get(target("a.jpg", "info.json")).json["id"] == "https://iiif.example.org/iiif/3/a.jpg"
    assert cdn.get(target("a.jpg", "info.json", 2)).json["@id"] == "https://iiif.example.org/iiif/2/a.jpg"
    assert cdn.get(target("a.jpg")).canonical == "https://iiif.example.org" + target("a.jpg", "full/60,40/0/default.jpg")


def test_info_json_is_negotiated_where_accept_is_forwarded(cdn, shop):
    json, ld = "application/json", "application/ld+json"
    profile = ld + ';profile="http://iiif.io/api/image/3/context.json"'
    for version, plain in ((2, json), (3, profile)):
        uri = target("b.jpg", "info.json", version)
        for _ in range(2):
            for accept, kind in ((None, plain), (json, json), (ld, profile if version == 3 else ld)):
                reply = cdn.get(uri, **({"Accept": accept} if accept else {}))
                assert (reply.status, reply.header("Content-Type")) == (200, kind)
                assert "Accept" in reply.header("Vary").split(", ")
        assert len(reached(shop, uri)) == 3


def test_json_arrives_packed_and_unpacked(cdn, shop):
    uri = target("c.jpg", "info.json")
    for accepted in ("gzip, deflate, br", "br;q=1.0, gzip;q=0.8", "gzip"):
        packed = cdn.get(uri, Accept_Encoding=accepted)
        assert packed.header("Content-Encoding") == "gzip" and "Accept-Encoding" in packed.header("Vary")
    for _ in range(2):
        plain = cdn.get(uri)
        assert plain.header("Content-Encoding") is None and "Accept-Encoding" in plain.header("Vary")
        assert gzip.decompress(packed.body) == plain.body
    assert len(reached(shop, uri)) == 2
    image = cdn.get(target("c.jpg"), Accept_Encoding="gzip")
    assert image.header("Content-Encoding") is None and image.picture.size == (60, 40)


def test_download_is_kept_apart(cdn, shop):
    for _ in range(2):
        assert cdn.get(target("d.jpg") + "?download").header("Content-Disposition").startswith("attachment")
        assert cdn.get(target("d.jpg")).header("Content-Disposition").startswith("inline")
        assert cdn.get(target("d.jpg") + "?utm_source=x").header("X-Cache") == "HIT"


def test_the_identifier_is_named_for_the_purge(cdn):
    for rest in (IMAGE, "info.json"):
        assert cdn.get(target("brief/a.jpg", rest)).header("Cache-Tag") == "brief%2Fa.jpg"


def test_preflights_pass(cdn):
    reply = cdn.get(target("a.jpg", "info.json"), "OPTIONS", Origin="https://viewer.example",
                    Access_Control_Request_Method="GET")
    assert reply.status == 204 and reply.header("Access-Control-Allow-Origin") == "*"


def test_what_has_aged_is_asked_after_by_its_tag(cdn, shop):
    uri = target("brief/a.jpg")
    first = cdn.get(uri)
    wait_for("a 304", 10, lambda: cdn.get(uri).body == first.body and 304 in reached(shop, uri))
    assert reached(shop, uri).count(200) == 1


def test_a_new_picture_is_seen_when_the_old_has_aged(cdn, disk):
    uri = target("brief/b.jpg")
    assert abs(red(cdn.get(uri)) - 100) < 5
    draw(disk / "b.jpg", 200)
    wait_for("the new one", 12, lambda: red(cdn.get(uri)) > 190)


def broken(path):
    path.write_bytes(b"\xff\xd8\xff\xe0 no picture")


ERRORS = [("none", lambda path: None, 404), ("damaged", broken, 500), ("text", lambda path: path.write_text("no picture"), 501)]


@pytest.mark.parametrize("name, make, status", ERRORS)
def test_errors_are_not_kept_long(cdn, disk, name, make, status):
    make(disk / f"{name}.jpg")
    for rest in (IMAGE, "info.json"):
        reply = cdn.get(target(f"{name}.jpg", rest))
        assert (reply.status, reply.header("Cache-Control")) == (status, "max-age=1")
        assert reply.header("Access-Control-Allow-Origin") == "*"
    draw(disk / f"{name}.jpg", 50)
    for rest in (IMAGE, "info.json"):
        wait_for(f"an end of {status}", 6, lambda: cdn.get(target(f"{name}.jpg", rest)).status == 200)


def test_purge_by_urls_clears(cdn, shop, disk):
    kinds = [IMAGE, "full/61,/0/gray.png", "info.json"]
    old = {(k, v): cdn.get(target("year/e.jpg", k, v), Accept_Encoding="gzip") for k in kinds for v in (2, 3)}
    assert {r.status for r in old.values()} == {200}
    other = cdn.get(target("year/f.jpg"))
    draw(disk / "e.jpg", 200)
    assert red(cdn.get(target("year/e.jpg"))) < 110
    done = as_root(shop, "cache", "purge", "--urls", "year/e.jpg")
    assert done.returncode == 0, done.stderr
    urls = done.stdout.split()
    assert len(urls) == 6 and all(url.startswith(f"http://localhost:{shop.stack.port}/iiif/") for url in urls)
    assert cdn.invalidate(urls) >= 6
    for (kind, version), before in old.items():
        after = cdn.get(target("year/e.jpg", kind, version), Accept_Encoding="gzip")
        assert after.status == 200 and after.header("ETag") != before.header("ETag")
    assert red(cdn.get(target("year/e.jpg"))) > 190
    assert cdn.get(target("year/f.jpg")).header("ETag") == other.header("ETag") and len(reached(shop, target("year/f.jpg"))) == 1


def test_while_we_are_down_what_was_promised_is_served(scratch, binary, disk):
    """A shop of its own, as it is ended."""
    uris = [target(f"{shelf}/g.jpg", rest) for shelf in ("brief", "strict", "year") for rest in (IMAGE, "info.json")]
    with Shop(scratch / "cdn-down", binary, rules_of(disk), workers=1) as shop, \
            Front(scratch / "cdn-of-down", CDN.replace("{folder}", "{{folder}}").format(port=shop.stack.port)) as cdn:
        live = {uri: cdn.get(uri) for uri in uris}
        assert {r.status for r in live.values()} == {200}
        shop.stack.stop()
        # Two seconds of freshness and of stale-while-revalidate, in whole ones.
        time.sleep(4.2)
        for _ in range(2):
            for uri in uris:
                reply = cdn.get(uri)
                if "strict" in uri:
                    assert reply.status == 502, uri
                else:
                    assert (reply.status, reply.body, reply.header("ETag")) == (200, live[uri].body, live[uri].header("ETag"))
