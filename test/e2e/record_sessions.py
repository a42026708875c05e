# SPDX-License-Identifier: BSD-2-Clause
"""Records what OpenSeadragon asks for while somebody looks at a picture, for scripts/loadtest:

    /usr/bin/python3 -B test/e2e/record_sessions.py PROGRAM IMAGE... >scripts/sessions.jsonl

PROGRAM is lorikeet; each IMAGE, best a pyramid, is looked at on a large screen and on a small one. A session is a line with
the picture's sides and its tiles', and a line for each request: milliseconds since the one before, and what was asked of
the picture. The times are the viewer's own, before the browser lets requests wait for a connection.
"""
import functools
import http.server
import json
import random
import shutil
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from urllib.parse import quote, urlencode

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "data"), str(HERE.parent.parent / "scripts")]

from browser import Browser  # noqa: E402
from stack import Stack  # noqa: E402
from test_viewers import Pages  # noqa: E402

SCREENS = [(1440, 900), (412, 800)]
STEPS = 12
ASKED = """performance.getEntriesByType("resource").filter(e => e.name.startsWith(%s)).map(e => [e.startTime, e.name])"""


def look_around(page, width, height, dice):
    """As a person does: mostly nearer, sometimes aside, sometimes back; with a look in between."""
    page.js('document.querySelector(".openseadragon-canvas").focus()')
    for _ in range(STEPS):
        x, y = (round(side * dice.uniform(.25, .75)) for side in (width, height))
        step = dice.random()
        if step < .65:
            for _ in range(dice.randint(3, 7) if step < .5 else 2):
                page.wheel(x, y, -120 if step < .5 else 120)
                time.sleep(.06)         # the viewer takes no two turns at once
        else:
            page.press(*[dice.choice(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"])] * dice.randint(2, 6))
        time.sleep(dice.uniform(.4, 1.6))
    page.settle()


def record(browser, pages, image, screen, seed):
    info = json.load(urllib.request.urlopen(image + "/info.json"))
    with browser.open(*screen) as page:
        page.go(f"{pages}/openseadragon.html?{urlencode({'image': image})}")
        page.js("performance.setResourceTimingBufferSize(10000)")
        page.wait('document.querySelector(".openseadragon-canvas")')
        page.settle()
        look_around(page, *screen, random.Random(seed))
        asked = sorted(page.js(ASKED % json.dumps(image)))
    print(json.dumps({"width": info["width"], "height": info["height"], "tile": info["tiles"][0]["width"], "screen": list(screen)}))
    before = asked[0][0]
    for at, url in asked:
        print(json.dumps({"delay_ms": round(at - before), "ask": url.removeprefix(image + "/")}))
        before = at


def main(program, *images):
    folder = Path(tempfile.mkdtemp(prefix="lorikeet-record-"))
    folder.chmod(0o755)
    try:
        (folder / "images").mkdir()
        for image in images:
            shutil.copy(image, folder / "images")
        (folder / "lorikeet.conf").write_text(f'rules = ( {{ prefix = ""; root = "{folder}/images"; }} );\n')
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Pages, directory=str(HERE)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with Stack(folder / "s", program, folder / "lorikeet.conf", workers=1) as stack, Browser("--disable-3d-apis") as browser:
            for seed, (image, screen) in enumerate((i, s) for i in images for s in SCREENS):
                record(browser, f"http://127.0.0.1:{server.server_port}", f"{stack.url}/iiif/3/{quote(Path(image).name)}", screen, seed)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
