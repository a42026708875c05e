# SPDX-License-Identifier: BSD-2-Clause
"""The 122 worked examples of the digest, through nginx, in both versions."""
import json

import pytest

from conftest import identifier
from worked import IMAGES, ROWS
from harness import LEVEL, VERSIONS, Client, boot, check_board, config_text
from exact import answer

def cases():
    for n, letter, path, three, two in ROWS:
        for version, want in ((3, three), (2, two)):
            yield pytest.param(version, letter, path, want, id=f"{n}-v{version}")


@pytest.mark.parametrize("version,letter,path,want", cases())
def test_example(server, version, letter, path, want):
    base = f"/iiif/{version}/{identifier(letter)}"
    reply = server.get(f"{base}/{path}")
    assert reply["Access-Control-Allow-Origin"] == "*"
    if isinstance(want, int):
        assert reply.status == want
        return
    canonical, w, h = want
    assert reply.status == 200, reply.body[:200]
    assert reply["Link"] == (f'<{server.url}{base}/{canonical}>;rel="canonical", '
                             f'<{LEVEL[version]}>;rel="profile"')
    picture = reply.picture()
    assert picture.format == {"jpg": "JPEG", "png": "PNG"}[path[-3:]]
    if isinstance(w, int):
        assert picture.size == (w, h)
    else:
        assert abs(picture.width - w) <= 1 and abs(picture.height - h) <= 1
        return
    image, limits = IMAGES[letter]
    check_board(picture, answer(version, image, limits, path), image)


@pytest.mark.parametrize("version", VERSIONS)
class TestPaths:
    """Examples 110 to 122."""

    def test_110_base_uri(self, server, version):
        for path in (f"/iiif/{version}/a", f"/iiif/{version}/a/"):
            reply = server.get(path)
            assert reply.status == 303
            assert reply["Location"] == f"{server.url}/iiif/{version}/a/info.json"
            assert reply["Access-Control-Allow-Origin"] == "*"

    def test_111_112_media_type(self, server, version):
        reply = server.get(f"/iiif/{version}/a/info.json", Accept="application/json")
        assert (reply.status, reply.type) == (200, "application/json")
        reply = server.get(f"/iiif/{version}/a/info.json")
        assert (reply.status, reply.type) == (200, {
            2: "application/json",
            3: 'application/ld+json;profile="http://iiif.io/api/image/3/context.json"'}[version])

    def test_113_preflight(self, server, version):
        reply = server.ask(f"/iiif/{version}/a/info.json", "OPTIONS",
                           {"Access-Control-Request-Method": "GET", "Origin": "http://example.com"})
        assert reply.status in (200, 204)
        assert reply["Access-Control-Allow-Origin"] == "*"
        assert "GET" in [m.strip() for m in reply["Access-Control-Allow-Methods"].split(",")]

    def test_114_head(self, server, version):
        size = {2: "full", 3: "max"}[version]
        path = f"/iiif/{version}/a/full/{size}/0/default.jpg"
        head, get = server.head(path), server.get(path)
        assert head.status == 200 and head.body == b""
        for name in ("Content-Type", "Link", "ETag", "Last-Modified", "Cache-Control",
                     "Content-Disposition", "Access-Control-Allow-Origin"):
            assert head[name] == get[name] and head[name], name

    def test_115_unknown(self, server, version):
        for rest in ("full/max/0/default.jpg", "info.json"):
            assert server.get(f"/iiif/{version}/nosuch/{rest}").status == 404

    def test_116_unescaped_slash(self, server, version):
        assert server.get(f"/iiif/{version}/a/b/full/max/0/default.jpg").status == 404

    @pytest.mark.parametrize("rest", ["%61/full/max/0/default.jpg", "a/full/pct%3A50/0/default.jpg",
                                      "a/full/600%2C/0/default%2Ejpg"])
    def test_117_needless_escapes(self, server, version, rest):
        assert server.get(f"/iiif/{version}/{rest}").status == 200

    def test_121_122_links(self, server, version):
        sizes = {3: ("600,", "600,400"), 2: ("600,400", "600,")}[version]
        asked, canonical = (f"/iiif/{version}/a/full/{s}/0/default.jpg" for s in sizes)
        assert server.get(asked)["Link"] == (f'<{server.url}{canonical}>;rel="canonical", '
                                             f'<{LEVEL[version]}>;rel="profile"')


@pytest.fixture(scope="module")
def example_u(binary, scratch, board_images):
    """Examples 118 to 120: an upscaling server with the identifiers u and a/b."""
    root = scratch / "example-u"
    (root / "a").mkdir(parents=True)
    (root / "u").hardlink_to(board_images / "a")
    (root / "a" / "b").hardlink_to(board_images / "p")
    config = config_text([("", root, {})], limits={"max_width": 8000, "max_area": 0, "upscale": True,
                                                   "max_request_memory": 4 * 10 ** 9})
    with boot(scratch, binary, "example-u-server", config) as stack:
        yield Client(stack.port)


@pytest.mark.parametrize("size", ["%5Emax", "^max"])
def test_118_caret(example_u, size):
    reply = example_u.get(f"/iiif/3/u/full/{size}/0/default.jpg")
    assert reply.status == 200 and reply.picture().size == (8000, 5333)
    assert reply.canonical() == f"{example_u.url}/iiif/3/u/full/^max/0/default.jpg"


@pytest.mark.parametrize("version", VERSIONS)
def test_119_slash_in_identifier(example_u, version):
    reply = example_u.get(f"/iiif/{version}/a%2Fb/info.json")
    assert reply.status == 200
    assert json.loads(reply.body)["@id" if version == 2 else "id"] == \
        f"{example_u.url}/iiif/{version}/a%2Fb"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("bad", ["..%2F..%2Fetc%2Fpasswd", "a%2F..%2F..%2Fu.conf", "%2Fetc%2Fpasswd",
                                 "..", "%2e%2e", "..%5C..%5Cetc%5Cpasswd", "a%2F..%2Fu"])
def test_120_nothing_outside(example_u, version, bad):
    reply = example_u.get(f"/iiif/{version}/{bad}/info.json")
    assert reply.status in (400, 404)
    assert b"root:" not in reply.body and reply["Access-Control-Allow-Origin"] == "*"
