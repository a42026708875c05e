# SPDX-License-Identifier: BSD-2-Clause
"""Small files that promise far too much: refused from their headers, in milliseconds, by a worker that lives on."""
import io
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image as Picture

from kinds import Refusal, check_refusal, served
from writers import LONG, SHORT, page, segment, tiff

SECONDS = 1  # slack for a busy machine: decoding any of these would take far longer, or all memory


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(w, h, bits=8, kind=2, interlaced=0):
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, bits, kind, 0, 0, interlaced)) +
            chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b""))


def sides(data, w, h):
    """The JPEG with other sides in its frame header."""
    at = next(i for i in range(len(data)) if data[i] == 0xFF and data[i + 1] in (0xC0, 0xC2))
    return data[:at + 5] + struct.pack(">HH", h, w) + data[at + 9:]


def small_jpeg(progressive=False):
    out = io.BytesIO()
    Picture.new("L", (8, 8)).save(out, "JPEG", progressive=progressive, optimize=True)
    return out.getvalue()


def jpeg_of_many_scans():
    """A progressive frame and thousands of scans that each say nothing."""
    data = sides(small_jpeg(True), 8000, 8000)
    scan = segment(0xDA, b"\1\1\0\1\x3f\1") + b"\xff\0" * 4
    return data[:-2] + scan * 5000 + b"\xff\xd9"


def tiff_with(**tags):
    directory = page(np.zeros((8, 8), np.uint8))
    directory["entries"].update({getattr(Tags, name): value for name, value in tags.items()})
    return tiff([directory])


class Tags:
    width, height, bits, samples, strip_rows, tile_width, tile_height, strips, sizes = 256, 257, 258, 277, 278, 322, 323, 273, 279


def jp2(w, h, tile_w, tile_h):
    size = struct.pack(">HIIIIIIIIH", 0, w, h, 0, 0, tile_w, tile_h, 0, 0, 3) + b"\7\1\1" * 3
    style = segment(0x52, b"\0\0" + struct.pack(">H", 1) + b"\1\5\4\4\0\1")
    quantisation = segment(0x5C, b"\x40" + bytes([8 << 3] * 16))
    tile = segment(0x90, struct.pack(">HIBB", 0, 14, 0, 1)) + b"\xff\x93\xff\xd9"
    return b"\xff\x4f" + segment(0x51, size) + style + quantisation + tile


def gif(w, h, frames=1):
    head = b"GIF89a" + struct.pack("<HHBBB", w, h, 0x80, 0, 0) + bytes(6)
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, w, h, 0) + b"\2\1\x44\0"
    return head + frame * frames + b"\x3b"


def webp(w, h):
    body = b"VP8X" + struct.pack("<IBBBB", 10, 0x10, 0, 0, 0) + (w - 1).to_bytes(3, "little") + (h - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def bmp(w, h):
    return b"BM" + struct.pack("<IHHI", 1000, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, w, h, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(900)


HUGE = 65535
BOMBS = [
    Refusal("square.jpg", sides(small_jpeg(), HUGE, HUGE), 501, "unsupported"),  # libjpeg-turbo ends at 65,500
    Refusal("largest.jpg", sides(small_jpeg(), 65500, 65500), 413, "too-large"),
    Refusal("progressive.jpg", sides(small_jpeg(True), 65500, 65500), 413, "too-large"),
    Refusal("plain.png", png(HUGE, HUGE), 413, "too-large"),
    Refusal("interlaced.png", png(HUGE, HUGE, 16, 6, 1), 413, "too-large"),
    Refusal("wide.png", png(2 ** 31 - 1, 1000), None, None),
    Refusal("sides.tif", tiff_with(width=(LONG, [2 ** 31]), height=(LONG, [2 ** 31])), None, None),
    Refusal("area.tif", tiff_with(width=(LONG, [1000000]), height=(LONG, [1000000]), strip_rows=(LONG, [1])), None, None),
    Refusal("bits.tif", tiff_with(bits=(SHORT, [65535])), None, None),
    Refusal("tile.tif", tiff_with(tile_width=(LONG, [2 ** 30]), tile_height=(LONG, [2 ** 30])), None, None),
    Refusal("columns.j2k", jp2(2 ** 31, 1, 2 ** 31, 1), None, None),
    Refusal("area.j2k", jp2(2 ** 31, 2 ** 31, 2 ** 31, 2 ** 31), None, None),
    Refusal("tiles.j2k", jp2(2 ** 20, 2 ** 20, 1, 1), None, None),
    Refusal("square.gif", gif(HUGE, HUGE), 413, "too-large"),
    Refusal("square.webp", webp(2 ** 24, 2 ** 8), None, None),
    Refusal("square.bmp", bmp(2 ** 20, 2 ** 20), None, None),
    Refusal("square.ppm", b"P6 1000000 1000000 255\n" + bytes(1000), None, None),
]


@pytest.fixture(scope="module")
def client(binary, scratch):
    # Four gigapixels would do no harm where memory is plenty, so the limit is a server's of middling size.
    others = [Refusal("samples.tif", tiff_with(samples=(SHORT, [65535])), 500, "damaged"),
              Refusal("frames.gif", gif(4000, 3000, 20000), 200, ""), Refusal("scans.jpg", jpeg_of_many_scans(), 501, "unsupported")]
    with served(binary, scratch, "bombs", BOMBS + others, limits={"max_source_pixels": 10 ** 9, "max_request_memory": 2 ** 30}) as client:
        yield client


def peak_kib(stack):
    most = 0
    for pid in stack.worker_pids():
        with open(f"/proc/{pid}/status") as status:
            most = max(most, *(int(line.split()[1]) for line in status if line.startswith("VmHWM")))
    return most


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda b: b.name)
def test_bomb(client, bomb):
    workers, before = set(client.stack.worker_pids()), peak_kib(client.stack)
    for rest in ("info.json", "full/100,/0/default.jpg", "0,0,8,8/8,/0/default.png"):
        start = time.monotonic()
        reply = client.get(f"/iiif/3/{bomb.name}/{rest}")
        took = time.monotonic() - start
        assert reply.status in ((bomb.status,) if bomb.status else (413, 500, 501)), (rest, reply.status, reply.body)
        assert took < SECONDS, (rest, took)
    assert set(client.stack.worker_pids()) == workers
    assert peak_kib(client.stack) < before + (64 << 10)
    if bomb.status:
        check_refusal(client, bomb)


def test_many_frames_and_scans(client):
    """A GIF costs its first frame; a JPEG no more than a hundred scans."""
    workers = set(client.stack.worker_pids())
    start = time.monotonic()
    frames = client.get("/iiif/3/frames.gif/full/100,/0/default.png")
    assert frames.status in (200, 500) and time.monotonic() - start < 5
    start = time.monotonic()
    scans = client.get("/iiif/3/scans.jpg/full/100,/0/default.png")
    assert scans.status in (500, 501) and time.monotonic() - start < 5
    assert client.get("/iiif/3/samples.tif/full/8,/0/default.png").status in (500, 501)
    assert set(client.stack.worker_pids()) == workers
