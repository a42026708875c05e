# SPDX-License-Identifier: BSD-2-Clause
"""The lines of nginx-sample.conf that begin with "#peers": three servers that share the originals."""
import gzip
import http.client
import random
import re
import socket
import time

import pytest
from bench import in_parallel
from origin import Origin
from PIL import Image
from shop import Shop, rule
from spellings import KINDS, spell
from stack import wait_for
from web import Client

ADDRESSES = ["127.0.0.11", "127.0.0.12", "127.0.0.13"]


def free_port_on_all():
    while True:
        sockets = [socket.socket() for _ in ADDRESSES]
        try:
            sockets[0].bind((ADDRESSES[0], 0))
            port = sockets[0].getsockname()[1]
            for s, address in zip(sockets[1:], ADDRESSES[1:]):
                s.bind((address, port))
            return port
        except OSError:
            continue
        finally:
            for s in sockets:
                s.close()


def peers_on(address, port, peers):
    """What the sample's reader does: takes the mark away, and changes the addresses."""
    return {"#peers ": "",
            "    server 10.0.0.1:8081;    # all of them, this one too\n    server 10.0.0.2:8081;\n":
                "".join(f"    server {peer};\n" for peer in peers),
            "10.0.0.0/24": "127.0.0.8/29",
            "listen 8081 default_server": f"listen {address}:{port} default_server",
            "listen 8081;": f"listen {address}:{port};",
            '"~^8081 "': f'"~^{port} "'}


def ask(shop, uri, method="GET", **headers):
    """By the one name that all servers are published under."""
    return shop.get(uri, method, **{"Host": "iiif.example.org", **headers})


class Town:
    """Three shops with one origin; all have the same list of peers."""

    def __init__(self, folder, binary, origin):
        self.origin, self.port = origin, free_port_on_all()
        folder.mkdir()
        folder.chmod(0o755)
        rules = [rule("", url=f"http://127.0.0.1:{origin.port}/{{id}}", revalidate_after=3600)]
        self.shops = [Shop(folder / address[-2:], binary, rules, changes=peers_on(address, self.port, self.peers()), fetchers=10,
                           workers=1, address=address, server={"raw_slashes": True}) for address in ADDRESSES]

    def peers(self):
        return [f"{address}:{self.port}" for address in ADDRESSES]

    def __enter__(self):
        for shop in self.shops:
            shop.__enter__()
        return self

    def __exit__(self, *_):
        for shop in self.shops:
            shop.stack.stop()

    def runs(self, word):
        """How often workers made such an answer, server by server."""
        return [sum(word in line and " format=" in line for g in "ab"
                    for line in shop.stack.log(f"lorikeet-{g}.log").splitlines()) for shop in self.shops]


@pytest.fixture(scope="module")
def pictures(scratch):
    folder = scratch / "town-pictures"
    for n in range(48):
        path = folder / f"box {n % 3}" / f"page {n // 6}" / f"pic+{n}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (300 + n, 200), (5 * n, 90, 40)).save(path)
    return folder


@pytest.fixture(scope="module")
def origin(pictures):
    with Origin(pictures) as running:
        yield running


@pytest.fixture(scope="module")
def town(scratch, binary, origin):
    with Town(scratch / "town", binary, origin) as running:
        yield running


def names(pictures):
    return sorted(str(p.relative_to(pictures)) for p in pictures.rglob("*.jpg"))


def test_each_original_is_fetched_once_whoever_is_asked(town, pictures, origin):
    dice = random.Random(7)
    asked = [spell(kind, name) for name in names(pictures)[:24] for kind in KINDS]
    dice.shuffle(asked)
    replies = in_parallel(8, lambda i: [ask(dice.choice(town.shops), uri) for uri in asked[i::8]])
    assert {reply.status for some in replies for reply in some} == {200}
    assert {name: origin.count("/" + name) for name in names(pictures)[:24]} == dict.fromkeys(names(pictures)[:24], 1)
    # All three have their part.
    assert min(len(list(shop.cache.rglob("files-1/*/*"))) for shop in town.shops) >= 2
    # Each answer is made once, too, and kept at its owner.
    uri = spell(KINDS[4], names(pictures)[3])
    first = [ask(shop, uri) for shop in town.shops]
    assert {(r.status, r.body, r.header("ETag")) for r in first} == {(200, first[0].body, first[0].header("ETag"))}
    assert sorted(town.runs(uri)) == [0, 0, 1]


def test_a_crowd_at_all_three_fetches_once(town, pictures, origin):
    name = names(pictures)[24]
    origin.script("/" + name, {"delay": 1})
    uri = spell(KINDS[4], name)
    replies = in_parallel(30, lambda i: ask(town.shops[i % 3], uri))
    assert [r.status for r in replies] == [200] * 30 and origin.count("/" + name) == 1
    assert sorted(town.runs(uri)) == [0, 0, 1]


def ask_from(address, shop, uri, **headers):
    client = Client(shop.stack.port, shop.stack.address)
    client.local.connection = http.client.HTTPConnection(shop.stack.address, shop.stack.port, timeout=60,
                                                                            source_address=(address, 0))
    return client.ask(uri, **headers)


