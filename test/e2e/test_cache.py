# SPDX-License-Identifier: BSD-2-Clause
"""nginx-sample.conf: what is kept, under which key, and for how long."""
import http.client
import random
import time

import pytest
from bench import Bench, in_parallel
from web import Client

# nginx counts in whole seconds: after this long, what should live one second has ended.
EXPIRED = 2.1

LD, JSON = "application/ld+json", "application/json"

# Accept, and the class that the worker is told. Section 6.1 of the protocol, and more spellings.
ACCEPTS = [
    (None, ""), ("*/*", ""), ("application/*", ""), ("image/png", ""),
    (JSON, JSON), (LD, LD), (LD + ';profile="http://iiif.io/api/image/3/context.json"', LD),
    (f"{LD}, {JSON}", LD), (f"{JSON},{LD}", LD), (f"{JSON}, {LD};q=0.5", JSON), (f"{LD};q=0, */*", JSON),
    ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", ""),
    (f"{LD};q=0.5, {JSON};q=0.7", JSON), (f"{LD};q=0.7, {JSON};q=0.5", LD), (f"{JSON};q=0.5, */*", ""),
    (f"{JSON}, */*;q=0.1", JSON), (f"{LD};q=0.5, */*;q=0.8", JSON), (f"{LD};q=0.0", ""), (f"{LD};q=1.0", LD),
    (f"{JSON.upper()}; Q=1", JSON), (f'{LD} ; profile="x" ; q=0.2 , {JSON} ; q=0.9', JSON),
    (f"{LD};q=0.9,{JSON};q=0.9", LD), ("application/*;q=0.3, */*", ""), (f"{JSON};q=0", ""),
    (f"{JSON}-seq", ""), (f"{LD}x", ""), (f"x{JSON}", ""), (f'text/html;p="{JSON}"', ""),
    (f"{LD};q=0.51, {JSON};q=0.59", JSON), (f"{LD};q=0.59, {JSON};q=0.51", LD), (f"{JSON};q=0.05", JSON),
    (f"{LD};q=0.01", LD), (f"{LD};q=0.00", ""), (f"{LD};q=0.1, {JSON};q=0.11", JSON), (f"{JSON};q=0.5,{LD};q=0.50", LD),
]


def get_new(bench, target, old, seconds=5):
    """Asks until the body is no longer the old one."""
    end = time.monotonic() + seconds
    while (reply := bench.get(target)).body == old and time.monotonic() < end:
        time.sleep(0.1)
    return reply


def test_fifty_cold_requests_of_twenty_seconds_run_once(bench):
    replies = in_parallel(50, lambda i: bench.get("/crowd/sleep=20000/size=3000"))
    assert [r.status for r in replies] == [200] * 50
    assert {r.body for r in replies} == {replies[0].body}
    assert len(bench.runs("/crowd/sleep=20000/")) == 1


def test_warm_hit_does_not_reach_the_worker(bench):
    replies = [bench.get("/warm/size=100000") for _ in range(5)]
    assert {(r.status, len(r.body)) for r in replies} == {(200, 100000)}
    assert len(bench.runs("/warm/")) == 1


def test_query_shares_the_entry(bench):
    for query in ("", "?x=1", "?x=2&y", "?download", "?"):
        assert bench.get("/query/a" + query).status == 200
    assert len(bench.runs("/query/")) == 1


def test_encoded_and_plain_slash_are_two_entries(bench):
    assert bench.echo("/slash/a%2Fb")["REQUEST_URI"] == "/slash/a%2Fb"
    assert bench.echo("/slash/a/b")["REQUEST_URI"] == "/slash/a/b"
    assert bench.echo("/slash/a//b")["REQUEST_URI"] == "/slash/a//b"


@pytest.mark.parametrize("number", range(len(ACCEPTS)))
def test_accept_class(bench, number):
    accept, told = ACCEPTS[number]
    headers = {"Accept": accept} if accept else {}
    # A fresh key for each, or the entry of an equal class would answer.
    for name in ("info.json", "info%2Ejson"):
        assert bench.echo(f"/class/{number}/{name}", **headers).get("HTTP_ACCEPT", "") == told


def test_random_accepts_make_no_more_entries_than_classes(bench):
    dice = random.Random(1)
    types = ["*/*", "application/*", JSON, LD, "text/html", "image/avif", "application/xml"]
    for _ in range(150):
        parts = [dice.choice(types) + dice.choice(["", f";q={dice.random():.2f}", f"; x={dice.random()}"])
                 for _ in range(dice.randrange(1, 5))]
        bench.get("/many/info.json", Accept=", ".join(parts))
        bench.get("/many/full/max/0/default.jpg", Accept=", ".join(parts))
    assert 1 <= len(bench.runs("/many/info.json")) <= 3
    assert len(bench.runs("/many/full")) == 1


def test_hosts_and_ports_never_share(bench):
    hosts = ["localhost", "127.0.0.1", "localhost:8080", "localhost:8081", "iiif.example.org"]
    for _ in range(2):
        for host in hosts:
            assert bench.echo("/hosts/info.json", Host=host)["HTTP_HOST"] == host
    assert len(bench.runs("/hosts/")) == len(hosts)


