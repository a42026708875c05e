# SPDX-License-Identifier: BSD-2-Clause
"""An image server of Image API 3.0 that is right about one picture, and wrong in the way that the identifier says.

    with Liar() as liar: liar.base, liar.asked (a count of the info.json asked for, by identifier)

Identifiers: see WRONG; any other is good. delay: seconds before each answer. public: what ids begin with, if not base."""
import io
import json
import socket
import threading
import time
import urllib.parse
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from PIL import Image, ImageOps

SIZE = (600, 400)
TEXT = '<script>alert("text")</script>\x1b[31m'


def photo(size=SIZE, seed=5):
    """Smooth enough for JPEG, and nowhere the same."""
    noise = np.random.default_rng(seed).integers(0, 256, (size[1] // 25 + 2, size[0] // 25 + 2, 3), np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def half_gray(image):
    image = image.copy()
    image.paste((128, 128, 128), (0, image.height // 2, *image.size))
    return image


def coded(image, ending="jpg"):
    out = io.BytesIO()
    image.save(out, {"jpg": "JPEG", "webp": "WEBP"}[ending], quality=85)
    return out.getvalue()


def vast_jpeg():
    """A small file of 60,000 x 60,000, by its header."""
    data = bytearray(coded(photo((64, 64))))
    at = data.index(b"\xff\xc0") + 5
    data[at:at + 4] = b"\xea\x60\xea\x60"
    return bytes(data)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def send(self, body, kind="image/jpeg", status=200, length=None, **headers):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        liar = self.server.liar
        time.sleep(liar.delay)
        name, _, rest = self.path.removeprefix("/iiif/3/").partition("/")
        name = urllib.parse.unquote(name)
        with liar.lock:
            liar.headers.append(dict(self.headers.items()))
            liar.asked[name] += rest == "info.json"
            self.turn = liar.turns[self.path] = liar.turns[self.path] + 1
        try:
            if rest == "info.json":
                self.send_info(name)
            else:
                self.send_picture(name, rest)
        except ConnectionError:
            self.close_connection = True

    def send_info(self, name):
        info = {"@context": "http://iiif.io/api/image/3/context.json", "id": self.server.liar.public + self.path[7:-10],
                "type": "ImageService3", "protocol": "http://iiif.io/api/image", "profile": "level2", "width": SIZE[0],
                "height": SIZE[1], "tiles": [{"width": 256, "scaleFactors": [1, 2, 4]}], "extraFormats": ["webp"]}
        body = json.dumps({**info, **WRONG_INFO.get(name, {})}).encode()
        if name == "missing" or name.startswith("no/"):
            return self.send(b"none", "text/plain", 404)
        if name == "html":
            body = b"<html>" + TEXT.encode()
        if name == "huge":
            body = b'"' + b"x" * (5 << 20) + b'"'
        if name == "deep":
            body = b"[" * 200000
        self.send(body, "application/json")

    def send_picture(self, name, rest):
        region, size, _, ending = rest.split("/")
        ending = ending.rpartition(".")[2]
        box = (0, 0, *SIZE)
        if region != "full":
            x, y, w, h = map(int, region.split(","))
            box = (x, y, x + w, y + h)
        w, h = SIZE if size == "max" else map(int, size.split(","))
        image = self.server.liar.picture.resize((w, h), box=box)
        kind = "tile" if region != "full" else "full" if size == "max" else ending
        if made := WRONG.get(name):
            made(self, image, kind, ending)
        else:
            self.send(coded(image, ending), f"image/{ending.replace('jpg', 'jpeg')}")


def changing(change, only="tile"):
    def send(handler, image, kind, ending):
        image = change(image) if kind == only else image
        handler.send(coded(image, ending), f"image/{ending.replace('jpg', 'jpeg')}")
    return send


def saying(*given, **more):
    return lambda handler, image, kind, ending: handler.send(*given, **more)


def endless(handler, *_):
    handler.send_response(200)
    handler.send_header("Content-Type", "image/jpeg")
    handler.send_header("Connection", "close")
    handler.end_headers()
    while True:
        handler.wfile.write(bytes(1 << 16))


def drips(handler, *_):
    for byte in b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1000:
        handler.wfile.write(bytes([byte]))
        time.sleep(.1)


def drips_body(handler, *_):
    handler.send(b"", length=10_000)
    for _ in range(100):
        handler.wfile.write(b"x")
        time.sleep(.1)


def closes(handler, *_):
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def short(handler, image, kind, ending):
    handler.send(coded(image)[:-100], length=len(coded(image)))
    closes(handler)


def long(handler, image, kind, ending):
    length = len(coded(image, ending))
    handler.send(coded(image, ending), f"image/{ending.replace('jpg', 'jpeg')}", length=length * 2 // 3 if kind == "full" else length)


def busy_once(handler, image, kind, ending):
    if handler.turn == 1:
        handler.send(b"busy", "text/plain", 503)
    else:
        handler.send(coded(image, ending), f"image/{ending.replace('jpg', 'jpeg')}", X_IIIF_Fallback="1")


WRONG_INFO = {"vast": {"width": 60000, "height": 60000, "tiles": []}, "other-id": {"id": "https://example.org/x"},
              "no-width": {"width": "600"}, "bad-tiles": {"tiles": [{"width": 256}]}, "huge-tile": {"maxWidth": 100},
              "sizes": {"sizes": [{"width": 300, "height": 300}]}}
WRONG = {
    "endless": endless, "drips": drips, "drips-body": drips_body, "closes": closes, "short": short, "long": long,
    "announces": saying(b"", length=10 ** 12), "redirects": saying(b"", status=302, Location="https://example.org/"),
    "fails": saying(TEXT.encode(), "text/plain", 500), "text": saying(b"hello", "text/plain"),
    "no-jpeg": saying(b"hello"), "bomb": saying(vast_jpeg()), "vast": saying(vast_jpeg()), "busy-once": busy_once,
    "inverted": changing(ImageOps.invert), "half-gray": changing(half_gray),
    "half-gray-full": changing(half_gray, "full"), "narrow": changing(lambda i: i.resize((i.width - 1, i.height))),
    "turned": changing(lambda i: i.transpose(Image.Transpose.ROTATE_180)),
}


class Liar:
    def __init__(self, delay=0, picture=None, public=""):
        self.delay, self.picture, self.public = delay, picture or photo(), public
        self.lock, self.asked, self.turns, self.headers = threading.Lock(), Counter(), Counter(), []

    def __enter__(self):
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads, self.server.liar = True, self
        threading.Thread(target=self.server.serve_forever, args=(.05,), daemon=True).start()
        self.base = f"http://127.0.0.1:{self.server.server_port}/iiif/3"
        self.public = self.public or self.base
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.socket.close()
