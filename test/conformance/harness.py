# SPDX-License-Identifier: BSD-2-Clause
"""What the suite's tests share: a raw HTTP client, servers with their configuration, pixel checks."""
import http.client
import io
import os
import random
import re
import socket
from dataclasses import dataclass

import make_images
import numpy as np
from PIL import Image as Picture
from libconfig import setting
from stack import Stack

CONTEXT = {2: "http://iiif.io/api/image/2/context.json", 3: "http://iiif.io/api/image/3/context.json"}
LEVEL = {2: "http://iiif.io/api/image/2/level2.json", 3: "http://iiif.io/api/image/3/level2.json"}
VERSIONS = (2, 3)
Picture.MAX_IMAGE_PIXELS = None


@dataclass
class Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def __getitem__(self, name):
        return self.headers.get(name)

    @property
    def type(self):
        return self["Content-Type"]

    def picture(self):
        return Picture.open(io.BytesIO(self.body))

    def canonical(self):
        """The target of the canonical link, or None."""
        found = re.match(r'<([^>]*)>;rel="canonical"', self["Link"] or "")
        return found and found[1]


class Client:
    """Sends the path's bytes as they are, over one connection that is opened again when it ends."""

    def __init__(self, port, host=None):
        self.port, self.host = port, host or f"127.0.0.1:{port}"
        self.socket = None

    @property
    def url(self):
        return f"http://{self.host}"

    def close(self):
        if self.socket:
            self.socket.close()
            self.socket = None

    def ask(self, path, method="GET", headers=None):
        if isinstance(path, str):
            path = path.encode("latin-1")
        fields = {"Host": self.host, **(headers or {})}
        if method in ("POST", "PUT", "PATCH", "DELETE"):
            fields.setdefault("Content-Length", "0")
        head = "".join(f"{k}: {v}\r\n" for k, v in fields.items())
        message = method.encode() + b" " + path + b" HTTP/1.1\r\n" + head.encode("latin-1") + b"\r\n"
        kept = self.socket is not None
        try:
            return self._ask(message, method)
        except (http.client.BadStatusLine, ConnectionError):
            self.close()
            if not kept:  # else the server may just have ended the kept connection
                raise
        return self._ask(message, method)

    def _ask(self, message, method):
        if self.socket is None:
            self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=60)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(message)
        answer = http.client.HTTPResponse(self.socket, method=method)
        answer.begin()
        body = answer.read()
        reply = Reply(answer.status, answer.headers, body)
        if answer.will_close:
            self.close()
        return reply

    def get(self, path, **headers):
        return self.ask(path, "GET", {k.replace("_", "-"): v for k, v in headers.items()})

    def head(self, path, **headers):
        return self.ask(path, "HEAD", {k.replace("_", "-"): v for k, v in headers.items()})


def config_text(rules, **sections):
    """lorikeet.conf: rules as (prefix, root, overrides), sections as dicts."""
    text = "".join(f"{name}: {{\n" + "".join(f"\t{k} = {setting(v)};\n" for k, v in options.items()) + "};\n"
                   for name, options in sections.items())
    rows = []
    for prefix, root, more in rules:
        row = {"prefix": prefix, "type": "file", "root": str(root), **more}
        rows.append("\t{ " + " ".join(f"{k} = {setting(v)};" for k, v in row.items()) + " }")
    return text + "rules = (\n" + ",\n".join(rows) + "\n);\n"


def boot(scratch, binary, name, config, workers=1, **words):
    folder = scratch / name
    folder.mkdir()
    path = scratch / f"{name}.conf"
    path.write_text(config)
    return Stack(folder, binary, path, workers=workers, **words)


def limit_overrides(limits):
    return {"max_width": limits.width, "max_height": limits.height, "max_area": limits.area,
            "upscale": limits.upscale}


def seed():
    """The random tests' seed: LORIKEET_SEED, or a fixed one, for a failure must be repeatable."""
    return int(os.environ.get("LORIKEET_SEED", "20261124"))


def dice(name):
    print(f"LORIKEET_SEED={seed()}")
    return random.Random(f"{seed()} {name}")


# -- pixels -----------------------------------------------------------------------------------------

def pixels(picture):
    """As floats, h x w x 3."""
    return np.asarray(picture.convert("RGB"), np.float32)


def flat_points(answer, image, across=12):
    """(column, row, colour) in the scaled region, where the board is flat around the point."""
    (rx, ry, rw, rh), (w, h) = answer.region, answer.scaled
    step_x, step_y = rw / w, rh / h
    around = 17 if answer.format == "jpg" else 4  # an edge disturbs its chroma block, or the filter
    margin_x, margin_y = max(17, around * step_x), max(17, around * step_y)
    board = make_images.BOARD

    def squares(low, high, side):
        return {min(max(int(v), 0), side - 1) * board // side for v in (low, high)}

    for v in {h * (2 * j + 1) // (2 * across) for j in range(across)}:
        for u in {w * (2 * i + 1) // (2 * across) for i in range(across)}:
            x, y = rx + (u + .5) * step_x, ry + (v + .5) * step_y
            columns = squares(x - margin_x, x + margin_x, image.width)
            rows = squares(y - margin_y, y + margin_y, image.height)
            if len(columns) == 1 and len(rows) == 1:
                yield u, v, make_images.square(columns.pop(), rows.pop())


def check_board(picture, answer, image, tolerance=14):
    """The delivered picture shows the board of make_images where it should; returns points checked."""
    got = pixels(picture)
    got = np.rot90(got, int(answer.angle) // 90)  # back: anticlockwise
    if answer.mirror:
        got = got[:, ::-1]
    count = 0
    for u, v, colour in flat_points(answer, image):
        want = np.array(colour, np.float32)
        if image.gray or answer.quality == "gray":
            want[:] = want @ (.299, .587, .114)
        assert np.abs(got[v, u] - want).max() <= tolerance, \
            f"at {u},{v} of the scaled region: {got[v, u]} instead of {want}"
        count += 1
    return count


def far(one, other):
    """(mean, largest) difference of two pictures' samples."""
    assert one.shape == other.shape, f"{one.shape} and {other.shape}"
    difference = np.abs(one - other)
    return float(difference.mean()), float(difference.max())


def psnr(one, other):
    assert one.shape == other.shape, f"{one.shape} and {other.shape}"
    return float(10 * np.log10(255 ** 2 / max(np.mean((one - other) ** 2), 1e-9)))
