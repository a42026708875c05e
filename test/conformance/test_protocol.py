# SPDX-License-Identifier: BSD-2-Clause
"""HTTP around the API: CORS, methods, redirects, identifiers, errors, caching headers, addresses."""
import email.utils
import json
import os
import time
import urllib.parse

import pytest
from PIL import Image as Picture

import make_images
from harness import VERSIONS, Client, boot, config_text

FULL = {2: "full", 3: "max"}
IMAGE = "full/50,/0/default.jpg"
BAD = ["full/max/0/default.xyz", "full/max/400/default.jpg", "9999999,0,1,1/max/0/default.jpg",
       "full/0,/0/default.jpg", "full/max/0/best.jpg", "nothing/max/0/default.jpg"]


def cors(reply):
    return reply.headers.get_all("Access-Control-Allow-Origin") == ["*"]


# -- every answer -----------------------------------------------------------------------------------

@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("rest,status", [
    ("p/info.json", 200), (f"p/{IMAGE}", 200), ("p", 303), ("p/", 303), ("nosuch", 303),
    ("nosuch/info.json", 404), (f"nosuch/{IMAGE}", 404), ("", 404), ("/", 404),
    ("p/full/max/0/default", 400), ("p/full/max/0", 404), ("p/full/max", 404), ("p/full", 404),
    ("p/full/max/0/default.jpg/", 404), ("p/full/max/0/default.jpg/x", 404), ("p/info.json/", 404),
    ("p/INFO.JSON", 404), ("p/info.xml", 404), ("p//full/max/0/default.jpg", 404),
    ("p/%zz/max/0/default.jpg", 400), ("p/full/max/0/default.jpg%", 400), *[(f"p/{b}", 400) for b in BAD]])
def test_status_and_cors(server, version, rest, status):
    wanted = {404, 303} if rest == "nosuch" else {400, 404} if not rest.strip("/") else {status}
    for method in ("GET", "HEAD"):
        reply = server.ask(f"/iiif/{version}/{rest}", method)
        assert reply.status in wanted and cors(reply), method
        assert method == "GET" or reply.body == b""
        if reply.status >= 400:
            assert reply["Cache-Control"] == "max-age=1" and reply["Set-Cookie"] is None


@pytest.mark.parametrize("path", ["/", "/iiif", "/iiif/", "/iiif/4/p/info.json", "/iiif/33/p/info.json", "/other",
                                  "/iiif/3p/info.json"])
def test_not_ours(server, path):
    reply = server.get(path)
    assert reply.status == 404 and cors(reply)


def test_nginx_own_errors(server):
    for path, wanted in ((b"/iiif/3/" + b"a" * 100000 + b"/info.json", {414, 400}), (b"/iiif/3/a b/info.json", {400}),
                         (b"/iiif/3/%00/info.json", {400, 404})):
        reply = server.ask(path)
        server.close()
        assert reply.status in wanted and cors(reply), path[:30]
    with_host = Client(server.port, host="unknown.example")
    reply = with_host.get("/iiif/3/p/info.json")
    assert reply.status == 421 and cors(reply)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("rest", ["p/info.json", f"p/{IMAGE}", "p"])
def test_other_methods(server, version, method, rest):
    reply = server.ask(f"/iiif/{version}/{rest}", method)
    assert reply.status == 405 and cors(reply)
    allowed = {m.strip() for m in reply["Allow"].split(",")}
    assert {"GET", "HEAD", "OPTIONS"} <= allowed and not {"POST", "PUT", "DELETE", "PATCH"} & allowed
    # and the answer is nobody's cached one
    assert server.get(f"/iiif/{version}/{rest}").status in (200, 303)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("rest", ["p/info.json", f"p/{IMAGE}", "p", "nosuch/info.json"])
def test_preflight(server, version, rest):
    reply = server.ask(f"/iiif/{version}/{rest}", "OPTIONS", {
        "Origin": "https://viewer.example", "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization, x-custom"})
    assert reply.status in (200, 204) and cors(reply)
    assert {"GET", "HEAD", "OPTIONS"} <= {m.strip() for m in reply["Access-Control-Allow-Methods"].split(",")}
    assert {"authorization", "x-custom"} <= {
        h.strip().lower() for h in reply["Access-Control-Allow-Headers"].split(",")}
    assert int(reply["Access-Control-Max-Age"]) > 0
    reply = server.get(f"/iiif/{version}/{rest}")
    assert reply.body or reply.status == 303, "the cache keeps the preflight's empty body"


