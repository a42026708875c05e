# SPDX-License-Identifier: BSD-2-Clause
"""Originals over HTTP through nginx, workers and fetchers: what comes of each thing that an origin may do."""
import gzip
import os
import time

import pytest
from bench import in_parallel
from origin import Origin
from shop import Shop, rule
from stack import wait_for
from web import Client

TILE = "0,0,256,256/128,/0/default.jpg"


def target(identifier, rest="full/90,/0/default.jpg", version=3):
    return f"/iiif/{version}/{identifier.replace('/', '%2F')}/{rest}"


@pytest.fixture(scope="module")
def origin(images):
    with Origin(images) as running:
        yield running


@pytest.fixture(scope="module")
def shop(scratch, binary, origin):
    """One stack for all that needs no folder of its own. Each test has a prefix, or paths, of its own."""
    quick = {"connect_timeout_ms": 500, "stall_timeout_ms": 1500, "total_timeout_ms": 4000, "revalidate_after": 1, "retries": 2}
    url = f"http://127.0.0.1:{origin.port}/"
    rules = [
        rule("web/", url=url + "{id}", **quick),
        rule("long/", url=url + "{id}", **{**quick, "revalidate_after": 3600}),
        rule("f404/", url=url + "{id}", forbidden="404", **quick),
        rule("time/", url=url + "time/{id}", validator="last-modified", **quick),
        rule("size/", url=url + "size/{id}", validator="size", **quick),
        rule("md5/", url=url + "md5/{id}", etag_is_md5=True, **quick),
        rule("small/", url=url + "{id}", max_original_bytes=5000, **quick),
        rule("basic/", url=url + "{id}?auth=basic:us:pw", user="us", password="pw", **quick),
        rule("deep/", url=url + "{shelf}/{book}.jpg", pattern="(?<shelf>[a-z]+)-(?<book>.+)", **quick),
        rule("parts/", url=url + "{1}/x?page={2}", delimiter="|", **quick),
        rule("open/", url="{id}", allowed_hosts=["127.0.0.1", "images.example"], **quick),
        rule("fall/", url=url + "{id}", fallback=[".tif -> .jpg", ".tif -> .png"], **quick),
        rule("fell/", url=url + "{id}", fallback=[".tif -> .jpg", ".tif -> .png"], **{**quick, "revalidate_after": 3600}),
        rule("http-down/", url="http://127.0.0.1:9/{id}", **quick),
    ]
    with Shop(scratch / "origins", binary, rules, cache={"max_wait_ms": 2500, "tag_header": "Surrogate-Key"}, fetchers=14,
              env={"LORIKEET_CACHE_MAX_WAITING": 60}) as running:
        yield running


def jpeg(images):
    return (images / "A.jpg").read_bytes()


def good(reply):
    return reply.status == 200 and reply.header("Content-Type") == "image/jpeg"


def test_first_second_and_info(shop, origin):
    assert good(shop.get(target("long/A.jpg")))
    assert good(shop.get(target("long/A.jpg", TILE)))
    info = shop.get(target("long/A.jpg", "info.json"))
    assert info.json["width"] > 1000 and info.header("X-IIIF-Fallback") is None
    assert info.header("Access-Control-Allow-Origin") == "*"
    assert origin.count("/A.jpg") == 1
    head = shop.get(target("long/A.jpg", "full/91,/0/default.jpg"), method="HEAD")
    assert (head.status, head.body) == (200, b"")
    again = shop.get(target("long/A.jpg"), If_None_Match=shop.get(target("long/A.jpg")).header("ETag"))
    assert again.status == 304


@pytest.mark.sanitize
def test_cold_head_and_conditions_and_download(shop, origin):
    """What the first request for an original asks for arrives at the worker after two hand-overs."""
    for name in ("c1.jpg", "c2.jpg", "c3.jpg", "c4.jpg"):
        os.link(shop.images / "E.jpg", shop.images / name)
    assert shop.get(target("long/c1.jpg"), method="HEAD").status == 200
    assert good(shop.get(target("long/c1.jpg")))
    assert shop.get(target("long/c2.jpg"), If_None_Match="*").status == 304
    assert shop.get(target("long/c3.jpg") + "?download=1").header("Content-Disposition").startswith("attachment")
    packed = shop.get(target("long/c4.jpg", "info.json"), Accept_Encoding="gzip")
    assert packed.header("Content-Encoding") == "gzip" and b"iiif" in gzip.decompress(packed.body)


