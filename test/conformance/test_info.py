# SPDX-License-Identifier: BSD-2-Clause
"""info.json of both versions: structure, truth of what it promises, negotiation, extra keys."""
import json
import os

import pytest
from PIL import Image as Picture

import make_images
from conftest import CLASSES, identifier
from exact import Limits, pyramid
from harness import CONTEXT, LEVEL, VERSIONS, Client, boot, config_text
from worked import IMAGES

LD3 = 'application/ld+json;profile="http://iiif.io/api/image/3/context.json"'
JSON, LD = "application/json", "application/ld+json"

KEYS = {
    2: {"@context", "@id", "@type", "protocol", "profile", "width", "height", "sizes", "tiles", "license",
        "attribution", "logo", "service"},
    3: {"@context", "id", "type", "protocol", "profile", "width", "height", "maxWidth", "maxHeight",
        "maxArea", "sizes", "tiles", "preferredFormats", "rights", "extraQualities", "extraFormats",
        "extraFeatures", "partOf", "seeAlso", "service"},
}
FEATURES = {  # what a server at level 2 may add
    2: {"canonicalLinkHeader", "mirroring", "profileLinkHeader", "regionSquare", "rotationArbitrary",
        "sizeAboveFull", "sizeByWhListed", "sizeByForcedWh"},
    3: {"canonicalLinkHeader", "mirroring", "profileLinkHeader", "rotationArbitrary", "sizeUpscaling"},
}
FULL = {2: "full", 3: "max"}


def info_of(client, version, path, **headers):
    reply = client.get(f"/iiif/{version}/{path}/info.json", **headers)
    assert reply.status == 200, reply.body[:200]
    return json.loads(reply.body.decode("utf-8"))


def extras(info, version):
    """Version 3's names for what both say beyond the level."""
    if version == 3:
        return {k: info[k] for k in info if k.startswith(("extra", "max"))}
    names = {"formats": "extraFormats", "qualities": "extraQualities", "supports": "extraFeatures"}
    found = {}
    for more in info["profile"][1:]:
        found |= {names.get(k, k): v for k, v in more.items()}
    return found


