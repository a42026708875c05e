# SPDX-License-Identifier: BSD-2-Clause
"""Rights, resolution and profiles: from the original into the answer, by policy."""
import io
import json
import subprocess

import numpy as np
import pytest
from PIL import Image as Picture
from PIL import ImageCms, PngImagePlugin

import make_images
from harness import Client, boot, config_text

XMP = ('<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
       '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"'
       ' tiff:Orientation="6"><dc:rights>Some rights</dc:rights><dc:title>A title</dc:title></rdf:Description></rdf:RDF>'
       '</x:xmpmeta>').encode()
IPTC = b"\x1c\x02\x05\x00\x05Title\x1c\x02\x74\x00\x06Notice"
RESOURCE = b"Photoshop 3.0\x008BIM\x04\x04\x00\x00" + len(IPTC).to_bytes(4, "big") + IPTC + b"\0" * (len(IPTC) % 2)


def app(marker, body):
    return bytes([0xff, 0xe0 + marker]) + (len(body) + 2).to_bytes(2, "big") + body


@pytest.fixture(scope="module")
def folder(scratch):
    root = scratch / "described"
    root.mkdir()
    exif = Picture.Exif()
    exif[0x0112], exif[0x013b], exif[0x8298], exif[0x010f] = 6, "An Artist", "A Holder", "A Maker"
    board = Picture.fromarray(make_images.board(600, 400))
    profile = make_images.adobe_like_profile()
    plain = io.BytesIO()
    board.save(plain, "JPEG", quality=95, exif=exif, dpi=(300, 300), icc_profile=profile)
    body = plain.getvalue()
    (root / "a.jpg").write_bytes(body[:2] + app(1, b"http://ns.adobe.com/xap/1.0/\0" + XMP) + app(13, RESOURCE) + body[2:])
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", XMP.decode())
    board.save(root / "a.png", exif=exif, dpi=(300, 300), pnginfo=text, icc_profile=profile)
    board.save(root / "a.webp", exif=exif.tobytes(), xmp=XMP, icc_profile=profile, lossless=True)
    board.save(root / "a.tif", tiffinfo={315: "An Artist", 33432: "A Holder", 271: "A Maker", 700: XMP}, dpi=(300, 300),
               icc_profile=profile)
    board.save(root / "screen.jpg", dpi=(72, 72))
    large = bytearray(profile + bytes(400000 - len(profile)))
    large[:4] = len(large).to_bytes(4, "big")
    board.save(root / "large.jpg", icc_profile=bytes(large))
    return root


@pytest.fixture(scope="module")
def server(binary, scratch, folder):
    rules = [("none/", folder, {"metadata": "none"}), ("all/", folder, {"metadata": "all"}),
             ("keep/", folder, {"colour": "keep"}), ("strip/", folder, {"colour": "strip"}), ("", folder, {})]
    with boot(scratch, binary, "metadata-server", config_text(rules)) as stack:
        yield Client(stack.port)


@pytest.mark.parametrize("output", ["jpg", "png", "webp", "tif", "jp2"])
def test_a_profile_may_be_larger_than_the_picture(server, folder, output):
    reply = server.get(f"/iiif/3/keep%2Flarge.jpg/full/8,/0/default.{output}")
    assert reply.status == 200, reply.body
    assert len(reply.body) > 400000 or output == "png"


SOURCES = ["a.jpg", "a.png", "a.webp", "a.tif"]
OUTPUTS = ["jpg", "png", "webp", "tif"]


def ask(server, prefix, name, output, size="300,"):
    reply = server.get(f"/iiif/3/{prefix}{name}/full/{size}/0/default.{output}")
    assert reply.status == 200, reply.body
    picture = reply.picture()
    picture.load()
    return reply.body, picture


def exif_of(picture):
    return {k: v.decode() if isinstance(v, bytes) else v for k, v in dict(picture.getexif()).items()}


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("name", SOURCES)
def test_rights_and_credit_by_default(server, name, output):
    body, picture = ask(server, "", name, output)
    exif = exif_of(picture)
    assert (exif[0x013b], exif[0x8298]) == ("An Artist", "A Holder")
    assert exif.get(0x0112, 1) == 1 and 0x010f not in exif
    assert b"Some rights" in body and b"A title" not in body and b"tiff:Orientation" not in body
    if name == "a.jpg" and output in ("jpg", "tif"):
        assert b"Notice" in body and b"Title" not in body


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("name", SOURCES)
def test_all_but_what_is_not_true(server, name, output):
    body, picture = ask(server, "all%2F", name, output)
    exif = exif_of(picture)
    assert exif[0x8298] == "A Holder" and exif.get(0x0112, 1) == 1
    assert b"A title" in body and b"Some rights" in body and b"tiff:Orientation" not in body
    if name != "a.tif" and output != "tif":
        assert exif[0x010f] == "A Maker"


