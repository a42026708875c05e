# SPDX-License-Identifier: BSD-2-Clause
"""Two servers that know nothing of each other behind a balancer that asks them in turn, as AWS' do."""
import pytest
from bench import in_parallel
from front import Front
from origin import Origin
from PIL import Image
from shop import Shop, rule
from stack import wait_for

# Such a balancer ends TLS, keeps Host, adds to X-Forwarded-For, says scheme and port, and keeps its connections.
BALANCER = """
    upstream servers {{ {servers} keepalive 8; }}
    server {{
        listen {{listen}};
        location / {{
            proxy_pass http://servers;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto https;
            proxy_set_header X-Forwarded-Port {port};
        }}
    }}
"""
KINDS = ["full/40,/0/default.jpg", "0,0,100,100/50,/0/gray.png", "full/60,/!90/default.webp"]
NAMES = [f"p{n}.jpg" for n in range(12)]


def uris(prefix, name):
    return [f"/iiif/{version}/{prefix}%2F{name}/{kind}" for version in (2, 3) for kind in [*KINDS, "info.json"]]


@pytest.fixture(scope="module")
def pictures(scratch):
    folder = scratch / "balanced-pictures"
    folder.mkdir()
    for n, name in enumerate(NAMES):
        Image.new("RGB", (300 + n, 200), (20 * n, 90, 40)).save(folder / name)
    return folder


@pytest.fixture(scope="module")
def origin(pictures):
    with Origin(pictures) as running:
        yield running


@pytest.fixture(scope="module")
def shops(scratch, binary, origin, pictures):
    """The same configuration twice: originals behind a network, and on a volume that both see."""
    rules = [rule("web/", url=f"http://127.0.0.1:{origin.port}/{{id}}", revalidate_after=3600),
             rule("disk/", type="file", root=str(pictures))]
    with Shop(scratch / "left", binary, rules, fetchers=12, workers=1) as left, \
            Shop(scratch / "right", binary, rules, fetchers=12, workers=1) as right:
        yield left, right


@pytest.fixture(scope="module", params=["443", "8443"])
def balancer(request, scratch, shops):
    servers = "".join(f"server 127.0.0.1:{shop.stack.port};" for shop in shops)
    with Front(scratch / f"balancer-{request.param}", BALANCER.format(servers=servers, port=request.param)) as running:
        running.base = "https://iiif.example.org" + ("" if request.param == "443" else ":" + request.param)
        yield running


def told(reply):
    """All that should not depend on who answers."""
    return {k: v for k, v in reply.headers if k not in ("Date", "Connection", "Keep-Alive")}, reply.status, reply.body


@pytest.mark.parametrize("prefix", ["web", "disk"])
def test_both_answer_the_same(balancer, shops, prefix):
    for name in NAMES[:4]:
        for uri in uris(prefix, name):
            first, *others = [balancer.get(uri, Host="iiif.example.org") for _ in range(4)]
            assert first.status == 200 and first.header("ETag") and first.header("Last-Modified")
            assert all(told(o) == told(first) for o in others), uri
            for _ in range(2):
                assert balancer.get(uri, Host="iiif.example.org", If_None_Match=first.header("ETag")).status == 304
            if uri.endswith("info.json"):
                assert first.json["@id" if uri.startswith("/iiif/2") else "id"] == balancer.base + uri.removesuffix("/info.json")
            else:
                assert first.canonical.startswith(balancer.base + "/iiif/")
    lines = [sum(uris(prefix, NAMES[0])[0] in line for line in shop.stack.log("nginx-access.log").splitlines()) for shop in shops]
    assert min(lines) >= 2


def test_an_original_is_fetched_by_each_and_no_more(balancer, origin):
    mine = NAMES[4:8] if balancer.base.endswith("8443") else NAMES[8:]
    asked = [uri for name in mine for uri in uris("web", name)] * 3
    replies = in_parallel(10, lambda i: [balancer.get(uri, Host="iiif.example.org").status for uri in asked[i::10]])
    assert {status for some in replies for status in some} == {200}
    assert {name: origin.count("/" + name) for name in mine} == dict.fromkeys(mine, 2)


def test_the_address_of_the_client_is_the_balancers_word(balancer, shops):
    uri = "/iiif/3/disk%2Fp0.jpg/full/33,/0/default.jpg?address"
    for _ in range(2):
        assert balancer.get(uri, Host="iiif.example.org", X_Forwarded_For="192.0.2.9").status == 200
    for shop in shops:
        line = wait_for("nginx's log", 5, lambda: [line for line in shop.stack.log("nginx-access.log").splitlines() if uri in line])
        assert line[0].startswith("192.0.2.9 [")