def test_the_identifier_is_named_for_the_cdn(shop):
    for rest in ("info.json", "full/90,/0/default.jpg"):
        assert shop.get(target("long/A.jpg", rest)).header("Surrogate-Key") == "long%2FA.jpg"
        assert shop.get(target("web/no%20such%20one.jpg", rest)).header("Surrogate-Key") == "web%2Fno%20such%20one.jpg"


def test_missing_is_remembered_for_a_while(shop, origin):
    for _ in range(3):
        assert shop.get(target("web/none.jpg", f"full/{80 + _},/0/default.jpg")).status == 404
    assert shop.get(target("web/none.jpg", "info.json")).json["status"] == 404
    assert origin.count("/none.jpg") == 1


FAULTS = [
    ({"status": 403}, 403), ({"status": 401}, 403), ({"status": 410}, 404), ({"status": 500}, 502), ({"status": 503}, 502),
    ({"status": 429, "retry_after": "7"}, 503), ({"stall": "head"}, 504), ({"stall": "100"}, 504), ({"close": "head"}, 502),
    ({"close": "1000"}, 502), ({"length": "+500"}, 502), ({"redirect": "http://127.0.0.1:9/x.jpg"}, 502),
    ({"redirect": "http://169.254.169.254/latest"}, 502), ({"redirect": "file:///etc/passwd"}, 502),
    ({"type": "text/html"}, 502), ({"gzip": "cut"}, 502), ({"digest": "md5", "wrong": "1"}, 502),
    ({"digest": "repr", "wrong": "1"}, 502), ({"digest": "sha256", "wrong": "1"}, 502), ({"digest": "crc32", "wrong": "1"}, 502),
]


def all_of(cases, check):
    """The cases at once, as each waits; the first failure, if any, with its case."""
    for case, result in zip(cases, in_parallel(len(cases), lambda i: check(i, cases[i]))):
        if isinstance(result, BaseException):
            raise AssertionError(f"{case}: {result!r}") from result


def test_faults(shop, origin):
    def check(i, case):
        fault, status = case
        name, ask = f"fault-{i}.jpg", Client(shop.stack.port).ask
        os.link(shop.images / "E.jpg", shop.images / name)
        origin.script("/" + name, fault)
        reply = ask(target("web/" + name))
        # The client waits 2.5 s at the longest, then the answer is 503 and the work goes on.
        late = reply.status == 503 and b"not here yet" in reply.body
        assert reply.status == status or (late and status == 504), (reply.status, reply.body)
        assert (reply.header("Retry-After") is not None) == (reply.status in (502, 503, 504))
        assert b"127.0.0.1" not in reply.body and b"/" not in reply.body
        if "retry_after" in fault:
            assert reply.header("Retry-After") == "7"
        origin.script("/" + name, None)
        if status not in (403, 404):
            wait_for("the mended origin", 12, lambda: good(ask(target("web/" + name))))
    all_of(FAULTS, check)


ODDITIES = [
    {"status": 500, "times": "2"}, {"close": "2000", "times": "1"}, {"gzip": "1"}, {"chunked": "1"}, {"chunked": "none"},
    {"etag": "weak"}, {"etag": '"abc-5"'}, {"etag": "none"}, {"etag": "none", "modified": "none"}, {"ranges": "none"},
    {"modified": "new"}, {"digest": "md5"}, {"digest": "repr"}, {"digest": "sha256"}, {"digest": "sha1"}, {"digest": "crc32"},
    {"type": "application/octet-stream"}, {"conditions": "none"}, {"drip": "400000"}, {"redirect": "/A.jpg"},
]


def test_oddities_are_served(shop, origin):
    """Unchanged is unchanged, however the origin says so."""
    def check(i, how):
        name, ask = f"odd-{i}.jpg", Client(shop.stack.port).ask
        os.link(shop.images / "E.jpg", shop.images / name)
        origin.script("/" + name, how)
        first = ask(target("web/" + name))
        assert good(first), (first.status, first.body)
        time.sleep(2.1)
        for k in range(3):
            assert good(ask(target("web/" + name, f"full/{100 + k},/0/default.jpg")))
            time.sleep(0.3)
        again = ask(target("web/" + name))
        assert good(again) and again.header("ETag") == first.header("ETag")
        # It was asked after, and is not fetched with each request.
        assert 2 <= origin.count("/A.jpg" if "redirect" in how else "/" + name) <= 8 or "redirect" in how
    all_of(ODDITIES, check)