def no_empty_lists(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        assert value, "an empty array"
        for v in value:
            no_empty_lists(v)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("letter", sorted(IMAGES))
def test_structure(server, version, letter):
    image, limits = IMAGES[letter]
    info = info_of(server, version, identifier(letter))
    assert next(iter(info)) == "@context" and info["@context"] == CONTEXT[version]
    assert set(info) <= KEYS[version]
    assert info["@id" if version == 2 else "id"] == f"{server.url}/iiif/{version}/{identifier(letter)}"
    assert info["protocol"] == "http://iiif.io/api/image"
    assert (info["width"], info["height"]) == (image.width, image.height)
    assert all(type(info[k]) is int for k in ("width", "height"))
    if version == 3:
        assert info["type"] == "ImageService3" and info["profile"] == "level2"
    else:
        assert info.get("@type", "iiif:Image") == "iiif:Image"
        assert info["profile"][0] == LEVEL[2] and all(isinstance(p, dict) for p in info["profile"][1:])
    no_empty_lists(info)

    more = extras(info, version)
    for key, value in (("maxWidth", limits.width), ("maxHeight", limits.height), ("maxArea", limits.area)):
        assert more.get(key) == (value or None) or key == "maxHeight" and more.get(key) == limits.width
    features = more["extraFeatures"]
    assert set(features) <= FEATURES[version] and len(set(features)) == len(features)
    wanted = {"canonicalLinkHeader", "mirroring", "profileLinkHeader"} | ({"regionSquare"} if version == 2 else set())
    assert wanted <= set(features)
    assert (("sizeAboveFull" if version == 2 else "sizeUpscaling") in features) == limits.upscale
    qualities = more["extraQualities"]
    assert set(qualities) <= {"color", "gray", "bitonal"} and len(set(qualities)) == len(qualities)
    assert "gray" in qualities and ("color" in qualities) == (not image.gray)

    (tile,) = info["tiles"]
    assert set(tile) <= {"width", "height", "scaleFactors", "type", "@type"}
    side = tile["width"]
    assert tile.get("height", side) == side and side == 512
    factors, sizes = pyramid(image.width, image.height, side, limits)
    assert tile["scaleFactors"] == factors
    assert [(s["width"], s["height"]) for s in info.get("sizes", [])] == sizes


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("n", range(len(CLASSES)))
def test_lists_within_limits(server, board_sizes, version, n):
    """What sizes and tiles promise lies within the limits, and the server gives it."""
    for name in ("o", "s", "t", "post", "half", "dot"):
        info = info_of(server, version, f"k{n}%2F{name}")
        base = f"/iiif/{version}/k{n}%2F{name}"
        no_empty_lists(info)
        limits = CLASSES[n]
        for entry in info.get("sizes", []):
            w, h = entry["width"], entry["height"]
            assert type(w) is int and type(h) is int and limits.hold(w, h), entry
            reply = server.head(f"{base}/full/{w},{h}/0/default.jpg")
            assert reply.status == 200, f"{name}: {entry}"
            if version == 2:
                assert server.head(f"{base}/full/{w},/0/default.jpg").status in (200, 400)
        for tile in info.get("tiles", []):
            tw, th = tile["width"], tile.get("height", tile["width"])
            for s in tile["scaleFactors"]:
                w, h = min(tw * s, info["width"]), min(th * s, info["height"])
                reply = server.head(f"{base}/0,0,{w},{h}/{-(-w // s)},{-(-h // s)}/0/default.jpg")
                assert reply.status == 200, f"{name}: tile {tw}x{th} at {s} is {reply.status} under {limits}"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("letter", ["P", "S", "G"])
def test_promises(server, version, letter):
    """What is listed is served; what is neither listed nor in the level is refused."""
    base = f"/iiif/{version}/{identifier(letter)}"
    more = extras(info_of(server, version, identifier(letter)), version)
    formats = {"jpg", "png"} | set(more.get("extraFormats", []))
    qualities = {"default", "color", "gray"} | set(more["extraQualities"]) | ({"bitonal"} if version == 2 else set())

    def status(path):
        return server.head(f"{base}/{path}").status
    for name in ("jpg", "png", "webp", "tif", "gif", "jp2", "pdf", "avif"):
        assert status(f"full/,10/0/default.{name}") in ({200} if name in formats else {400}), name
    for quality in ("default", "color", "gray", "bitonal"):
        assert status(f"full/,10/0/{quality}.png") in ({200} if quality in qualities else {400, 501}), quality
    features = more["extraFeatures"]
    assert status("full/,10/45/default.png") in ({200} if "rotationArbitrary" in features else {400, 501})
    up = {"S": 200, "P": 501, "G": 501}[letter]
    assert status(f"0,0,10,10/{'^' if version == 3 else ''}20,/0/default.jpg") == up


@pytest.mark.parametrize("version", VERSIONS)
def test_type_of_tiles_of_a_small_image(server, version):
    info = info_of(server, version, "p")
    assert "sizes" not in info and info["tiles"][0]["scaleFactors"] == [1]


# -- negotiation --------------------------------------------------------------------------------------

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"
ACCEPTS = [  # Accept, 3.0, 2.1
    (None, LD3, JSON), ("*/*", LD3, JSON), ("application/*", LD3, JSON),
    ("application/json", JSON, JSON), ("application/ld+json", LD3, LD),
    (LD3, LD3, LD), ('application/ld+json; profile="http://iiif.io/api/image/3/context.json"', LD3, LD),
    ("application/ld+json;charset=utf-8", LD3, LD), ("application/json;charset=utf-8", JSON, JSON),
    ("application/ld+json, application/json", LD3, LD), ("application/json, application/ld+json", LD3, LD),
    ("application/json, application/ld+json;q=0.5", JSON, JSON),
    ("application/json,application/ld+json;q=0.5", JSON, JSON),
    ("application/ld+json;q=0, */*", JSON, JSON), ("application/ld+json;q=0.0, */*", JSON, JSON),
    ("application/ld+json;q=0.5, application/json", JSON, JSON),
    ("application/json;q=0.5, application/ld+json", LD3, LD),
    ("application/json;q=0.2, application/ld+json;q=0.8", LD3, LD),
    ("application/json;q=0.8, application/ld+json;q=0.2", JSON, JSON),
    (BROWSER, LD3, JSON), ("image/png", LD3, JSON), ("", LD3, JSON), ("nonsense;;,,q=x", LD3, JSON),
]


@pytest.mark.parametrize("accept,three,two", ACCEPTS, ids=[str(a[0])[:60] for a in ACCEPTS])
def test_negotiation(server, accept, three, two):
    bodies = set()
    for version, want in ((3, three), (2, two)):
        headers = {} if accept is None else {"Accept": accept}
        for method in ("GET", "HEAD", "GET"):
            reply = server.ask(f"/iiif/{version}/p/info.json", method, headers)
            assert (reply.status, reply.type) == (200, want), f"{version} {method}"
            assert "accept" in [v.strip().lower() for v in ",".join(reply.headers.get_all("Vary")).split(",")]
        if version == 3:
            bodies.add(reply.body)
    assert bodies == {server.get("/iiif/3/p/info.json").body}


def test_gzip(server):
    import gzip
    reply = server.get("/iiif/3/a/info.json", Accept_Encoding="gzip")
    plain = server.get("/iiif/3/a/info.json")
    assert reply["Content-Encoding"] == "gzip" and plain["Content-Encoding"] is None
    assert gzip.decompress(reply.body) == plain.body


def test_profile_link(server):
    assert f'<{LEVEL[3]}>;rel="profile"' in server.get("/iiif/3/p/info.json")["Link"]


# -- stored tiles, pages, sidecars, rules -------------------------------------------------------------

SIDECAR = {
    "attribution": "Museum <b>of</b> \"Tests\" \u00e9", "logo": "https://example.org/logo.png",
    "license": ["https://example.org/licence"], "rights": "http://creativecommons.org/licenses/by/4.0/",
    "partOf": [{"id": "https://example.org/manifest", "type": "Manifest", "label": {"en": ["A book"]}}],
    "seeAlso": [{"id": "https://example.org/data.xml", "type": "Dataset", "format": "text/xml"}],
    "service": [{"id": "https://example.org/service", "type": "Service", "profile": "https://example.org/p"}],
    "max_width": 400, "max_height": 300, "max_area": 90000,
}


@pytest.fixture(scope="module")
def library(binary, scratch, images):
    root = scratch / "library"
    root.mkdir()
    for name in ("pages.tif", "tiled-deflate.tif", "tiled-none.tif", "tiled-jpeg.tif", "none.tif", "gray.tif"):
        os.link(images / name, root / name)
    for name in ("with", "bad", "list", "both", "evil"):
        os.link(images / "O.jpg", root / f"{name}.jpg")
    (root / "with.jpg.json").write_text(json.dumps(SIDECAR))
    (root / "bad.jpg.json").write_text('{"attribution": "never closed')
    (root / "list.jpg.json").write_text('["no", "object"]')
    (root / "both.jpg.json").write_text(json.dumps({"rights": "http://rightsstatements.org/vocab/NoC-CR/1.0/"}))
    (root / "evil.jpg.json").write_text(json.dumps({
        "id": "https://evil.example/", "@id": "https://evil.example/", "width": 1, "height": 1, "tiles": [],
        "@context": "x", "protocol": "x", "type": "x", "sizes": [], "max_width": 500}))
    Picture.fromarray(make_images.board(1501, 1103)).save(root / "small-tiles.png")
    rights = "http://creativecommons.org/publicdomain/mark/1.0/"
    extra = json.dumps({"service": [{"id": "https://example.org/rule", "type": "Service"}],
                        "attribution": "By rule"})
    rules = [("rule/", root, {"rights": rights, "preferred_formats": ["png", "jpg"], "info_json": extra,
                              "cache_info": 7}),
             ("bare/", root, {"sidecars": False}), ("", root, {})]
    with boot(scratch, binary, "library-server", config_text(rules, images={"tile_size": 384})) as stack:
        yield Client(stack.port)


@pytest.mark.parametrize("version", VERSIONS)
class TestLibrary:
    def test_default_limit(self, library, version):
        assert extras(info_of(library, version, "both.jpg"), version)["maxArea"] == 100000000

    def test_tile_size_option(self, library, version):
        assert info_of(library, version, "both.jpg")["tiles"] == [{"width": 384, "scaleFactors": [1, 2, 4]}]

    @pytest.mark.parametrize("name,stored", [("tiled-deflate.tif", (128, 128)), ("tiled-none.tif", (256, 128)),
                                             ("tiled-jpeg.tif", (256, 256)), ("none.tif", (384, 384))])
    def test_stored_tiles(self, library, version, name, stored):
        """Stored tiles are announced, small ones in multiples of at least min_tile_size."""
        info = info_of(library, version, name)
        (tile,) = info["tiles"]
        announced = tile["width"], tile.get("height", tile["width"])
        assert all(side >= 256 and side % part == 0 for side, part in zip(announced, stored))
        assert max(announced) <= 2 * max(256, *stored)
        last = tile["scaleFactors"][-1]
        assert tile["scaleFactors"] == [2 ** i for i in range(last.bit_length())]
        assert -(-1003 // last) <= announced[0] and -(-701 // last) <= announced[1]
        assert [(s["width"], s["height"]) for s in info["sizes"]] == [
            (-(-1003 // s), -(-701 // s)) for s in reversed(tile["scaleFactors"][1:])]

    def test_gray(self, library, version):
        assert "color" not in extras(info_of(library, version, "gray.tif"), version)["extraQualities"]

    @pytest.mark.parametrize("page,size", [("", (400, 300)), (";1", (400, 300)), (";2", (320, 200)),
                                           (";3", (1003, 701)), ("%3B2", (320, 200))])
    def test_page(self, library, version, page, size):
        info = info_of(library, version, f"pages.tif{page}")
        assert (info["width"], info["height"]) == size
        assert info["@id" if version == 2 else "id"].endswith(f"/pages.tif{page}")
        reply = library.get(f"/iiif/{version}/pages.tif{page}/full/{FULL[version]}/0/default.jpg")
        assert reply.picture().size == size

    @pytest.mark.parametrize("page", [";0", ";4", ";99999999999999999999", ";x", ";", ";-1", ";1;2"])
    def test_no_such_page(self, library, version, page):
        assert library.get(f"/iiif/{version}/pages.tif{page}/info.json").status in (400, 404)

    def test_sidecar(self, library, version):
        info = info_of(library, version, "with.jpg")
        assert set(info) <= KEYS[version]
        if version == 2:
            for key in ("attribution", "logo", "license"):
                assert info[key] == SIDECAR[key]
        else:
            for key in ("rights", "partOf", "seeAlso", "service"):
                assert info[key] == SIDECAR[key]
        more = extras(info, version)
        assert (more["maxWidth"], more["maxHeight"], more["maxArea"]) == (400, 300, 90000)
        limits = Limits(400, 300, 90000)
        assert [(s["width"], s["height"]) for s in info["sizes"]] == pyramid(1001, 667, 384, limits)[1]
        above = library.get(f"/iiif/{version}/with.jpg/full/401,/0/default.jpg")
        assert above.status == {2: 404, 3: 400}[version]
        reply = library.get(f"/iiif/{version}/with.jpg/full/max/0/default.jpg")
        assert reply.picture().size == (367, 245)  # the area binds: isqrt(90000 * 1001 / 667)

    def test_sidecar_switched_off(self, library, version):
        info = info_of(library, version, "bare%2Fwith.jpg")
        assert not {"attribution", "rights", "partOf", "seeAlso"} & set(info)
        assert "maxWidth" not in extras(info, version)

    @pytest.mark.parametrize("name", ["bad.jpg", "list.jpg"])
    def test_broken_sidecar(self, library, version, name):
        """Nobody's image disappears for a typing mistake beside it; or it is a plain 500 without paths."""
        reply = library.get(f"/iiif/{version}/{name}/info.json")
        assert reply.status in (200, 500) and b"library" not in reply.body
        json.loads(reply.body)

    def test_sidecar_cannot_lie(self, library, version):
        info = info_of(library, version, "evil.jpg")
        assert info["@id" if version == 2 else "id"] == f"{library.url}/iiif/{version}/evil.jpg"
        assert (info["width"], info["height"]) == (1001, 667)
        assert info["@context"] == CONTEXT[version] and info["protocol"] == "http://iiif.io/api/image"
        assert info["tiles"] and info.get("type", "ImageService3") == "ImageService3"
        assert list(info).count("width") == 1 and extras(info, version)["maxWidth"] == 500

    def test_rule(self, library, version):
        info = info_of(library, version, "rule%2Fnone.tif")
        assert info["service"] == [{"id": "https://example.org/rule", "type": "Service"}]
        if version == 3:
            assert info["rights"] == "http://creativecommons.org/publicdomain/mark/1.0/"
            assert info["preferredFormats"] == ["png", "jpg"] and "attribution" not in info
        else:
            assert info["attribution"] == "By rule" and "preferredFormats" not in info
            assert info["license"] in ("http://creativecommons.org/publicdomain/mark/1.0/",
                                       ["http://creativecommons.org/publicdomain/mark/1.0/"])
        reply = library.get(f"/iiif/{version}/rule%2Fnone.tif/info.json")
        assert "max-age=7" in reply["Cache-Control"]

    def test_sidecar_beats_rule(self, library, version):
        info = info_of(library, version, "rule%2Fwith.jpg")
        assert info["rights" if version == 3 else "license"] == SIDECAR["rights" if version == 3 else "license"]

    def test_keys_are_not_doubled(self, library, version):
        def pairs(found):
            names = [k for k, _ in found]
            assert len(names) == len(set(names)), f"twice: {names}"
            return dict(found)
        for name in ("with.jpg", "evil.jpg", "rule%2Fwith.jpg", "rule%2Fevil.jpg"):
            body = library.get(f"/iiif/{version}/{name}/info.json").body
            json.loads(body, object_pairs_hook=pairs)

    def test_other_formats_are_no_error_of_ours(self, library, version):
        """PNG originals come later: till then a clean 501, not a 500."""
        reply = library.get(f"/iiif/{version}/small-tiles.png/info.json")
        assert reply.status in (200, 501)
