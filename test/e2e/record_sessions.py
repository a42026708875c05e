# SPDX-License-Identifier: BSD-2-Clause
"""Records what OpenSeadragon asks for while somebody looks at a picture, for scripts/loadtest:

    /usr/bin/python3 -B test/e2e/record_sessions.py PROGRAM IMAGE... >scripts/sessions.jsonl

PROGRAM is lorikeet; each IMAGE, best a pyramid, is looked at on a large screen and on a small one, twice. A session is a line
with the picture's sides and its tiles', and with what it was recorded; and a line for each request: milliseconds since the one
before, and what was asked of the picture. The times are the viewer's own, before the browser lets requests wait for a connection.
The server must have been asked for just that.
"""
import argparse
import functools
import http.server
import json
import random
import re
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
from npm import PACKAGES  # noqa: E402
from stack import Stack, StackError, wait_for  # noqa: E402
from test_viewers import Pages  # noqa: E402

SCREENS = [(1440, 900), (412, 800)]
VIEWER = f"OpenSeadragon {PACKAGES['openseadragon'][0]}"
ASKED = """performance.getEntriesByType("resource").filter(e => e.name.startsWith(%s)).map(e => [e.startTime, e.name])"""


def look_around(page, width, height, steps, dice):
    """As a person does: mostly nearer, sometimes aside, sometimes back; with a look in between."""
    page.js('document.querySelector(".openseadragon-canvas").focus()')
    for _ in range(steps):
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


def served(stack, since):
    """The addresses that nginx answered, since so many characters of its log."""
    return sorted(re.findall(r'"GET (/iiif/\S+) ', stack.log("nginx-access.log")[since:]))


def record(browser, pages, stack, name, screen, steps, seed):
    image, since = f"{stack.url}/iiif/3/{quote(name)}", len(stack.log("nginx-access.log"))
    info = json.load(urllib.request.urlopen(image + "/info.json"))
    with browser.open(*screen) as page:
        page.go(f"{pages}/openseadragon.html?{urlencode({'image': image})}")
        page.js("performance.setResourceTimingBufferSize(10000)")
        page.wait('document.querySelector(".openseadragon-canvas")')
        page.settle()
        look_around(page, *screen, steps, random.Random(seed))
        asked = sorted(page.js(ASKED % json.dumps(image)))
        chromium = re.search(r"Chrome/\S+", page.js("navigator.userAgent"))[0]
    paths = sorted(url.removeprefix(stack.url) for url in (image + "/info.json", *(url for _, url in asked)))
    wait_for(f"the log of {len(paths)} requests", 10, lambda: served(stack, since) == paths)
    print(json.dumps({"width": info["width"], "height": info["height"], "tile": info["tiles"][0]["width"], "screen": list(screen),
                      "recorded": f"{VIEWER}, {chromium}"}))
    before = asked[0][0]
    for at, url in asked:
        print(json.dumps({"delay_ms": round(at - before), "ask": url.removeprefix(image + "/")}))
        before = at


def main():
    parser = argparse.ArgumentParser(description="Records sessions of OpenSeadragon in Chromium, for scripts/loadtest --sessions.")
    parser.add_argument("program", type=Path, metavar="PROGRAM", help="lorikeet")
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE")
    parser.add_argument("--each", type=int, default=2, metavar="N", help="sessions of each image on each screen; 2")
    parser.add_argument("--steps", type=int, default=12, metavar="N", help="turns of the wheel, or arrows, of each; 12")
    words = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="lorikeet-record-"))
    folder.chmod(0o755)
    try:
        (folder / "images").mkdir()
        for image in words.images:
            shutil.copy(image, folder / "images")
        (folder / "lorikeet.conf").write_text(f'rules = ( {{ prefix = ""; root = "{folder}/images"; }} );\n')
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Pages, directory=str(HERE)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with Stack(folder / "s", words.program, folder / "lorikeet.conf", workers=1) as stack, Browser("--disable-3d-apis") as browser:
            for seed, (image, screen) in enumerate((i, s) for i in words.images for s in SCREENS * words.each):
                record(browser, f"http://127.0.0.1:{server.server_port}", stack, image.name, screen, words.steps, seed)
    except StackError as e:
        sys.exit(f"record_sessions: {e}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
