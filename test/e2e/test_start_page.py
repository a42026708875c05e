# SPDX-License-Identifier: BSD-2-Clause
"""The page at / (server.start_page) as people meet it: behind nginx, in a browser, with and without its viewer."""
import html.parser
import os
import time

import npm
import numpy as np
import pytest
from browser import Browser
from make_images import board, square
from PIL import Image
from stack import Stack
from web import Client

SIZES = {"desk": {"width": 1440, "height": 900}, "phone": {"width": 360, "height": 740, "touch": True, "dark": True},
         "wall": {"width": 3840, "height": 2160}}
EVIL = "<img src=x onerror=alert(1)>.jpg"
NAMES = ["board.jpg", EVIL, "\"q\" 'a'.jpg", "a;2.jpg", "100%25.jpg", "&amp;.jpg", "Grüße 漢字.jpg", "caf\udce9.jpg",
         "deep/er/still.jpg", "plus+and space.jpg"]
WHOLE = "!!state.osd && loaded(state.osd) && state.osd.world.getItemAt(0).getFullyLoaded() && " \
        "state.osd.viewport.zoomSpring.isAtTargetValue()"


class Links(html.parser.HTMLParser):
    """The identifiers of the page's list, and all that would run or be fetched."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.tags, self.pictures = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        if tag == "a" and attributes.get("href", "").startswith("#id="):
            self.ids.append(attributes["href"][4:])
        if tag == "img" and attributes.get("loading"):
            self.pictures.append(attributes["src"])


def configure(folder, root, server="start_page = true;"):
    path = folder / "lorikeet.conf"
    path.write_text(f'server: {{ {server} }};\n'
                    f'rules = ( {{ prefix = "maps/"; root = "{root}/deep"; suffixes = [".jpg"]; }},\n'
                    f'          {{ prefix = ""; root = "{root}"; }} );\n')
    return path


@pytest.fixture(scope="module")
def shop(scratch, binary):
    folder = scratch / "start"
    root = folder / "images"
    (root / "deep/er").mkdir(parents=True)
    for name in NAMES:
        Image.fromarray(board(1600, 1000, 0)).save(root / name, "JPEG", quality=92, subsampling=0)
    (root / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    (root / "notes.txt").write_text("no picture either")
    (root / ".hidden.jpg").write_bytes((root / "board.jpg").read_bytes())
    os.symlink("/etc/hostname", root / "link.jpg")
    with Stack(folder / "s", binary, configure(folder, root), workers=1, viewer=npm.folder("openseadragon")) as stack:
        stack.client = Client(stack.port)
        yield stack


@pytest.fixture(scope="module")
def browser():
    with Browser() as browser:
        yield browser


def look_at(page, image):
    page.js(f"location.hash = '#id={image}'")
    page.wait(f"state.id === '{image}' && " + WHOLE)


def no_complaints(page, but=""):
    errors = [e for e in page.book()["errors"] if not but or but not in e]
    assert not errors, errors


# --- The list, without a browser ---

@pytest.mark.sanitize
def test_every_image_of_the_list_is_there(shop):
    reply = shop.client.ask("/")
    assert reply.status == 200 and reply.header("Content-Type") == "text/html; charset=utf-8"
    page = Links(reply.body.decode())
    assert len(page.ids) == len(set(page.ids)) == len(NAMES) + 2
    assert "maps%2Fer%2Fstill" in page.ids and "deep%2Fer%2Fstill.jpg" in page.ids
    for identifier, picture in zip(page.ids, page.pictures):
        broken = identifier == "broken.jpg"
        assert shop.client.ask(f"/iiif/3/{identifier}/info.json").status == (500 if broken else 200), identifier
        assert picture == f"/iiif/3/{identifier}/full/!200,200/0/default.jpg"
        assert shop.client.ask(picture).status == (500 if broken else 200), identifier
    assert "13 images" not in reply.body.decode() and "12 images" in reply.body.decode()


@pytest.mark.sanitize
def test_methods_and_headers(shop):
    page = shop.client.ask("/")
    assert page.header("Cache-Control") == "public, max-age=5" and not page.header("ETag")
    policy = page.header("Content-Security-Policy")
    assert "default-src 'none'" in policy and "unsafe" not in policy and "//" not in policy
    assert page.header("X-Content-Type-Options") == "nosniff"
    assert Links(page.body.decode()).tags.count("script") == 1
    head = shop.client.ask("/", "HEAD")
    assert (head.status, head.body, head.header("Content-Type")) == (200, b"", "text/html; charset=utf-8")
    assert shop.client.ask("/?anything").body == page.body
    assert shop.client.ask("/", If_None_Match='"x"').status == 200
    assert shop.client.ask("/", "POST").status == 405
    assert shop.client.ask("/x").status == shop.client.ask("//").status == 404
    assert shop.client.ask("/", Accept_Encoding="gzip").header("Content-Encoding") == "gzip"
    assert " cache=HIT " in shop.log("nginx-access.log")


@pytest.mark.sanitize
def test_off_unless_asked_for(folder, binary):
    (folder / "images").mkdir()
    with Stack(folder / "s", binary, configure(folder, folder / "images", ""), workers=1) as stack:
        client = Client(stack.port)
        assert client.ask("/").status == client.ask("/", "HEAD").status == 404
        assert client.ask("/.viewer/openseadragon/openseadragon.min.js").status == 404


@pytest.mark.sanitize
def test_a_large_folder_takes_no_time(folder, binary):
    (folder / "images" / "deep").mkdir(parents=True)
    for i in range(5000):
        (folder / "images" / f"{i}.jpg").touch()
    with Stack(folder / "s", binary, configure(folder, folder / "images"), workers=1) as stack:
        started = time.monotonic()
        reply = Client(stack.port).ask("/")
        assert time.monotonic() - started < 1     # the promise is 0.2 s of the server's own time
        assert len(Links(reply.body.decode()).ids) == 200 and b"200 of 5000 images" in reply.body


# --- The page in a browser ---

@pytest.mark.parametrize("size", SIZES)
def test_it_shows_everything_on(shop, browser, size):
    with browser.open(**SIZES[size]) as page:
        assert page.go(shop.url + "/") == 200
        page.wait("document.querySelector('.picture span')")
        page.wait("[...document.querySelectorAll('.picture img')].every(i => i.complete && i.naturalWidth || "
                  "i.getBoundingClientRect().top > innerHeight)")
        page.shot(f"start-page-{size}")
        assert "500: The image is damaged" in page.js("document.querySelector('.picture span').textContent")
        assert page.js("document.querySelectorAll('#images img').length") == len(NAMES) + 1
        assert page.js("document.scrollingElement.scrollWidth <= innerWidth")
        look_at(page, "board.jpg")
        for _ in range(3):
            page.click("[data-do=in]")
        page.wait(WHOLE)
        page.shot(f"start-page-{size}-viewer")
        assert page.js("document.getElementById('dialog').scrollWidth <= innerWidth")
        assert page.js("document.getElementById('facts').textContent").startswith("1,600 × 1,000")
        assert [status for status, url in page.answers("/iiif/3/board.jpg/0,0,512,512/512,512")] == [200]
        page.click("#show")
        page.wait("document.querySelector('#headers').rows.length > 3 && document.querySelector('#picture').complete")
        page.shot(f"start-page-{size}-result")
        no_complaints(page, but="500 (Internal Server Error)")


def test_names_are_only_text(shop, browser):
    with browser.open() as page:
        page.go(shop.url + "/")
        page.js("window.alert = () => { window.was_run = true; }")
        names = page.js("[...document.querySelectorAll('.name')].map(n => n.textContent)")
        assert set(n.rpartition("/")[2] for n in NAMES) - {"caf\udce9.jpg"} <= set(names) and "caf\ufffd.jpg" in names
        for identifier in page.js("cards.map(idOf)"):
            if identifier == "broken.jpg":
                continue
            look_at(page, identifier)
            page.wait("document.getElementById('address').textContent.includes(state.id)")
            assert page.js("document.getElementById('name').textContent")
        look_at(page, "%3Cimg%20src%3Dx%20onerror%3Dalert%281%29%3E.jpg")
        assert page.js("document.getElementById('name').textContent") == EVIL
        page.js("location.hash = '#id=../../<img src=x onerror=alert(1)>'")
        page.wait("document.getElementById('note').textContent")
        assert page.js("document.querySelectorAll('bdi img, #note img').length") == 0
        assert not page.js("window.was_run")


WHERE = "(e => e.id || e.dataset.do || e.name || e.className || e.tagName)(document.activeElement)"
VISIBLE = "(s => s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 1)(getComputedStyle(document.activeElement))"
NAMED = "(e => e.getAttribute('aria-label') || e.labels?.[0]?.textContent || e.textContent)(document.activeElement).trim()"


def test_by_keyboard_alone(shop, browser):
    with browser.open() as page:
        page.go(shop.url + "/")
        page.press("Tab")
        assert page.js(WHERE) == "filter" and page.js(VISIBLE)
        page.press("Tab", "ArrowRight", "ArrowRight", "ArrowLeft", "End", "Home", "ArrowDown", "ArrowUp")
        assert page.js("document.activeElement === cards[0]") and page.js(VISIBLE)
        page.js("cards.find(c => idOf(c) === '100%2525.jpg').focus()")
        page.press("Enter")
        page.wait("state.id === '100%2525.jpg' && " + WHOLE)
        after = page.js("idOf(cards[cards.findIndex(c => idOf(c) === state.id) + 1])")
        page.press("ArrowRight")
        page.wait(f"state.id === '{after}' && " + WHOLE)
        page.press("ArrowLeft", "ArrowRight")
        page.wait(f"state.id === '{after}' && " + WHOLE)

        zoom = "state.osd.viewport.getZoom(false)"
        before = page.js(zoom)
        page.press("+", "+")
        assert page.js(zoom) > before * 2
        middle = page.js("state.osd.viewport.getCenter(false).x")
        page.press("Shift+ArrowRight", "d")
        assert page.js("state.osd.viewport.getCenter(false).x") > middle
        page.press("r", "f")
        assert page.js("[state.osd.viewport.getRotation(false), state.osd.viewport.getFlip()]") == [90, True]
        page.press("0", "-")
        assert page.js(zoom) < before * 1.01
        assert page.js("[state.osd.viewport.getRotation(false), state.osd.viewport.getFlip()]") == [0, False]

        page.js("document.querySelector('[data-do=full]').focus()")
        page.press("Enter")
        page.wait("document.fullscreenElement === view")
        page.press("Enter")
        page.wait("!document.fullscreenElement && document.querySelector('#dialog').open")

        seen = []
        for _ in range(30):
            page.press("Tab")
            seen.append(page.js(WHERE))
            assert seen[-1] == "BODY" or (page.js(VISIBLE) and page.js(NAMED)), seen
        assert {"in", "out", "whole", "left", "right", "flip", "full", "before", "after", "close", "version", "format", "region",
                "current", "size", "quality", "rotation", "mirror", "address", "show", "copy"} <= set(seen), seen
        page.js("document.querySelector('[name=region]').focus()")
        page.press("ArrowRight")
        assert page.js("state.id") == after
        page.press("Escape")
        page.wait("!document.getElementById('dialog').open")
        assert page.js("idOf(document.activeElement)") == after and page.js("location.hash") == ""
        no_complaints(page, but="500 (Internal Server Error)")


def test_the_form_brings_what_it_says(shop, browser):
    with browser.open() as page:
        page.go(shop.url + "/#id=board.jpg")
        page.wait("state.id === 'board.jpg' && " + WHOLE)

        def result():
            page.click("#show")
            page.wait("!document.querySelector('#show').disabled && document.querySelector('#headers').rows.length > 3")
            return page.js("document.querySelector('#verdict').textContent")
        for version, number in (("3", "3"), ("2", "2")):
            page.choose("[name=version]", version)
            page.fill("[name=region]", "160,100,320,200")
            page.fill("[name=size]", "160,")
            page.fill("[name=rotation]", "90")
            page.wait("[...document.querySelector('[name=quality]').options].some(o => o.value === 'gray')")
            page.choose("[name=quality]", "gray")
            page.choose("[name=format]", "png")
            address = page.js("document.querySelector('#address').textContent")
            assert address == f"{shop.url}/iiif/{number}/board.jpg/160,100,320,200/160,/90/gray.png"
            assert result().startswith("200 · 100 × 160 pixels · ")
            real = shop.client.ask(address.removeprefix(shop.url))
            rows = page.js("[...document.querySelectorAll('#headers tr')].map(r => [...r.cells].map(c => c.textContent))")
            assert dict(rows)["content-type"] == "image/png" and dict(rows)["etag"] == real.header("ETag")
        page.fill("[name=size]", "0,")
        assert result().startswith("400 · ") and page.js("document.querySelector('#picture').hidden")
        page.fill("[name=size]", "a/b?c")
        assert "/a%2Fb%3Fc/90/" in page.js("document.querySelector('#address').href")
        page.fill("[name=size]", "max")
        page.js("window.copied_text = ''; navigator.clipboard.writeText = async text => { window.copied_text = text; }")
        page.click("#copy")
        page.wait("document.querySelector('#copied').textContent === 'Copied'")
        assert page.js("window.copied_text") == f"{shop.url}/iiif/2/board.jpg/160,100,320,200/max/90/gray.png"


@pytest.mark.parametrize("keys", ["", "r", "f", "fr", "rrrf"])
def test_the_current_view_is_what_is_seen(shop, browser, keys):
    with browser.open() as page:
        page.go(shop.url + "/#id=board.jpg")
        page.wait("state.id === 'board.jpg' && " + WHOLE)
        page.press(*"++++", "Shift+ArrowRight", "Shift+ArrowUp", *keys)
        page.wait(WHOLE)
        page.click("#current")
        shown = page.shot("start-page-current-view")
        x, y, w, h = page.js("(b => [b.x, b.y, b.width, b.height].map(Math.round))(osd.getBoundingClientRect())")
        target = page.js("document.querySelector('#address').href").removeprefix(shop.url)

        def small(pixels):
            return np.asarray(Image.fromarray(pixels.astype(np.uint8)).resize((48, 36), Image.Resampling.BOX)).astype(int)
        seen, got = small(shown[y:y + h, x:x + w]), small(shop.client.ask(target).pixels)
        assert abs(seen - got).mean() < 8, target
        assert abs(seen - got[:, ::-1]).mean() > 20


def test_without_the_viewer_the_rest_works(shop, browser, folder, binary):
    with Stack(folder / "s", binary, shop.folder.parent / "lorikeet.conf", workers=1) as stack, browser.open() as page:
        page.go(stack.url + "/#id=board.jpg")
        page.wait("document.querySelector('#preview').naturalWidth > 300")
        page.shot("start-page-without-viewer")
        assert "OpenSeadragon is not installed" in page.js("document.querySelector('#note').textContent")
        assert page.js("document.querySelector('#tools').hidden && document.querySelector('#current').hidden")
        page.press("ArrowRight")
        page.wait("state.id === 'broken.jpg' && document.querySelector('#note').textContent.startsWith('500: ')")
        page.press("ArrowLeft")
        page.wait("state.id === 'board.jpg' && document.querySelector('#preview').naturalWidth > 300")
        page.click("#show")
        page.wait("document.querySelector('#verdict').textContent.startsWith('200 · 800 × 500 pixels')")
        page.press("Escape")
        page.wait("!document.querySelector('#dialog').open")


def test_without_javascript_it_says_so(shop, browser):
    with browser.open(scripts=False) as page:
        page.go(shop.url + "/")
        page.shot("start-page-without-javascript")
    assert "need JavaScript" in shop.client.ask("/").body.decode()


def test_an_empty_folder_has_advice(folder, binary, browser):
    (folder / "images" / "deep").mkdir(parents=True)
    with Stack(folder / "s", binary, configure(folder, folder / "images"), workers=1) as stack, browser.open() as page:
        page.go(stack.url + "/")
        assert page.js("!none.hidden && none.textContent").startswith("No images were found")
        page.shot("start-page-empty")


def test_a_whole_outage_leaves_no_hole(shop, browser):
    """All workers are gone when tiles and a description are asked for: 503, and the page asks again."""
    with browser.open() as page:
        page.go(shop.url + "/#id=board.jpg")
        page.wait("state.id === 'board.jpg' && " + WHOLE)
        shop.supervisorctl("stop", "all")
        try:
            page.press("f", "f", *"+++++++")
            page.js("document.querySelectorAll('#images img').forEach(i => { i.removeAttribute('srcset'); "
                    "i.src = i.src.replace('!200,200', '!201,201'); })")
            page.wait("performance.getEntriesByType('resource').some(e => e.responseStatus === 503)", 30)
        finally:
            shop.supervisorctl("start", "all")
            for group in shop.GROUPS:
                shop.wait_for_group(group)
        page.settle(quiet=3)
        page.wait(WHOLE)
        answers = page.answers("/iiif/3/board.jpg/")
        refused = {url for status, url in answers if status == 503}
        assert refused and refused <= {url for status, url in answers if status == 200}, answers
        shown = page.shot("start-page-after-outage")
        x, y, w, h = page.js("(b => [b.x, b.y, b.width, b.height].map(Math.round))(osd.getBoundingClientRect())")
        colours = np.array([square(c, r) for c in range(10) for r in range(10)])
        stage = shown[y:y + h:16, x:x + w:16].reshape(-1, 1, 3)
        assert (abs(stage - colours).max(axis=2).min(axis=1) < 24).mean() > 0.95
        page.press("Escape")
        page.wait("[...document.querySelectorAll('.picture img')].every(i => i.complete && i.naturalWidth)", 40)