@pytest.mark.parametrize("output", OUTPUTS + ["pdf"])
def test_none(server, output):
    body = server.get(f"/iiif/3/none%2Fa.jpg/full/300,/0/default.{output}").body
    for word in (b"An Artist", b"A Holder", b"rights", b"Notice"):
        assert word not in body


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
@pytest.mark.parametrize("output", ["jpg", "png", "tif"])
def test_resolution_is_scaled(server, name, output):
    for size, factor in (("max", 1), ("pct:50", 2)):
        _, picture = ask(server, "", name, output, size)
        assert [round(float(v)) for v in picture.info["dpi"]] == [300 // factor] * 2


def test_physical_scale(server):
    for version in (2, 3):
        service = json.loads(server.get(f"/iiif/{version}/a.jpg/info.json").body)["service"]
        service = service[0] if version == 3 else service
        assert service["profile"] == "http://iiif.io/api/annex/services/physdim"
        assert service["physicalUnits"] == "cm" and abs(service["physicalScale"] - 2.54 / 300) < 1e-6
        assert (version == 2) or (service["@id"] and service["@type"])
        assert "service" not in json.loads(server.get(f"/iiif/{version}/screen.jpg/info.json").body)


def colour(picture, profile=None):
    if profile:
        picture = ImageCms.profileToProfile(picture, io.BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode="RGB")
    return picture.convert("RGB").getpixel((45, 75))


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("output", OUTPUTS)
def test_colour_policies(server, name, output):
    """Kept and converted answers look the same to who reads profiles; stripped ones are the bare numbers."""
    _, converted = ask(server, "", name, output, "max")
    _, kept = ask(server, "keep%2F", name, output, "max")
    _, stripped = ask(server, "strip%2F", name, output, "max")
    profile = kept.info["icc_profile"]
    assert profile == make_images.adobe_like_profile()
    assert not stripped.info.get("icc_profile") and not converted.info.get("icc_profile")

    def near(one, other):
        return max(abs(a - b) for a, b in zip(one, other)) <= 6
    assert near(colour(kept, profile), colour(converted)) and near(colour(kept), colour(stripped))
    assert not near(colour(stripped), colour(converted))


@pytest.mark.parametrize("output", ["jp2", "avif", "pdf"])
def test_every_format_that_can_keeps_the_profile(server, binary, tmp_path, output):
    """As it is in the file; and what comes out of jp2 and avif again looks like the original."""
    profile = make_images.adobe_like_profile()
    kept = server.get(f"/iiif/3/keep%2Fa.jpg/full/max/0/default.{output}")
    assert kept.status == 200 and profile in kept.body
    assert profile not in server.get(f"/iiif/3/a.jpg/full/max/0/default.{output}").body
    if output == "pdf":
        assert b"/ColorSpace [/ICCBased 6 0 R]" in kept.body
        return
    (tmp_path / f"again.{output}").write_bytes(kept.body)
    (tmp_path / "c.conf").write_text(config_text([("", tmp_path, {})]))
    again = subprocess.run([binary, "--config", tmp_path / "c.conf", "get", f"/iiif/3/again.{output}/full/max/0/default.png"],
                           capture_output=True, check=True).stdout
    want = np.asarray(server.get("/iiif/3/a.jpg/full/max/0/default.png").picture().convert("RGB"), np.float32)
    got = np.asarray(Picture.open(io.BytesIO(again)).convert("RGB"), np.float32)
    assert np.abs(got - want).mean() < 5


def test_kept_profiles_do_not_outlive_their_model(server):
    _, gray = server, server.get("/iiif/3/keep%2Fa.jpg/full/300,/0/gray.jpg").picture()
    assert gray.mode == "L" and not gray.info.get("icc_profile")
    assert server.get("/iiif/3/keep%2Fa.jpg/full/300,/0/default.pdf").status == 200


def test_policies_are_part_of_the_tag(server):
    tags = {server.head(f"/iiif/3/{p}a.jpg/full/300,/0/default.jpg")["ETag"] for p in ("", "none%2F", "all%2F", "keep%2F",
                                                                                      "strip%2F")}
    assert len(tags) == 5
