# SPDX-License-Identifier: BSD-2-Clause
"""What a request may take: refused before decoding, the same for every method, and never the end of a worker."""
import json
import resource
import subprocess

import pytest
from PIL import Image as Picture

from harness import Client, boot, config_text

MIB = 1 << 20


@pytest.fixture(scope="module")
def folder(scratch):
    root = scratch / "sized"
    root.mkdir()
    Picture.new("RGB", (3000, 2000), (90, 120, 200)).save(root / "large.jpg")
    Picture.new("RGB", (3000, 2000), (90, 120, 200)).save(root / "progressive.jpg", progressive=True)
    Picture.new("RGB", (300, 200), (90, 120, 200)).save(root / "small.jpg")
    return root


@pytest.fixture(scope="module")
def tight(binary, scratch, folder):
    """24 MiB for a request: enough for a reduced picture, too little for six megapixels."""
    with boot(scratch, binary, "tight-server", config_text([("", folder, {})], limits={
            "max_request_memory": 24 * MIB, "max_source_pixels": 10 ** 9})) as stack:
        yield Client(stack.port)


def test_large_answers_are_413_for_every_method(tight):
    uri = "/iiif/3/large.jpg/full/max/0/default.png"
    for method, headers in (("GET", {}), ("HEAD", {}), ("GET", {"If-None-Match": "*"}), ("GET", {"If-None-Match": '"x"'})):
        reply = tight.ask(uri, method, headers)
        assert (reply.status, reply["Cache-Control"], reply["Access-Control-Allow-Origin"]) == (413, "max-age=1", "*")
        assert b"memory" in reply.body or method == "HEAD"
    assert tight.get("/iiif/3/large.jpg/full/300,/0/default.png").picture().size == (300, 200)
    assert tight.get("/iiif/3/small.jpg/full/max/0/default.png").status == 200


def test_what_must_be_decoded_whole_is_counted_whole(tight):
    assert tight.get("/iiif/3/large.jpg/0,0,100,100/max/0/default.jpg").status == 200
    assert tight.get("/iiif/3/progressive.jpg/0,0,100,100/max/0/default.jpg").status == 413


def test_info_is_there_all_the_same(tight):
    assert json.loads(tight.get("/iiif/3/progressive.jpg/info.json").body)["width"] == 3000


def test_source_pixels(binary, scratch, folder):
    with boot(scratch, binary, "few-pixels", config_text([("", folder, {})], limits={
            "max_source_pixels": 5_999_999})) as stack:
        client = Client(stack.port)
        assert client.get("/iiif/3/large.jpg/full/30,/0/default.jpg").status == 413
        assert client.get("/iiif/3/small.jpg/full/30,/0/default.jpg").status == 200
        log = stack.log("lorikeet-a.log") + stack.log("lorikeet-b.log")
        assert "reason=too-large" in log and "6000000 source pixels of 5999999" in log


@pytest.mark.release_only
@pytest.mark.parametrize("uri", ["large.jpg/full/max/0/default.png", "progressive.jpg/full/300,/0/default.jpg",
                                 "large.jpg/full/max/45/default.webp", "large.jpg/full/max/0/default.tif"])
def test_memory_that_is_refused_while_running_is_503(binary, folder, tmp_path, uri):
    """The system says no although the estimate said yes."""
    (tmp_path / "c.conf").write_text(config_text([("", folder, {})]))
    done = subprocess.run([binary, "--config", tmp_path / "c.conf", "get", f"/iiif/3/{uri}"], capture_output=True,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (16 * MIB, 16 * MIB)))
    assert done.stderr.startswith(b"Status: 503\r\n"), done.stderr
    assert b"\r\nRetry-After: 1\r\n" in done.stderr and b"memory" in done.stdout