def test_what_the_client_is_and_asked_for_survives(town, pictures):
    """Name, port and scheme in ids; the client's address in the log; nothing that a client made up."""
    uri = spell(KINDS[0], names(pictures)[25])
    forged = {"X_Forwarded_Host": "evil.example", "X_Forwarded_Proto": "https", "X_Forwarded_For": "192.0.2.66"}
    for shop in town.shops:
        reply = ask_from("127.0.0.77", shop, uri, Host="iiif.example.org:8080", **forged)
        assert reply.json["id"] == "http://iiif.example.org:8080" + uri.removesuffix("/info.json")
        for headers, base in (({"Host": "localhost"}, "http://localhost"),
                              ({"Host": "localhost:99", "X_Forwarded_Proto": "https"}, "https://localhost:99"),
                              ({"Host": "localhost", "X_Forwarded_Host": "images.example.org", "X_Forwarded_Port": "8443",
                                "X_Forwarded_Proto": "https"}, "https://images.example.org:8443")):
            assert ask(shop, uri, **headers).json["id"] == base + uri.removesuffix("/info.json")
    # Four published names, each made once.
    assert sorted(town.runs(uri)) == [0, 0, 4]
    logs = "".join(shop.stack.log(f"lorikeet-{g}.log") for shop in town.shops for g in "ab")
    assert set(re.findall(r"client=(\S+) .*?uri=" + re.escape(uri), logs)) == {"127.0.0.77", "127.0.0.1"}
    assert "192.0.2.66" not in logs


def test_all_that_the_protocol_has_passes_through(town, pictures):
    uri, info = spell(KINDS[4], names(pictures)[26]), spell(KINDS[0], names(pictures)[26])
    for shop in town.shops:
        full = ask(shop, uri)
        assert ask(shop, uri, If_None_Match=full.header("ETag")).status == 304
        head = ask(shop, uri, "HEAD")
        assert (head.status, head.body, head.header("Content-Length")) == (200, b"", str(len(full.body)))
        assert ask(shop, uri + "?download").header("Content-Disposition").startswith("attachment")
        packed = ask(shop, info, Accept_Encoding="gzip", Accept="application/json")
        assert (packed.header("Content-Encoding"), packed.header("Content-Type")) == ("gzip", "application/json")
        assert gzip.decompress(packed.body) == ask(shop, info, Accept="application/json").body
        assert ask(shop, info, "OPTIONS").status == 204 and ask(shop, uri, "POST").status == 405
        missing = ask(shop, "/iiif/3/none%2Fsuch.jpg/info.json")
        assert (missing.status, missing.json["status"], missing.header("Access-Control-Allow-Origin")) == (404, 404, "*")
        assert ask(shop, "/iiif/3/" + "x/" * 4000 + "x/info.json").status == 404
        assert ask(shop, info.removesuffix("/info.json")).header("Location").endswith(info)
        assert ask(shop, info, Host="other.example").status == 421
        assert ask(shop, "/ping").body == b"pong\n"


def test_what_comes_from_a_peer_goes_no_further(town, pictures, origin):
    name = names(pictures)[27]
    for shop in town.shops:
        inside = Client(town.port, shop.stack.address)
        assert inside.ask(spell(KINDS[0], name), Host="iiif.example.org").status == 200
        assert inside.ask(spell(KINDS[0], name), Host="other.example").status == 421
    assert origin.count("/" + name) == 3


def test_a_peer_that_dies_and_comes_back(town, pictures, origin):
    mine = names(pictures)[28:48]
    for name in mine:
        assert ask(town.shops[0], spell(KINDS[0], name)).status == 200
    owned = [name for name in mine if town.runs(spell(KINDS[0], name))[1]]
    assert 0 < len(owned) < len(mine)
    dead = town.shops[1].stack
    dead.stop()
    for _ in range(2):
        for name in mine:
            for shop in (town.shops[0], town.shops[2]):
                assert ask(shop, spell(KINDS[3], name)).status == 200
    # The living share what it owned, and agree on that.
    assert {name: origin.count("/" + name) for name in mine} == {name: 1 + (name in owned) for name in mine}
    dead.start()
    owner = wait_for("the owner's part", 20, lambda: ask(town.shops[0], spell(KINDS[1], random.choice(owned))).status == 200
                     and sum(town.runs(spell(KINDS[1], name))[1] for name in owned))
    assert owner
    assert {name: origin.count("/" + name) for name in mine} == {name: 1 + (name in owned) for name in mine}


@pytest.fixture
def deaf():
    """The address of a server that takes no more connections: who asks it hears nothing."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for w in waiting:
            w.setblocking(False)
            w.connect_ex(s.getsockname())
        yield "127.0.0.1:%d" % s.getsockname()[1]
        for w in waiting:
            w.close()


def test_without_any_peer_it_answers_itself(folder, binary, origin, pictures, deaf):
    """Its own address is not there either, as when the network is gone."""
    rules = [rule("", url=f"http://127.0.0.1:{origin.port}/{{id}}")]
    changes = peers_on(ADDRESSES[0], free_port_on_all(), ["127.0.0.1:9", deaf])
    with Shop(folder / "alone", binary, rules, changes=changes, workers=1, address=ADDRESSES[0]) as shop:
        name = names(pictures)[0]
        started = time.monotonic()
        info = ask(shop, spell(KINDS[0], name), Accept="application/json")
        assert (info.status, info.header("Content-Type")) == (200, "application/json")
        assert info.json["id"].startswith("http://iiif.example.org/iiif/3/box%200%2F")
        assert ask(shop, spell(KINDS[4], name)).status == 200
        missing = ask(shop, "/iiif/3/none.jpg/info.json")
        assert (missing.status, missing.json["status"]) == (404, 404)
        assert time.monotonic() - started < 20