def test_scheme_is_part_of_the_key(bench):
    for proto in ("http", "https", "http"):
        assert bench.echo("/scheme/a", X_Forwarded_Proto=proto)["REQUEST_SCHEME"] == proto


def test_head_first_then_get(bench):
    for _ in range(2):
        head = bench.get("/head/size=5000", "HEAD")
        assert (head.status, head.body) == (200, b"")
    started = time.monotonic()
    assert len(bench.get("/head/size=5000").body) == 5000
    assert len(bench.get("/head/size=5000").body) == 5000
    assert time.monotonic() - started < 3
    assert [line.split()[1] for line in bench.runs("/head/")] == ["HEAD", "HEAD", "GET"]
    head = bench.get("/head/size=5000", "HEAD")
    assert (head.status, head.body, head.header("Content-Length")) == (200, b"", "5000")
    assert len(bench.get("/head/size=5000").body) == 5000
    assert len(bench.runs("/head/")) == 3


def test_if_none_match_on_a_cold_entry(bench):
    target = "/cold/etag=one"
    assert bench.get(target, If_None_Match='"one"').status == 304
    reply = bench.get(target)
    assert (reply.status, reply.header("ETag")) == (200, '"one"') and reply.body
    assert bench.runs("/cold/")[0].endswith('"one"')


def test_if_none_match_on_a_warm_entry(bench):
    target = "/warmed/etag=one"
    bench.get(target)
    assert bench.get(target, If_None_Match='"one"').status == 304
    assert bench.get(target, If_None_Match='W/"one", "x"').status == 304
    assert bench.get(target, If_None_Match='"two"').status == 200
    assert bench.get(target).status == 200


def test_conditions_keep_the_lock_and_the_entry(bench):
    """Whatever a client has in its own cache, the worker runs once, and then not at all."""
    target = "/conditions/etag=one/sleep=300/size=1000"
    for headers in ({"If_None_Match": '"other"'}, {"If_Modified_Since": "Tue, 01 Jan 2030 00:00:00 GMT"}):
        replies = in_parallel(30, lambda i: bench.get(target, **headers))
        assert {r.status for r in replies} == {200}, headers
    assert bench.get(target, If_None_Match='"one"').status == 304
    assert bench.get(target, "HEAD", If_None_Match='"one"').status == 304
    assert len(bench.runs("/conditions/")) == 1


def test_conditions_and_head_outlive_the_pool(scratch, responder):
    with Bench(scratch / "outage", responder, workers=1) as bench:
        target = "/outage/etag=one/version=o"
        (bench.folder / "o").write_text("first")
        assert bench.get(target).body == b"first"
        bench.stack.supervisorctl("stop", "all")
        assert bench.get(target, If_None_Match='"first"').status == 304
        assert bench.get(target, If_None_Match='"x"').body == b"first"
        assert bench.get(target, "HEAD").status == 200
        assert bench.get(target, X_Lorikeet_No_Cache="1").status == 503
        assert bench.get(target).body == b"first"


def test_an_error_past_the_cache_does_not_replace_a_good_entry(bench):
    target = "/kept/version=kept"
    (bench.folder / "kept").write_text("first")
    assert bench.get(target).body == b"first"
    (bench.folder / "kept").unlink()
    assert bench.get(target, X_Lorikeet_No_Cache="1").status == 404
    assert bench.get(target).body == b"first"


def test_preconditions_fail_at_once(bench):
    for headers in ({"If_Match": '"x"'}, {"If_Unmodified_Since": "Thu, 01 Jan 1970 00:00:00 GMT"}):
        reply = bench.get("/precondition/etag=one", **headers)
        assert (reply.status, reply.header("Access-Control-Allow-Origin")) == (412, "*")
        started = time.monotonic()
        assert bench.get("/precondition/etag=two").status == 200 and time.monotonic() - started < 5
    assert bench.get("/precondition/etag=one", If_Match="*").status == 200
    assert "stalled" not in bench.stack.log("nginx-error.log")


def test_revalidation_and_a_replaced_original(bench):
    target = "/again/version=original/expires=1/cache=max-age=60,stale-while-revalidate=60"
    (bench.folder / "original").write_text("first")
    assert bench.get(target).body == b"first"
    time.sleep(EXPIRED)
    assert bench.get(target).body == b"first"
    time.sleep(0.3)
    # It was asked by the entry's ETag, and the answer 304 made it count again.
    assert [line.split()[3:] for line in bench.runs("/again/")] == [[], ['"first"']]
    assert bench.get(target).body == b"first" and len(bench.runs("/again/")) == 2
    (bench.folder / "original").write_text("second")
    time.sleep(EXPIRED)
    assert get_new(bench, target, b"first").body == b"second"


def test_no_cache_header_counts_from_listed_addresses(bench):
    target = "/refresh/version=refreshed"
    (bench.folder / "refreshed").write_text("first")
    assert bench.get(target).body == b"first"
    (bench.folder / "refreshed").write_text("second")
    assert bench.get(target, X_Lorikeet_No_Cache="1", X_Forwarded_For="192.0.2.1").body == b"first"
    assert bench.get(target).body == b"first"
    assert bench.get(target, X_Lorikeet_No_Cache="1").body == b"second"
    assert bench.get(target).body == b"second"


