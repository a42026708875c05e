# SPDX-License-Identifier: BSD-2-Clause
"""Five real viewers over real info.json: from the whole of 107 megapixels to its single pixels, without a hole."""
import functools
import hashlib
import http.server
import itertools
import json
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import npm
import numpy as np
import pytest
from browser import Browser
from make_images import square
from PIL import Image, ImageDraw
from stack import REPO, Stack

HERE = Path(__file__).resolve().parent
VIEWERS = ["openseadragon", "mirador", "universalviewer", "tify", "leaflet"]
# Odd sides, but no last row so thin that it has no height at a tile's scale: "w," sizes of such are 400 by the standard.
WIDTH, HEIGHT = 12805, 8323
# Four squares meet there.
CROSS = (5, 4)


STRIPES = 20


def make_board(path):
    """make_images.board at 107 megapixels, in less memory, with stripes around the crossing that only single pixels
    show: halved, two light and two dark columns are one grey."""
    picture = Image.new("RGB", (WIDTH, HEIGHT))
    draw = ImageDraw.Draw(picture)
    for c in range(10):
        for r in range(10):
            draw.rectangle((-(-c * WIDTH // 10), -(-r * HEIGHT // 10), -(-(c + 1) * WIDTH // 10) - 1,
                            -(-(r + 1) * HEIGHT // 10) - 1), square(c, r))
    left, top = CROSS[0] * WIDTH // 10 // 4 * 4 - 800, CROSS[1] * HEIGHT // 10 - 800
    part = np.asarray(picture.crop((left, top, left + 1600, top + 1600))).astype(int)
    light = np.isin(np.arange(1600) % 4, (1, 2))[None, :, None]
    picture.paste(Image.fromarray((part + np.where(light, STRIPES, -STRIPES)).astype(np.uint8)), (left, top))
    picture.save(path, quality=92, subsampling=0)


@pytest.fixture(scope="module")
def pyramid(binary):
    """Made once for each state of this file."""
    folder = REPO / "build/test-viewers"
    folder.mkdir(parents=True, exist_ok=True)
    state = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    if not (folder / "stamp").exists() or (folder / "stamp").read_text() != state:
        make_board(folder / "board.jpg")
        subprocess.run([binary, "pyramid", folder / "board.jpg", folder / "board.tif"], check=True, timeout=180)
        (folder / "stamp").write_text(state)
    return folder / "board.tif"


@pytest.fixture(scope="module")
def gallery(scratch, binary, pyramid):
    folder = scratch / "gallery"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "board.tif").write_bytes(pyramid.read_bytes())
    (folder / "lorikeet.conf").write_text(f'rules = ( {{ prefix = ""; root = "{folder}/images"; }} );\n')
    with Stack(folder / "s", binary, folder / "lorikeet.conf", workers=1) as stack:
        yield stack


def manifest_3(image, own):
    service = [{"id": image, "type": "ImageService3", "profile": "level2"}]
    body = {"id": f"{image}/full/max/0/default.jpg", "type": "Image", "format": "image/jpeg", "width": WIDTH,
            "height": HEIGHT, "service": service}
    annotation = {"id": f"{own}/a", "type": "Annotation", "motivation": "painting", "body": body, "target": f"{own}/c"}
    canvas = {"id": f"{own}/c", "type": "Canvas", "width": WIDTH, "height": HEIGHT, "label": {"en": ["board"]},
              "items": [{"id": f"{own}/p", "type": "AnnotationPage", "items": [annotation]}]}
    return {"@context": "http://iiif.io/api/presentation/3/context.json", "id": own, "type": "Manifest",
            "label": {"en": ["A board"]}, "items": [canvas]}


def manifest_2(image, own):
    service = {"@context": "http://iiif.io/api/image/2/context.json", "@id": image,
               "profile": "http://iiif.io/api/image/2/level2.json"}
    resource = {"@id": f"{image}/full/full/0/default.jpg", "@type": "dctypes:Image", "format": "image/jpeg", "width": WIDTH,
                "height": HEIGHT, "service": service}
    annotation = {"@id": f"{own}/a", "@type": "oa:Annotation", "motivation": "sc:painting", "resource": resource,
                  "on": f"{own}/c"}
    canvas = {"@id": f"{own}/c", "@type": "sc:Canvas", "width": WIDTH, "height": HEIGHT, "label": "board",
              "images": [annotation]}
    return {"@context": "http://iiif.io/api/presentation/2/context.json", "@id": own, "@type": "sc:Manifest",
            "label": "A board", "sequences": [{"@id": f"{own}/s", "@type": "sc:Sequence", "canvases": [canvas]}]}


class Pages(http.server.SimpleHTTPRequestHandler):
    """Another origin than the images': the viewers' pages, their packages, and manifests."""

    def do_GET(self):
        path = urlsplit(self.path).path
        if not path.startswith("/manifest/"):
            return super().do_GET()
        version = path.removeprefix("/manifest/")
        own = f"http://{self.headers['Host']}{path}"
        make = manifest_3 if version == "3" else manifest_2
        body = json.dumps(make(f"{self.server.images}/iiif/{version}/board.tif", own)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        return None

    def translate_path(self, path):
        parts = [part for part in urlsplit(path).path.split("/") if part not in ("", ".", "..")]
        if len(parts) > 1 and parts[0] == "npm" and parts[1] in npm.PACKAGES:
            return str(npm.folder(parts[1]).joinpath(*parts[2:]))
        return str(HERE.joinpath("viewers", *parts))

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def pages(gallery):
    for name in npm.PACKAGES:
        npm.folder(name)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Pages, directory=str(HERE)))
    server.daemon_threads, server.images = True, gallery.url
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def browser():
    # WebGL drawn by the processor takes a second for a picture, and a plain canvas can show the same.
    with Browser("--disable-3d-apis") as browser:
        yield browser


def near(picture, colour, distance=14):
    return abs(picture - np.array(colour)).max(axis=-1) <= distance


def crossing(picture):
    """Where on the screen the four squares meet: between the middles of two; None as long as they are not shown."""
    c, r = CROSS
    middles = []
    for place in ((c - 1, r - 1), (c, r)):
        # Other squares are as near as 11.
        ys, xs = np.nonzero(near(picture, square(*place), 5))
        if len(xs) < 400:
            return None
        middles.append((np.median(xs), np.median(ys)))
    return tuple(round((a + b) / 2) for a, b in zip(*middles))


def holes(picture, x, y, reach=(60, 110, 160)):
    """Places around the crossing that have not the colour of their square, or not its single pixels: a viewer covers
    a missing tile by a coarser one."""
    c, r = CROSS
    wrong = []
    for dx, dy in itertools.product(reach, reach):
        for sx, sy in ((-1, -1), (1, -1), (-1, 1), (1, 1)):
            at = (x + sx * dx, y + sy * dy)
            block = picture[at[1] - 10:at[1] + 10, at[0] - 10:at[0] + 10]
            colour, spread = block.mean(axis=(0, 1)), block[..., 1].std()
            if not near(colour, square(c - (sx < 0), r - (sy < 0))) or spread < STRIPES / 4:
                wrong.append((at, colour.round(), spread.round(1)))
    return wrong


class Show:
    """A viewer on the screen, its requests, and its pictures under one name."""

    def __init__(self, page, gallery, pages, viewer, version, name):
        self.page, self.gallery, self.name = page, gallery, f"viewer-{name}"
        words = {"image": f"{gallery.url}/iiif/{version}/board.tif", "manifest": f"{pages}/manifest/{version}"}
        page.go(f"{pages}/{viewer}.html?{urlencode(words)}")

    def until(self, what, seen, seconds=60):
        end = time.monotonic() + seconds
        while True:
            picture = self.page.shot(self.name)
            if value := seen(picture):
                return value
            if time.monotonic() > end:
                pytest.fail(f"{self.name}: {what} was not seen, scales {sorted(set(self.tiles()))}; "
                            f"{self.page.book()['errors'][:5]}")
            time.sleep(0.2)

    def find(self):
        """The whole picture is there, and stays where it is."""
        before = None
        while before != (now := self.until("the whole board", crossing)):
            before = now
            self.page.settle()
        self.page.shot(self.name + "-whole")
        return now

    def tiles(self):
        """Full-image pixels per pixel of every tile so far."""
        found = (re.search(r"/\d+,\d+,(\d+),\d+/(\d+),", url) for _, url in self.page.answers("/board.tif/"))
        return [int(m[1]) / int(m[2]) for m in found if m]

    def zoom_in(self, x, y, seconds=60):
        """Turns the wheel over a point until tiles of single pixels are asked for, and some more."""
        end = time.monotonic() + seconds
        more = 5
        while more:
            assert time.monotonic() < end, (self.name, sorted(set(self.tiles())))
            more -= min(self.tiles(), default=16) <= 1
            self.page.wheel(x, y, -120)
            time.sleep(0.1)          # faster than a person, and viewers take no two turns at once

    def all_is_there(self, x, y, seconds=40):
        self.page.settle()
        self.until("every pixel", lambda picture: not holes(picture, x, y), seconds)

    def no_answer_was_bad(self):
        answers = [(status, url) for status, url in self.page.book()["answers"] if url.startswith(self.gallery.url)]
        assert len(answers) > 8 and {status for status, _ in answers} == {200}, \
            [answer for answer in answers if answer[0] != 200]
        failed = [e for e in self.page.book()["errors"] if self.gallery.url in e or "CORS" in e]
        assert not failed, failed


def cold(gallery):
    """Every answer has to be made anew."""
    for path in (gallery.folder / "cache").rglob("*"):
        if path.is_file():
            path.unlink(missing_ok=True)


@pytest.mark.parametrize("version", [3, 2])
@pytest.mark.parametrize("viewer", VIEWERS)
def test_from_the_whole_to_single_pixels(gallery, pages, browser, viewer, version):
    cold(gallery)
    with browser.open(1200, 800) as page:
        show = Show(page, gallery, pages, viewer, version, f"{viewer}-{version}")
        x, y = show.find()
        assert min(show.tiles(), default=16) > 1
        show.zoom_in(x, y)
        show.all_is_there(x, y)
        show.no_answer_was_bad()


@pytest.mark.parametrize("viewer", VIEWERS)
def test_a_deploy_while_zooming_is_not_seen(gallery, pages, browser, viewer):
    """Both groups restart, one after the other, while cold tiles are asked for: a miss goes to the other group."""
    cold(gallery)
    with browser.open(1200, 800) as page:
        show = Show(page, gallery, pages, viewer, 3, f"{viewer}-deploy")
        x, y = show.find()
        deploy = threading.Thread(target=lambda: [gallery.restart_group(group) for group in gallery.GROUPS])
        deploy.start()
        try:
            show.zoom_in(x, y)
        finally:
            deploy.join()
        show.all_is_there(x, y)
        show.no_answer_was_bad()


@pytest.mark.parametrize("viewer", VIEWERS)
def test_a_busy_pool_lets_tiles_wait(gallery, pages, browser, viewer):
    """All workers stand still for a while, as if each had a long request in hand."""
    cold(gallery)
    with browser.open(1200, 800) as page:
        show = Show(page, gallery, pages, viewer, 3, f"{viewer}-busy")
        x, y = show.find()
        workers = gallery.worker_pids()
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        try:
            before = len(page.book()["pending"])
            page.wheel(x, y, -120)
            end = time.monotonic() + 30
            while len(page.book()["pending"]) <= before and time.monotonic() < end:
                page.wheel(x, y, -120)
                time.sleep(0.1)
            assert len(page.book()["pending"]) > before
            time.sleep(1)
        finally:
            for pid in workers:
                os.kill(pid, signal.SIGCONT)
        show.zoom_in(x, y)
        show.all_is_there(x, y)
        show.no_answer_was_bad()
