# SPDX-License-Identifier: BSD-2-Clause
"""nginx-sample.conf: nginx's own answers, and what it lets through to the worker."""
import http.client
import json
import socket

import pytest
from bench import Bench
from stack import wait_for
from web import Client


def raw(port, message, address="127.0.0.1"):
    """The answer to these bytes, sent from that address: status, headers, body."""
    with socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(address, 0)) as s:
        s.sendall(message)
        answer = http.client.HTTPResponse(s)
        answer.begin()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read().decode()


LONG = b"a" * 70000
OWN_ERRORS = {
    "bad request line": (b"GET /%zz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "bad escape": (b"GET /a%00b HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "not http": (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
    "no host": (b"GET /iiif/3/a HTTP/1.1\r\n\r\n", 400),
    "above the root": (b"GET /iiif/../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "long URI": (b"GET /" + LONG + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
    "long header": (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + LONG + b"\r\n\r\n", 400),
    "large body": (b"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\n", 413),
    "method": (b"TRACE /a HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
    "other host": (b"GET /iiif/3/a/info.json HTTP/1.1\r\nHost: other.example\r\n\r\n", 421),
    "other host by name in the line": (b"GET http://other.example/a HTTP/1.1\r\nHost: localhost\r\n\r\n", 421),
    "http 1.0 without host": (b"GET /iiif/3/a/info.json HTTP/1.0\r\n\r\n", 421),
    "json of a malformed address": (b"GET /iiif/3/%zz/info.json HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "HTTP 3": (b"GET /a HTTP/3.0\r\nHost: localhost\r\n\r\n", 505),
}


@pytest.mark.parametrize("name", OWN_ERRORS)
def test_own_errors(bench, name):
    message, status = OWN_ERRORS[name]
    got, headers, body = raw(bench.stack.port, message)
    assert got == status
    assert headers["access-control-allow-origin"] == "*"
    assert headers["cache-control"] == "max-age=1"
    if b"info.json" in message:
        assert headers["content-type"] == "application/json" and json.loads(body)["status"] == status
    else:
        assert headers["content-type"] == "text/plain; charset=utf-8" and body.startswith(str(status))
    assert len(body) < 80 and "<" not in body
    assert headers["server"] == "nginx"
    assert ("allow" in headers) == (status == 405)


def test_crash_is_tried_twice_and_no_more(bench):
    reply = bench.get("/poison/crash=abort")
    assert (reply.status, reply.header("Access-Control-Allow-Origin")) == (502, "*")
    assert len(bench.runs("/poison/")) == 2
    assert reply.body == b"502 the image server failed\n"
    assert bench.get("/after/poison").status == 200


def test_too_long_an_answer_is_504_and_not_tried_again(scratch, responder):
    with Bench(scratch / "slow", responder, changes={"fastcgi_read_timeout 120s;": "fastcgi_read_timeout 1s;"}) as b:
        reply = b.get("/slow/sleep=3000")
        assert (reply.status, reply.header("Access-Control-Allow-Origin")) == (504, "*")
        assert len(b.runs("/slow/")) == 1


def test_workers_own_errors_pass_unchanged(bench):
    for status in (400, 404, 413, 500, 501, 502, 503):
        reply = bench.get(f"/own/status={status}/size=7")
        assert (reply.status, len(reply.body)) == (status, 7)
        assert reply.header("Access-Control-Allow-Origin") == "*"


def test_ping_answers_under_any_name(bench):
    for host in ("localhost", "10.1.2.3", "other.example"):
        reply = bench.get("/ping", Host=host)
        assert (reply.status, reply.body) == (200, b"pong\n")


def test_fixed_locations_win(bench):
    assert bench.get("/robots.txt").body == b"User-agent: *\nDisallow: /\n"
    assert bench.get("/favicon.ico").status == 204
    assert bench.get("/.iiif/error").status == 404
    for path in ("/robots.txt", "/favicon.ico", "/ping"):
        assert bench.get(path).header("Access-Control-Allow-Origin") == "*"


def test_worker_sees_only_what_nginx_decided(bench):
    given = bench.echo("/given/a?b=c%20d", X_Thing="1", Proxy="x", Cookie="secret", Accept_Language="en",
                       Authorization="Basic xyz", Range="bytes=0-1")
    allowed = {"FCGI_ROLE", "REQUEST_METHOD", "REQUEST_URI", "REQUEST_SCHEME", "HTTP_HOST", "REQUEST_ID", "REMOTE_ADDR"}
    assert set(given) <= allowed
    assert given["REQUEST_URI"] == "/given/a?b=c%20d"
    assert (given["REQUEST_SCHEME"], given["REMOTE_ADDR"]) == ("http", "127.0.0.1")
    assert len(given["REQUEST_ID"]) == 32


def test_host_and_port_as_the_client_wrote_them(bench):
    for host, told in (("localhost.:81", "localhost:81"), ("LOCALHOST", "localhost"), ("localhost:80", "localhost")):
        assert bench.echo(f"/port/{host}", Host=host)["HTTP_HOST"] == told


def test_headers_with_a_long_identifier_fit(bench):
    """Encoded, it may be three times as long as the longest request."""
    reply = bench.get("/long/location=49000")
    assert reply.status == 200 and len(reply.header("Location")) > 49000


def test_preflight_reaches_the_worker(bench):
    reply = bench.get("/preflight", "OPTIONS", Origin="https://viewer.example",
                      Access_Control_Request_Headers="x-thing")
    assert b'"HTTP_ACCESS_CONTROL_REQUEST_HEADERS":"x-thing"' in reply.body


# X-Forwarded-Proto, -Host, -Port, Host; and the base that the worker is told.
FORWARDED = [
    (("https", None, None, "localhost"), "https://localhost"),
    (("HTTPS", None, None, "localhost"), "https://localhost"),
    (("https, http", None, None, "localhost"), "https://localhost"),
    (("ftp", None, None, "localhost"), "http://localhost"),
    (("httpsx", None, None, "localhost"), "http://localhost"),
    (("https", None, "443", "localhost"), "https://localhost"),
    (("https", None, "8443", "localhost"), "https://localhost:8443"),
    (("http", None, "443", "localhost"), "http://localhost:443"),
    ((None, "img.example", None, "localhost:8080"), "http://img.example"),
    ((None, "img.example:81", None, "localhost:8080"), "http://img.example:81"),
    ((None, "img.example:81", "82", "localhost:8080"), "http://img.example:81"),
    (("https", "img.example", "443", "localhost:8080"), "https://img.example"),
    (("https", "img.example , inner.example", "443, 80", "localhost"), "https://img.example"),
    ((None, "[2001:db8::1]:81", None, "localhost"), "http://[2001:db8::1]:81"),
    ((None, "bad host/../x", None, "localhost"), "http://localhost"),
    ((None, "evil\"'<>", None, "localhost"), "http://localhost"),
    ((None, "a.example:99999999", None, "localhost"), "http://localhost"),
    ((None, None, "x", "localhost:8080"), "http://localhost:8080"),
    ((None, None, None, "LocalHost:8080"), "http://localhost:8080"),
    ((None, None, None, "localhost:80"), "http://localhost"),
    (("https", None, None, "localhost:443"), "https://localhost"),
]


def base(client, target, forwarded):
    names = ("X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "Host")
    headers = {name: value for name, value in zip(names, forwarded) if value is not None}
    given = json.loads(client.ask(target, **headers).body)
    return given["REQUEST_SCHEME"] + "://" + given["HTTP_HOST"]


@pytest.mark.parametrize("number", range(len(FORWARDED)))
def test_forwarded_headers_of_a_trusted_proxy(bench, number):
    forwarded, expected = FORWARDED[number]
    assert base(bench.client, "/forwarded/info.json", forwarded) == expected


def test_forwarded_headers_of_others_count_for_nothing(bench):
    message = (b"GET /untrusted/info.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
               b"X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Port: 99\r\n"
               b"X-Forwarded-For: 127.0.0.1\r\nX-Lorikeet-No-Cache: 1\r\n\r\n")
    for runs in (1, 1):
        _, _, body = raw(bench.stack.port, message, "127.0.0.2")
        assert '"REQUEST_SCHEME":"http"' in body and '"HTTP_HOST":"localhost"' in body
        assert '"REMOTE_ADDR":"127.0.0.2"' in body
        assert len(bench.runs("/untrusted/")) == runs


def test_commented_examples_work(scratch, responder):
    changes = {
        '# "~^/lax/': '"~^/lax/',
        "# if ($iiif_to_https": "if ($iiif_to_https",
        "# images.example.org   /iiif-images;": "images.example.org   /iiif-images;",
        "# images.example.org  \"User": "images.example.org  \"User",
        "# add_header X-Cache": "add_header X-Cache",
    }
    with Bench(scratch / "comments", responder, workers=1, changes=changes) as b:
        client = Client(b.stack.port)
        reply = client.ask("/a%2Fb?c", Host="iiif.example.org")
        assert (reply.status, reply.header("Location")) == (301, "https://iiif.example.org/a%2Fb?c")
        assert reply.header("Access-Control-Allow-Origin") == "*"
        assert client.ask("/a%2Fb", "OPTIONS", Host="iiif.example.org").status == 200
        reply = client.ask("/lax/00003%2Ffig1.tif/full/max/0/default.jpg?x", Host="images.example.org",
                           X_Forwarded_Proto="https")
        assert b'"REQUEST_URI":"/iiif/2/lax%2F00003%2Ffig1.tif/full/max/0/default.jpg?x"' in reply.body
        assert b'"LORIKEET_PREFIX":"/iiif-images"' in reply.body
        assert reply.header("X-Cache") == "MISS"
        # The prefix goes with the published name, and two names never share an entry.
        secure = {"X_Forwarded_Proto": "https"}
        for _ in range(2):
            assert b"LORIKEET_PREFIX" in client.ask("/p/a", Host="localhost", X_Forwarded_Host="images.example.org",
                                                    **secure).body
            assert b"LORIKEET_PREFIX" not in client.ask("/p/a", Host="images.example.org",
                                                        X_Forwarded_Host="iiif.example.org", **secure).body
        reply = client.ask("/robots.txt", Host="images.example.org")
        assert reply.body == b"User-agent: *\nDisallow:\n"


def test_log_says_time_and_verdict(bench):
    for _ in range(2):
        bench.get("/logged/a?b")
    # A line is written after its answer.
    lines = wait_for("two lines", 5, lambda: [found] if len(found := [
        line for line in bench.stack.log("nginx-access.log").splitlines() if "/logged/" in line]) == 2 else None)[0]
    assert "cache=MISS" in lines[0] and "cache=HIT" in lines[1] and "upstream=0." in lines[0]