def test_forbidden_may_mean_missing(shop, origin):
    origin.script("/secret.jpg", {"status": 403})
    assert shop.get(target("f404/secret.jpg")).status == 404
    assert shop.get(target("web/secret.jpg")).status in (403, 404)


def test_a_changed_original_is_noticed(shop, origin):
    name = shop.images / "changes.jpg"
    name.write_bytes((shop.images / "E.jpg").read_bytes())
    first = shop.get(target("web/changes.jpg", "info.json"))
    picture = shop.get(target("web/changes.jpg"))
    name.write_bytes((shop.images / "G.jpg").read_bytes())
    os.utime(name, (2_000_000_000, 2_000_000_000))

    def is_new():
        info = shop.get(target("web/changes.jpg", "info.json"))
        return info.header("ETag") != first.header("ETag") and info.json["width"] != first.json["width"]
    wait_for("the new original", 8, is_new)
    wait_for("the new picture", 8, lambda: shop.get(target("web/changes.jpg")).header("ETag") != picture.header("ETag"))


def test_an_original_that_goes_away(shop, origin):
    name = shop.images / "goes.jpg"
    name.write_bytes((shop.images / "E.jpg").read_bytes())
    assert good(shop.get(target("web/goes.jpg")))
    name.unlink()
    wait_for("404", 8, lambda: shop.get(target("web/goes.jpg", "info.json")).status == 404)


def test_stale_while_the_origin_fails(shop, origin):
    os.link(shop.images / "E.jpg", shop.images / "stale.jpg")
    assert good(shop.get(target("web/stale.jpg")))
    origin.script("/stale.jpg", {"status": 500})
    asked = origin.count("/stale.jpg")
    time.sleep(2.1)
    for i in range(8):
        reply = shop.get(target("web/stale.jpg", f"full/{60 + i},/0/default.jpg"))
        assert good(reply)
        time.sleep(0.2)
    assert origin.count("/stale.jpg") - asked <= 3, "more than one asked for it"
    assert "max-age=5" in reply.header("Cache-Control")


def test_validators_by_rule(shop, origin):
    for prefix, how in (("time", {"etag": "change"}), ("size", {"modified": "new"})):
        folder = shop.images / prefix
        folder.mkdir(exist_ok=True)
        os.link(shop.images / "E.jpg", folder / "v.jpg")
        count = [0]

        def other_node(request, how=how, count=count):
            count[0] += 1
            return {"etag": f'"node-{count[0]}"', **({"modified": "new"} if prefix == "size" else {})}
        origin.script(f"/{prefix}/v.jpg", other_node)
        first = shop.get(target(f"{prefix}/v.jpg"))
        assert good(first)
        time.sleep(2.1)
        for i in range(4):
            assert good(shop.get(target(f"{prefix}/v.jpg", f"full/{70 + i},/0/default.jpg")))
            time.sleep(0.3)
        assert shop.get(target(f"{prefix}/v.jpg")).header("ETag") == first.header("ETag")
        assert count[0] >= 2


def test_etag_as_md5(shop, origin):
    import hashlib
    folder = shop.images / "md5"
    folder.mkdir(exist_ok=True)
    body = (shop.images / "E.jpg").read_bytes()
    for name in ("right.jpg", "wrong.jpg", "parts.jpg"):
        (folder / name).write_bytes(body)
    sum_of = hashlib.md5(body).hexdigest()
    origin.script("/md5/right.jpg", {"etag": f'"{sum_of}"'})
    origin.script("/md5/parts.jpg", {"etag": f'"{"0" * 32}-7"'})
    origin.script("/md5/wrong.jpg", {"etag": f'"{"0" * 32}"'})
    assert good(shop.get(target("md5/right.jpg"))) and good(shop.get(target("md5/parts.jpg")))
    assert shop.get(target("md5/wrong.jpg")).status == 502
    # A wrong sum once is asked for again.
    origin.script("/md5/once.jpg", [{"etag": f'"{"0" * 32}"'}, {"etag": f'"{sum_of}"'}])
    (folder / "once.jpg").write_bytes(body)
    assert good(shop.get(target("md5/once.jpg")))


def test_limits_of_size(shop):
    assert shop.get(target("small/A.jpg")).status == 413