def test_preflight_reflects_no_junk(server):
    """What is asked for comes back as header names or not at all."""
    reply = server.ask("/iiif/3/p/info.json", "OPTIONS", {
        "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": 'x-a, <b>"c"; d=e\x01'})
    assert reply.status in (200, 204, 400)
    assert not set('<>"\x01') & set(reply["Access-Control-Allow-Headers"] or "")


@pytest.mark.parametrize("version", VERSIONS)
def test_expose_headers(server, version):
    assert "Link" in server.get(f"/iiif/{version}/p/{IMAGE}")["Access-Control-Expose-Headers"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("rest", ["p/info.json", f"p/{IMAGE}"])
def test_head_then_get(server, version, rest):
    """A HEAD leaves no empty body in the cache; the query makes no difference."""
    path = f"/iiif/{version}/{rest.replace('50,', '51,')}"
    head = server.head(path)
    get = server.get(path)
    assert head.status == get.status == 200 and head.body == b"" and get.body
    for name in ("Content-Type", "Link", "ETag", "Last-Modified", "Cache-Control", "Content-Disposition",
                 "Access-Control-Allow-Origin", "Access-Control-Expose-Headers"):
        assert head[name] == get[name], name
    if rest.endswith("info.json"):
        assert all("Accept" in reply.headers.get_all("Vary") for reply in (head, get))
    assert server.head(path).body == b"" and server.get(path + "?x=1").body == get.body


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("query", ["", "?", "?x=1", "?/full/max/0/default.jpg", "?%zz", "?a?b/../.."])
def test_query_is_ignored(server, version, query):
    reply = server.get(f"/iiif/{version}/p/{IMAGE}{query}")
    assert reply.status == 200 and "?" not in reply["Link"]
    assert server.get(f"/iiif/{version}/p{query}")["Location"] == f"{server.url}/iiif/{version}/p/info.json"
    assert json.loads(server.get(f"/iiif/{version}/p/info.json{query}").body)


# -- identifiers ------------------------------------------------------------------------------------

NAMES = {  # file below the root: identifiers that name it
    "plain.jpg": ["plain.jpg", "%70lain%2Ejpg", "plain%2ejpg"],
    "sub/deep/x.jpg": ["sub%2Fdeep%2Fx.jpg", "sub%2fdeep%2fx.jpg"],
    "a%3Cb": ["a%253Cb", "a%253cb".replace("3c", "3C")],
    "a<b": ["a%3Cb"],
    'quo"te\'s.jpg': ["quo%22te's.jpg", "quo%22te%27s.jpg", "quo\"te's.jpg"],
    "sp ace.jpg": ["sp%20ace.jpg"],
    "pl+us.jpg": ["pl+us.jpg", "pl%2Bus.jpg"],
    "na\u00efve.jpg": ["na%C3%AFve.jpg", "na\u00c3\u00afve.jpg"],  # the latter: raw UTF-8 bytes
    "\u56fe\u50cf.jpg": ["%E5%9B%BE%E5%83%8F.jpg"],
    "ark:": ["ark:", "ark%3A"],
    "urn:foo:a123,456": ["urn:foo:a123,456"],
    "q?&#=.jpg": ["q%3F&%23=.jpg", "q%3F%26%23%3D.jpg"],
    "info.json": ["info.json", "info%2Ejson"],
    "full": ["full"],
    "$(x)`y`;z": ["$(x)%60y%60%3Bz"],
    "<script>alert(1)<": ["%3Cscript%3Ealert(1)%3C"],
    "..dots..": ["..dots.."],
    "br{a}ce[s]|^~": ["br%7Ba%7Dce%5Bs%5D%7C%5E~", "br{a}ce[s]|^~"],
    "%": ["%25"],
    "perc%2Fent": ["perc%252Fent"],
}
NONE = [  # identifiers that must name nothing
    "plain.jp", "Plain.jpg", "sub", "sub%2Fdeep", "sub%2F", "sub%2Fdeep%2F", "plain.jpg%2F", "%2Fplain.jpg", ".",
    "..", "%2E%2E", ".%2Fplain.jpg", "sub%2F..%2Fplain.jpg", "sub%2F%2Fdeep%2Fx.jpg", "sub%2F.%2Fdeep%2Fx.jpg",
    "..%2Fidentifiers%2Fplain.jpg", "..%2F..%2F..%2F..%2F..%2Fetc%2Fpasswd", "%2Fetc%2Fpasswd", "sub%5Cdeep%5Cx.jpg",
    "..%5C..%5Cetc%5Cpasswd", "plain.jpg%00", "%00", "plain.jpg%00.png", "plain%0A.jpg", "plain.jpg%0D%0AX-A:%20b",
    "%01", "%7F", "%ff%fe", "%C0%AE%C0%AE%2Fplain.jpg", "%ED%A0%80", "secret", "outside", "fifo", "a%25%33Cb%25",
    "sub%252Fdeep%252Fx.jpg", "plain.jpg.json", "notes.txt", "empty.jpg", "a" * 255, "a" * 256, "a" * 5000,
    "%2F".join(["a" * 200] * 10), "..%2f" * 50, "%20", "~", "*", "plain*", "%252e%252e%252fplain.jpg",
    "file:%2F%2F%2Fetc%2Fpasswd", "http:%2F%2F127.0.0.1%2Fx", "%7Cid", "ephemeral:x", "msl:x", "@plain.jpg"]


@pytest.fixture(scope="module")
def ids(binary, scratch, board_images):
    root = scratch / "identifiers"
    (root / "sub" / "deep").mkdir(parents=True)
    for name in NAMES:
        os.link(board_images / "p", root / name)
    (root / "notes.txt").write_text("no picture at all")
    (root / "empty.jpg").write_bytes(b"")
    (scratch / "secret").write_bytes((board_images / "p").read_bytes())
    (root / "outside").symlink_to(scratch / "secret")
    os.mkfifo(root / "fifo")
    rules = [("year/", root, {"immutable": True, "cache_images": 5}), ("brief/", root, {"cache_images": 11}),
             ("", root, {})]
    with boot(scratch, binary, "identifiers-server", config_text(rules)) as stack:
        yield Client(stack.port)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", NAMES)
def test_identifier(ids, version, name):
    for written in NAMES[name]:
        base = f"/iiif/{version}/{written}"
        reply = ids.get(f"{base}/{IMAGE}")
        assert reply.status == 200 and reply.picture().size == (50, 33), written
        info = ids.get(f"{base}/info.json")
        address = json.loads(info.body.decode("utf-8"))["@id" if version == 2 else "id"]
        assert address.isascii() and not set(address) & set(' <>"{}|\\^`')
        # as it was sent, but for bytes that are illegal in a URI
        want = ids.url + "".join(c if c.isascii() and c not in ' <>"{}|\\^`[]' else f"%{ord(c):02X}" for c in base)
        assert address in (want, want.replace("%5B", "[").replace("%5D", "]"))
        link = reply.canonical()
        assert link.startswith(address + "/") and ids.head(link[len(ids.url):]).status == 200
        assert ids.get(base)["Location"] == f"{address}/info.json"
        assert reply["Content-Disposition"].startswith("inline") and reply["Content-Disposition"].isascii()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("identifier", NONE, ids=[n[:50] + str(len(n)) for n in NONE])
def test_no_identifier(ids, version, identifier):
    wanted = {400, 404, 414} | ({500, 501} if identifier in ("notes.txt", "empty.jpg", "plain.jpg.json") else set())
    for rest in ("info.json", IMAGE):
        start = time.monotonic()
        reply = ids.get(f"/iiif/{version}/{identifier}/{rest}")
        assert reply.status in wanted and cors(reply), rest
        assert time.monotonic() - start < 2
        clean_error(reply)


def clean_error(reply):
    """Short, typed, and without paths, library words or request bytes that could be read as markup."""
    assert 0 < len(reply.body) < 600
    if reply.type.startswith("application/"):
        assert "error" in json.loads(reply.body)
    else:
        assert reply.type.startswith("text/plain")
    text = reply.body.decode("utf-8")
    for leak in ("/tmp", "identifiers", "/etc", "passwd", "root:", "plain", "TIFF", "libjpeg", "errno", "openat",
                 "No such file", "<", "\x01", "\r", "alert"):
        assert leak.lower() not in text.lower(), f"'{leak}' in {text!r}"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("rest", ["<script>alert(1)</script>/info.json", "%3Cscript%3Ealert(1)/info.json",
                                  "plain.jpg/<b>/max/0/default.jpg", "plain.jpg/%3Cb%3Ealert/max/0/default.jpg",
                                  "plain.jpg/full/max/0/%3Cb%3E.jpg", "plain.jpg/full/max/0/default.%3Cb%3E",
                                  "plain.jpg/full/%22%3Ealert/0/default.jpg", "%22%3E%3Cx/full/max/0/default.jpg"])
def test_errors_reflect_nothing(ids, version, rest):
    reply = ids.get(f"/iiif/{version}/{rest}")
    assert reply.status in (400, 404)
    clean_error(reply)
    for name, value in reply.headers.items():
        assert "<" not in value and "alert" not in value, name


def test_header_splitting(ids):
    for path in ("/iiif/3/plain.jpg%0D%0ASet-Cookie:%20x=1", "/iiif/3/x%0d%0aX-Evil:%201/info.json"):
        reply = ids.get(path)
        assert reply["Set-Cookie"] is None and reply["X-Evil"] is None


# -- caching headers --------------------------------------------------------------------------------

@pytest.mark.parametrize("version", VERSIONS)
class TestCaching:
    @pytest.mark.parametrize("rest", ["plain.jpg/info.json", f"plain.jpg/{IMAGE}"])
    def test_not_modified(self, ids, version, rest):
        path = f"/iiif/{version}/{rest}"
        reply = ids.get(path)
        tag, date = reply["ETag"], reply["Last-Modified"]
        assert tag.startswith('"') and tag.endswith('"') and email.utils.parsedate_to_datetime(date)
        for value in (tag, f"W/{tag}", "*", f'"other", {tag}', f'W/"x",{tag} , "y"'):
            for method in ("GET", "HEAD"):
                again = ids.ask(path, method, {"If-None-Match": value})
                assert again.status == 304 and again.body == b"" and cors(again), f"{method} {value}"
                assert again["ETag"] == tag and again["Cache-Control"] == reply["Cache-Control"]
        assert ids.get(path, If_None_Match='"other"').status == 200
        assert ids.get(path, If_None_Match='"other"', If_Modified_Since=date).status == 200
        assert ids.get(path, If_Modified_Since=date).status == 304
        past = email.utils.format_datetime(email.utils.parsedate_to_datetime(date).replace(year=2000), usegmt=True)
        assert ids.get(path, If_Modified_Since=past).status == 200
        assert ids.get(path, If_Modified_Since="yesterday").status == 200
        assert ids.get(path).body == reply.body

    def test_gzipped_tag(self, ids, version):
        """nginx weakens the tag of what it compresses; a browser sends that one back."""
        path = f"/iiif/{version}/plain.jpg/info.json"
        reply = ids.get(path, Accept_Encoding="gzip")
        assert ids.get(path, Accept_Encoding="gzip", If_None_Match=reply["ETag"]).status == 304

    def test_not_modified_is_no_excuse(self, ids, version):
        assert ids.get(f"/iiif/{version}/nosuch/{IMAGE}", If_None_Match="*").status == 404
        assert ids.get(f"/iiif/{version}/plain.jpg/{BAD[0]}", If_None_Match="*").status == 400

    def test_tags_tell_requests_apart(self, ids, version):
        paths = [f"full/{FULL[version]}/0/default.jpg", IMAGE, "full/50,/0/gray.jpg", "full/50,/0/default.png",
                 "full/50,/90/default.jpg", "full/50,/!0/default.jpg", "0,0,100,100/50,/0/default.jpg"]
        tags = [ids.head(f"/iiif/{version}/plain.jpg/{p}")["ETag"] for p in paths]
        assert len(set(tags)) == len(paths)

    def test_equal_requests_equal_tags(self, ids, version):
        same = ["full/50,/0/default.jpg", "full/50,33/0/default.jpg", "0,0,300,200/50,/360/color.jpg"]
        assert len({ids.head(f"/iiif/{version}/plain.jpg/{p}")["ETag"] for p in same}) == 1

    def test_classes(self, ids, version):
        def control(path):
            return {w.strip() for w in ids.get(f"/iiif/{version}/{path}")["Cache-Control"].split(",")}
        assert {"max-age=86400", "stale-while-revalidate=60", "stale-if-error=604800"} <= control(f"plain.jpg/{IMAGE}")
        assert "max-age=300" in control("plain.jpg/info.json")
        assert "max-age=11" in control(f"brief%2Fplain.jpg/{IMAGE}")
        assert {"max-age=31536000", "immutable"} <= control(f"year%2Fplain.jpg/{IMAGE}")
        assert "immutable" not in control("year%2Fplain.jpg/info.json")
        assert control("nosuch/info.json") == control(f"plain.jpg/{BAD[0]}") == {"max-age=1"}

    def test_disposition(self, ids, version):
        def disposition(path):
            return ids.get(f"/iiif/{version}/{path}")["Content-Disposition"]
        plain = disposition(f"plain.jpg/{IMAGE}")
        assert plain.startswith('inline; filename="') and "plain" in plain and ".jpg" in plain
        assert disposition("plain.jpg/full/50,/0/default.png").split('"')[1].endswith(".png")
        for query in ("?download", "?download=1", "?response-content-disposition=attachment%3B%20filename%3Dx"):
            assert disposition(f"plain.jpg/{IMAGE}{query}") == plain.replace("inline", "attachment", 1)
        assert disposition(f"plain.jpg/{IMAGE}") == plain, "the cache keeps the attachment"
        for written in ("quo%22te's.jpg", "na%C3%AFve.jpg", "sub%2Fdeep%2Fx.jpg", "%3Cscript%3Ealert(1)%3C", "%25"):
            value = disposition(f"{written}/{IMAGE}")
            name = value.split('filename="')[1].split('"')[0]
            assert not set(name) & set('/\\<>"%;') and value.isascii()
        encoded = disposition(f"na%C3%AFve.jpg/{IMAGE}").split("filename*=UTF-8''")[1]
        assert "na\u00efve" in urllib.parse.unquote(encoded)

    def test_replaced_original(self, ids, scratch, version):
        """Another size or time of the file is another tag."""
        file = scratch / "identifiers" / f"changing{version}.jpg"
        path = f"/iiif/{version}/changing{version}.jpg"
        Picture.fromarray(make_images.board(300, 200)).save(file, quality=80)
        first, info = ids.head(f"{path}/{IMAGE}"), ids.head(f"{path}/info.json")
        Picture.fromarray(make_images.board(310, 200)).save(file, quality=80)
        os.utime(file, (time.time() - 90000,) * 2)
        second = ids.head(f"{path}/{IMAGE}")
        assert first["ETag"] != second["ETag"] and first["Last-Modified"] != second["Last-Modified"]
        assert ids.head(f"{path}/info.json")["ETag"] != info["ETag"]


# -- addresses --------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def start(binary, scratch, board_images):
    """Starts a server whose configuration has the given server section."""
    running = []

    def do(name, root=board_images, rules=None, **options):
        config = config_text(rules or [("", root, {})], server=options)
        running.append(boot(scratch, binary, f"{name}-server", config).start())
        return Client(running[-1].port)
    yield do
    for stack in running:
        stack.stop()


def address(client, path):
    info = json.loads(client.get(f"{path}/info.json").body)
    return info.get("id") or info["@id"]


def test_host(server):
    """Names and ports are the client's; two hosts never see each other's."""
    other = Client(server.port, host=f"localhost:{server.port}")
    for _ in range(2):
        for client in (server, other):
            assert address(client, "/iiif/3/p") == f"{client.url}/iiif/3/p"
            assert client.get(f"/iiif/3/p/{IMAGE}").canonical().startswith(f"{client.url}/iiif/3/p/")
            assert client.get("/iiif/2/p")["Location"] == f"{client.url}/iiif/2/p/info.json"


def test_base_uri(start):
    client = start("base", base_uri="https://pictures.example.org")
    for version in VERSIONS:
        base = f"https://pictures.example.org/iiif/{version}/p"
        assert address(client, f"/iiif/{version}/p") == base
        assert client.get(f"/iiif/{version}/p")["Location"] == f"{base}/info.json"
        assert client.get(f"/iiif/{version}/p/{IMAGE}").canonical().startswith(f"{base}/")


def test_prefixes(start):
    client = start("prefixes", prefixes_2=["/iiif/2", "/old", "/old/deep"], prefixes_3=["/iiif/3", "/i/m/g", "/oldish"])
    for prefix, key in (("/iiif/2", "@id"), ("/old", "@id"), ("/old/deep", "@id"), ("/iiif/3", "id"), ("/i/m/g", "id"),
                        ("/oldish", "id")):
        info = json.loads(client.get(f"{prefix}/p/info.json").body)
        assert info[key] == f"{client.url}{prefix}/p"
        assert client.get(f"{prefix}/p/{IMAGE}").canonical().startswith(f"{client.url}{prefix}/p/")
    for path in ("/i/m/p/info.json", "/i/p/info.json", "/p/info.json", "/olde/p/info.json"):
        assert client.get(path).status == 404


def test_empty_prefix(start):
    client = start("empty", prefixes_2=[""], prefixes_3=["/iiif/3"])
    assert address(client, "/p") == f"{client.url}/p"
    assert client.get("/p")["Location"] == f"{client.url}/p/info.json"
    assert client.get(f"/p/{IMAGE}").canonical() == f"{client.url}/p/full/50,/0/default.jpg"
    assert address(client, "/iiif/3/p") == f"{client.url}/iiif/3/p"
    assert client.get("/ping").body == b"pong\n", "fixed locations win over identifiers"
    assert client.get("/").status == 404 and client.get("//info.json").status == 404


@pytest.fixture(scope="module")
def tree(scratch, board_images):
    root = scratch / "tree"
    (root / "00003" / "full").mkdir(parents=True)
    for name in ("00003/fig1.tif", "top.jpg", "00003/full/info.json"):
        os.link(board_images / "p", root / name)
    return root


def test_raw_slashes(start, tree):
    client = start("raw", raw_slashes=True, prefixes_2=[""], prefixes_3=["/iiif/3"],
                   rules=[("lax/", tree, {}), ("", tree, {})])
    for prefix, size in (("", "full"), ("/iiif/3", "max")):
        base = f"{client.url}{prefix}"
        reply = client.get(f"{prefix}/lax/00003/fig1.tif/full/{size}/0/default.jpg")
        assert reply.status == 200 and reply.picture().size == (300, 200)
        assert reply.canonical() == f"{base}/lax/00003/fig1.tif/full/{size}/0/default.jpg"
        assert address(client, f"{prefix}/lax/00003/fig1.tif") == f"{base}/lax/00003/fig1.tif"
        assert address(client, f"{prefix}/lax%2F00003%2Ffig1.tif") == f"{base}/lax%2F00003%2Ffig1.tif"
        reply = client.get(f"{prefix}/lax/00003/fig1.tif")
        assert (reply.status, reply["Location"]) == (303, f"{base}/lax/00003/fig1.tif/info.json")
        assert client.get(f"{prefix}/top.jpg/full/{size}/0/default.jpg").status == 200
        assert address(client, f"{prefix}/00003/full/info.json") == f"{base}/00003/full/info.json"
        for bad in ("lax/../lax/00003/fig1.tif", "lax/00003/../../../secret", "lax//00003/fig1.tif",
                    "lax/./00003/fig1.tif", "../../etc/passwd", "..%2F../etc/passwd"):
            assert client.get(f"{prefix}/{bad}/full/{size}/0/default.jpg").status in (400, 404), bad


def test_slash_substitute(start, tree):
    client = start("substitute", slash_substitute="~~", root=tree)
    for version in VERSIONS:
        for written in ("00003~~fig1.tif", "00003%7E%7Efig1.tif", "00003%2Ffig1.tif"):
            reply = client.get(f"/iiif/{version}/{written}/{IMAGE}")
            assert reply.status == 200, written
            assert address(client, f"/iiif/{version}/{written}") == f"{client.url}/iiif/{version}/{written}"
        for bad in ("..~~..~~etc~~passwd", "~~etc~~passwd", "00003~~..~~top.jpg", "..~~secret"):
            assert client.get(f"/iiif/{version}/{bad}/info.json").status in (400, 404)


def test_page_delimiter(start, images):
    client = start("pages", page_delimiter="@", root=images)
    assert json.loads(client.get("/iiif/3/pages.tif@2/info.json").body)["width"] == 320
    assert client.get("/iiif/3/pages.tif;2/info.json").status == 404


def test_suffixes(start, images):
    client = start("suffixes", rules=[("", images, {"suffixes": [".tif", ".jpg"]})])
    assert address(client, "/iiif/3/s420") == f"{client.url}/iiif/3/s420"
    assert client.get("/iiif/3/s420.jpg/info.json").status == 200
    assert client.get(f"/iiif/3/lzw/{IMAGE}").status == 200
    assert client.get("/iiif/3/nosuch/info.json").status == 404


@pytest.mark.parametrize("version", VERSIONS)
def test_error_types(server, version):
    """info.json's errors are JSON, the images' plain text."""
    reply = server.get(f"/iiif/{version}/nosuch/info.json")
    assert reply.type.startswith("application/json") and json.loads(reply.body)
    assert server.get(f"/iiif/{version}/nosuch/{IMAGE}").type.startswith("text/plain")