def test_errors_live_a_second(bench):
    target = "/broken/status=404/sleep=300/cache=max-age=1"
    started = time.monotonic()
    replies = in_parallel(30, lambda i: bench.get(target))
    assert {r.status for r in replies} == {404}
    assert time.monotonic() - started < 3, "the cache lock lets waiters through one by one"
    assert len(bench.runs("/broken/")) == 1


def test_a_mended_error_is_not_shown_again(bench):
    target = "/mended/version=mended/expires=1"
    assert bench.get(target).status == 404
    (bench.folder / "mended").write_text("there")
    time.sleep(EXPIRED)
    assert bench.get(target).body == b"there"


def test_old_entry_while_a_slow_one_is_made(bench):
    target = "/swr/version=swr/sleep=1000/expires=1/cache=max-age=60, stale-while-revalidate=30"
    (bench.folder / "swr").write_text("first")
    target = target.replace(" ", "")
    assert bench.get(target).body == b"first"
    (bench.folder / "swr").write_text("second")
    time.sleep(EXPIRED)
    started = time.monotonic()
    replies = in_parallel(20, lambda i: bench.get(target))
    assert {r.body for r in replies} == {b"first"} and time.monotonic() - started < 0.9
    assert get_new(bench, target, b"first").body == b"second"
    assert len(bench.runs("/swr/")) == 2


def test_a_body_cut_short_is_not_kept(bench):
    # nginx keeps the connection of a half answer open, so the client only sees that nothing more comes.
    for _ in range(2):
        with pytest.raises((OSError, http.client.IncompleteRead)):
            Client(bench.stack.port, timeout=1).ask("/cut/size=50000/crash=late")
    assert len(bench.runs("/cut/")) == 2


def test_download_is_the_same_entry_with_another_header(bench):
    inline = 'inline; filename="a.jpg"; filename*=UTF-8\'\'a.jpg'
    assert bench.get("/down/a.jpg").header("Content-Disposition") == inline
    for query in ("download", "download=1", "x=1&download=true", "response-content-disposition=attachment",
                  "response-content-disposition=attachment%3B%20filename%3D%22b.jpg%22"):
        reply = bench.get("/down/a.jpg?" + query)
        assert reply.header("Content-Disposition") == inline.replace("inline", "attachment"), query
    for query in ("downloads", "download=0", "x=download", "response-content-disposition=inline"):
        assert bench.get("/down/a.jpg?" + query).header("Content-Disposition") == inline, query
    assert len(bench.runs("/down/")) == 1


def test_json_is_compressed_also_behind_a_proxy(bench):
    for kind in ("json", "ld+json", 'ld+json;profile="http:%2F%2Fiiif.io%2Fapi"'):
        headers = {"Accept_Encoding": "gzip", "Via": "1.1 cdn.example"}
        reply = bench.get(f"/zip/{kind}/type=application+{kind}/size=9000/info.json", **headers)
        assert reply.header("Content-Encoding") == "gzip" and len(reply.body) < 5000
        assert "Accept-Encoding" in reply.header("Vary")
    reply = bench.get("/zip/type=image+jpeg/size=9000", Accept_Encoding="gzip")
    assert reply.header("Content-Encoding") is None and len(reply.body) == 9000


def test_stale_answers_outlive_the_pool(scratch, responder):
    with Bench(scratch / "stale", responder, workers=1) as bench:
        assert bench.get("/kept/size=100/expires=1").status == 200
        bench.stack.supervisorctl("stop", "all")
        time.sleep(EXPIRED)
        assert len(bench.get("/kept/size=100/expires=1").body) == 100
        busy = bench.get("/other")
        assert (busy.status, busy.header("Retry-After")) == (503, "2")
        assert busy.header("Access-Control-Allow-Origin") == "*"


def test_eviction_fails_no_request(scratch, responder):
    """More than max_size is written for longer than the cache manager sleeps."""
    changes = {"max_size=10g": "max_size=2m"}
    with Bench(scratch / "evict", responder, changes=changes) as bench:
        cache = bench.stack.folder / "cache"

        def held():
            return sum(f.stat().st_size for f in cache.rglob("*") if f.is_file())
        bad, n, most, now = 0, 0, 0, 0
        end = time.monotonic() + 26
        while time.monotonic() < end and not (now < most / 2 and time.monotonic() > end - 8):
            replies = in_parallel(4, lambda i: bench.get(f"/evict/{n % 1500 + i}/size=40000"))
            bad += sum(getattr(r, "status", 0) != 200 or len(r.body) != 40000 for r in replies)
            n += 4
            if n % 100 == 0:
                try:
                    now = held()
                except FileNotFoundError:
                    continue
                most = max(most, now)
            time.sleep(0.02)
        assert bad == 0 and n > 500
        assert most < n * 40000 / 2 or now < most / 2, "nothing was evicted"