def test_credentials(shop):
    assert good(shop.get(target("basic/A.jpg")))


def test_a_password_may_be_replaced(scratch, binary, origin, images):
    """What was fetched with the old one stays; what is new is fetched with the new one."""
    folder = scratch / "rotation"
    secret = scratch / "rotation-password"
    secret.write_text("old\n")
    secret.chmod(0o644)
    names = ["rotated-1.jpg", "rotated-2.jpg"]
    for name in names:
        os.link(images / "O.jpg", images / name)
    rules = [rule("u/", url=origin.url("/") + "{id}", user="us", secret_file=str(secret),
                  revalidate_after=3600)]
    with Shop(folder, binary, rules, fetchers=1, workers=1) as kept:
        origin.script("/" + names[0], {"auth": "basic:us:old"})
        assert good(kept.get(target("u/" + names[0])))
        secret.write_text("new\n")
        for name in names:
            origin.script("/" + name, {"auth": "basic:us:new"})
        kept.stack.supervisorctl("restart", "all")
        kept.stack.wait_until_serving()
        assert good(kept.get(target("u/" + names[0], "full/91,/0/default.jpg"))) and origin.count("/" + names[0]) == 1
        assert good(kept.get(target("u/" + names[1])))


def test_templates(shop, origin):
    folder = shop.images / "shelf"
    folder.mkdir(exist_ok=True)
    os.link(shop.images / "E.jpg", folder / "a+b é%20c.jpg")
    assert good(shop.get("/iiif/3/deep%2Fshelf-a%2Bb%20%C3%A9%2520c/full/80,/0/default.jpg"))
    assert origin.requests[-1].target == "/shelf/a%2Bb%20%C3%A9%2520c.jpg"
    shop.get("/iiif/3/parts%2Fa%2F%2Fb%7Cx%26y%2Fz/info.json")
    assert origin.requests[-1].target == "/a//b/x?page=x%26y%2Fz"
    assert shop.get("/iiif/3/web%2F..%2FA.jpg/info.json").status == 404
    assert shop.get("/iiif/3/deep%2Fnothing/info.json").status == 404


def test_identifiers_that_are_addresses(shop, origin):
    """127.0.0.1 is among the allowed hosts, but no public address."""
    asked = len(origin.requests)
    inside = origin.url("/A.jpg").replace(":", "%3A").replace("/", "%2F")
    assert shop.get(f"/iiif/3/open%2F{inside}/info.json").status in (403, 404, 502)
    assert shop.get("/iiif/3/open%2Fhttp%3A%2F%2Fother.example%2Fa.jpg/info.json").status == 404
    assert shop.get("/iiif/3/open%2Ffile%3A%2F%2F%2Fetc%2Fpasswd/info.json").status == 404
    assert len(origin.requests) == asked


def test_a_crowd_fetches_once(shop, origin):
    os.link(shop.images / "A.jpg", shop.images / "crowd.jpg")
    origin.script("/crowd.jpg", {"drip": "3000000"})

    def ask(i):
        client = Client(shop.stack.port)
        for _ in range(20):
            reply = client.ask(target("web/crowd.jpg", f"{i},0,64,64/32,/0/default.jpg"))
            if reply.status != 503:
                return reply.status
            assert reply.header("Retry-After")
            time.sleep(0.5)
        return reply.status
    assert set(in_parallel(100, ask)) == {200}
    assert origin.count("/crowd.jpg") - sum(r.headers.get("If-None-Match") is not None for r in origin.asked("/crowd.jpg")) == 1
    same = in_parallel(100, lambda i: Client(shop.stack.port).ask(target("web/crowd.jpg", "full/77,/0/default.jpg")).status)
    assert set(same) == {200}


def test_fallbacks(shop, origin, images):
    """The first candidate is missing, damaged, of no known kind: the next serves, info.json and images alike."""
    jpg = (images / "E.jpg").read_bytes()
    damaged = jpg[:len(jpg) // 2]
    cases = {"fb-missing": None, "fb-damaged": damaged, "fb-text": b"hello, this is no image " * 40, "fb-empty": b""}
    for name, body in cases.items():
        (shop.images / f"{name}.jpg").write_bytes(jpg)
        if body is not None:
            (shop.images / f"{name}.tif").write_bytes(body)
        for rest in ("info.json", "full/90,/0/default.jpg", TILE):
            reply = shop.get(target(f"fell/{name}.tif", rest))
            assert reply.status == 200, (name, rest, reply.body, shop.words())
            assert reply.header("X-IIIF-Fallback") == "1", name
            assert "max-age=300" in reply.header("Cache-Control")
    (shop.images / "fb-good.tif").write_bytes(jpg)
    (shop.images / "fb-good.jpg").write_bytes(jpg)
    reply = shop.get(target("fell/fb-good.tif", "info.json"))
    assert reply.status == 200 and reply.header("X-IIIF-Fallback") is None
    assert origin.count("/fb-good.jpg") == 0


def error_of(code):
    return f"<Error><Code>{code}</Code></Error>"


TRANSIENT = [{"status": 500}, {"stall": "head"}, {"status": 503, "text": error_of("SlowDown")}, {"status": 403},
             {"status": 403, "text": error_of("RequestTimeTooSkewed")}, {"status": 403, "text": error_of("InvalidObjectState")},
             {"status": 301, "text": error_of("PermanentRedirect")}, {"close": "head"}]


def test_no_fallback_while_the_origin_fails(shop, origin):
    def check(i, fault):
        name = f"nofb-{i}"
        for ending in ("jpg", "tif"):
            (shop.images / f"{name}.{ending}").write_bytes((shop.images / "E.jpg").read_bytes())
        origin.script(f"/{name}.tif", fault)
        reply = Client(shop.stack.port).ask(target(f"fall/{name}.tif", "info.json"))
        assert reply.status in (403, 502, 503, 504), reply.status
        assert origin.count(f"/{name}.jpg") == 0
    all_of(TRANSIENT, check)


def test_a_mended_original_serves_again(shop, origin):
    jpg = (shop.images / "E.jpg").read_bytes()
    (shop.images / "mend.jpg").write_bytes(jpg)
    (shop.images / "mend.tif").write_bytes(jpg[:3000])
    assert shop.get(target("fall/mend.tif", "info.json")).header("X-IIIF-Fallback") == "1"
    (shop.images / "mend.tif").write_bytes(jpg)
    os.utime(shop.images / "mend.tif", (2_000_000_000, 2_000_000_000))
    time.sleep(1.1)
    wait_for("the mended original", 10,
             lambda: shop.get(target("fall/mend.tif", "info.json")).header("X-IIIF-Fallback") is None)


def test_an_origin_that_is_down(shop):
    reply = shop.get(target("http-down/a.jpg"))
    assert reply.status == 502 and reply.header("Retry-After")


def counts(shop):
    lines = shop.get("/metrics").body.decode().splitlines()
    return {k: float(v) for k, v in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


def test_metrics(shop, origin):
    before = counts(shop)
    for i, fault in enumerate([None, {"status": 404}, {"status": 500}, {"stall": "head"}, {"status": 429}, {"status": 403}]):
        os.link(shop.images / "E.jpg", shop.images / f"count-{i}.jpg")
        origin.script(f"/count-{i}.jpg", fault)
        shop.get(target(f"web/count-{i}.jpg"))
    origin.script("/count-6.tif", {"status": 404})
    os.link(shop.images / "E.jpg", shop.images / "count-6.jpg")
    assert shop.get(target("fall/count-6.tif")).header("X-IIIF-Fallback") == "1"
    wait_for("the late one", 8, lambda: counts(shop)["lorikeet_origin_timeouts_total"] > before["lorikeet_origin_timeouts_total"])
    after = counts(shop)
    for name, least in (("cache_hits", 2), ("cache_misses", 7), ("origin_requests", 8), ("origin_bytes", 5000), ("origin_missing", 2),
                        ("origin_failed", 1), ("origin_timeouts", 1), ("origin_throttled", 1), ("origin_denied", 1), ("fallbacks", 1),
                        ("waits_late", 1)):
        assert after[f"lorikeet_{name}_total"] - before[f"lorikeet_{name}_total"] >= least, name
    assert after["lorikeet_cache_usable"] == 1 and after["lorikeet_cache_originals"] > 0 and after["lorikeet_cache_bytes"] > 8192
    assert shop.get("/metrics", X_Forwarded_For="192.0.2.7").status == 403


def test_steps_cannot_be_asked_for(shop):
    for path in ("/.iiif/fetch-1/image", "/.iiif/pool-1/info.json", "/%2Eiiif/pool-1/image"):
        assert shop.get(path).status == 404
