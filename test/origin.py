# SPDX-License-Identifier: BSD-2-Clause
"""An HTTP/1.1 origin that misbehaves as told, for the tests of fetching.

In a process: `with Origin(folder) as origin:`, then origin.url("/a.jpg", stall=100), origin.count("/a.jpg"), origin.requests.
For others:   python3 -B test/origin.py --port-file FILE [--folder DIR] [--servers http,http,https,mtls --pems DIR]
              The file gets one port a line. The servers share one memory, and end when stdin does.

What is served: body=TEXT, size=N (bytes made up by made()), echo=1 (the request's headers as JSON), or a file below the folder.
How, by the query or by Origin.script; several at once where it makes sense:

  times=K             the faults (those marked *) only in the first K requests for this target
  status=N *          with text=BODY
  retry_after=TEXT *  a header
  redirect=URL *      with code=N (302)
  stall=N|head *      nothing more comes after N bytes of the body, or not even a status line
  close=N|head *      the connection is closed there
  reset=N *           the same by a TCP reset
  length=N|+N|-N *    Content-Length says so
  gzip=1|cut|two      packed; without its last bytes; as two packed ones in a row. Also encoding=TEXT, which only says so
  chunked=1|cut|none  chunks; without their end. none: neither chunks nor a length, the end of the connection counts
  drip=N              N bytes a second
  delay=S             seconds before the answer
  change=1            each request finds another object, with validators of its own
  etag=strong|weak|multipart|TEXT|none    strong is the default
  modified=new|none|TEXT      Last-Modified: later at each request; absent; so
  digest=md5,repr,sha256,sha1,crc32       Content-MD5, Repr-Digest, x-amz-checksum-*; wrong=1: of something else
  ranges=none|deaf|off|short|multipart    Range is ignored; If-Range is; begins a byte late; ends early; as multipart
  conditions=none     If-None-Match and If-Modified-Since are ignored
  type=TEXT, header=Name:value
  auth=basic:USER:PASSWORD|bearer:TOKEN   401 without

Asked of any server: /-/count?of=PATH (a number), /-/last?of=PATH (the headers of its last request, JSON), /-/clear. An absolute
target ("GET http://other/x") is answered as if it were its own: so an Origin is a proxy, too, whose every host is itself.
"""
import argparse
import base64
import gzip
import hashlib
import json
import os
import select
import socket
import ssl
import struct
import sys
import threading
import time
import zlib
from email.utils import formatdate, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

FAULTS = ("status", "retry_after", "redirect", "stall", "close", "reset", "length")
MADE_UP_DATE = 1_500_000_000
SLICE = 65536


def made(n, seed=0):
    """n bytes that look like nothing, the same each time."""
    block = hashlib.sha256(str(seed).encode()).digest() * 31 + b"lorikeet"
    return (block * (n // len(block) + 1))[:n]


class Request:
    def __init__(self, method, target, headers, server):
        parts = urlsplit(target)
        self.method, self.target, self.headers, self.server = method, target, headers, server
        self.path, self.time = unquote(parts.path), time.monotonic()
        self.query = dict(parse_qsl(parts.query, keep_blank_values=True))


class Memory:
    """What servers know together: the folder, the script, all requests so far."""

    def __init__(self, folder):
        self.folder = Path(folder).resolve() if folder else None
        self.lock, self.ended = threading.Lock(), threading.Event()
        self.requests, self.scripts, self.turns = [], {}, {}

    def take(self, request):
        """Notes a request; which time its target is asked for, and its behaviour."""
        with self.lock:
            if not request.path.startswith("/-/"):
                self.requests.append(request)
            turn = self.turns[request.target] = self.turns.get(request.target, 0) + 1
            script = self.scripts.get(request.path)
            if isinstance(script, list):
                script = script.pop(0) if len(script) > 1 else script[0]
        how = script(request) if callable(script) else script or {}
        return turn, {**request.query, **{k: str(v) for k, v in how.items()}}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def setup(self):
        if isinstance(self.request, ssl.SSLSocket):
            self.request.do_handshake()
        super().setup()

    def do_GET(self):
        self.memory = self.server.memory
        request = self.asked = Request(self.command, self.path, dict(self.headers.items()), self.server.server_port)
        turn, how = self.memory.take(request)
        if "times" in how and turn > int(how["times"]):
            how = {k: v for k, v in how.items() if k not in FAULTS}
        self.how, self.turn = how, turn
        try:
            self.answer(request)
        except (BrokenPipeError, ConnectionError, ssl.SSLError):
            self.close_connection = True

    do_PUT = do_HEAD = do_POST = do_GET

    def answer(self, request):
        how = self.how
        if request.path.startswith("/-/"):
            return self.send(200, self.memory_says(request))
        time.sleep(float(how.get("delay", 0)))
        if not self.is_authorized(request):
            return self.send(401, b"who are you?", {"WWW-Authenticate": "Basic realm=origin"})
        if how.get("stall") == "head":
            return self.stall()
        if "head" in (how.get("close"), how.get("reset")):
            return self.hang_up("reset" in how)
        extra = {"Retry-After": how["retry_after"]} if "retry_after" in how else {}
        if "redirect" in how:
            return self.send(int(how.get("code", 302)), b"elsewhere", {"Location": how["redirect"], **extra})
        if "status" in how:
            return self.send(int(how["status"]), how.get("text", "trouble").encode(), extra)
        body = self.body(request)
        if body is None:
            return self.send(404, b"nothing here")
        return self.send_object(request, body)

    def memory_says(self, request):
        of = request.query.get("of", "")
        with self.memory.lock:
            if request.path == "/-/clear":
                self.memory.requests.clear()
            asked = [r for r in self.memory.requests if r.path == of]
        return json.dumps(asked[-1].headers if asked else {}).encode() if request.path == "/-/last" else b"%d" % len(asked)

    def is_authorized(self, request):
        kind, _, secret = self.how.get("auth", "").partition(":")
        wanted = {"basic": "Basic " + base64.b64encode(secret.encode()).decode(), "bearer": "Bearer " + secret}
        return not kind or request.headers.get("Authorization") == wanted[kind]

    def body(self, request):
        how, seed = self.how, self.turn if "change" in self.how else 0
        if "echo" in how:
            return json.dumps(request.headers).encode()
        if "body" in how:
            return how["body"].encode() + b"%d" % seed * bool(seed)
        if "size" in how:
            return made(int(how["size"]), seed)
        folder = self.memory.folder
        path = (folder / request.path.lstrip("/")).resolve() if folder else None
        if not path or not path.is_relative_to(folder) or not path.is_file():
            return None
        self.file_time = path.stat().st_mtime
        return path.read_bytes() + made(seed)

    def validators(self, body):
        how, headers = self.how, {}
        mark = hashlib.md5(body).hexdigest()
        etag = {"strong": f'"{mark}"', "weak": f'W/"{mark}"', "multipart": f'"{mark}-2"'}
        tag = how.get("etag", "strong")
        if tag != "none":
            headers["ETag"] = etag.get(tag, tag)
        modified = how.get("modified", "")
        if modified != "none":
            later = self.turn if modified == "new" or "change" in how else 0
            at = getattr(self, "file_time", MADE_UP_DATE) + later
            headers["Last-Modified"] = formatdate(at, usegmt=True) if modified in ("", "new") else modified
        return headers

    def digests(self, body):
        if "wrong" in self.how:
            body += b"!"
        sha256 = base64.b64encode(hashlib.sha256(body).digest()).decode()
        known = {
            "md5": ("Content-MD5", base64.b64encode(hashlib.md5(body).digest()).decode()),
            "repr": ("Repr-Digest", f"sha-256=:{sha256}:"),
            "sha256": ("x-amz-checksum-sha256", sha256),
            "sha1": ("x-amz-checksum-sha1", base64.b64encode(hashlib.sha1(body).digest()).decode()),
            "crc32": ("x-amz-checksum-crc32", base64.b64encode(struct.pack(">I", zlib.crc32(body))).decode()),
        }
        return dict(known[k] for k in self.how.get("digest", "").split(",") if k)

    def is_unchanged(self, request, headers):
        if self.how.get("conditions") == "none":
            return False
        tags, since = request.headers.get("If-None-Match"), request.headers.get("If-Modified-Since")
        if tags is not None:
            return headers.get("ETag", "none").removeprefix("W/") in [t.strip().removeprefix("W/") for t in tags.split(",")]
        try:
            return parsedate_to_datetime(headers["Last-Modified"]) <= parsedate_to_datetime(since)
        except (KeyError, TypeError, ValueError):
            return False

    def asked_range(self, request, headers, n):
        """(first, last) or None for the whole."""
        ranges, wanted = self.how.get("ranges"), request.headers.get("Range", "")
        condition = request.headers.get("If-Range")
        if ranges == "none" or not wanted.startswith("bytes="):
            return None
        if condition and ranges != "deaf" and condition not in (headers.get("ETag"), headers.get("Last-Modified")):
            return None
        first, _, last = wanted[6:].partition("-")
        if not first:
            return max(0, n - int(last)), n - 1
        return int(first), min(int(last or n - 1), n - 1)

    def send_object(self, request, body):
        how, status = self.how, 200
        headers = {"Content-Type": how.get("type", "application/octet-stream"), **self.validators(body), **self.digests(body)}
        if how.get("ranges") != "none":
            headers["Accept-Ranges"] = "bytes"
        if "header" in how:
            name, _, value = how["header"].partition(":")
            headers[name] = value.strip()
        if "encoding" in how:
            headers["Content-Encoding"] = how["encoding"]
        if self.is_unchanged(request, headers):
            return self.send(304, b"", {k: v for k, v in headers.items() if k in ("ETag", "Last-Modified")})
        if "gzip" in how:
            parts = [body[:len(body) // 2], body[len(body) // 2:]] if how["gzip"] == "two" else [body]
            body = b"".join(gzip.compress(part, 1) for part in parts)
            body = body[:-max(9, len(body) // 3)] if how["gzip"] == "cut" else body
            headers["Content-Encoding"] = "gzip"
        part = self.asked_range(request, headers, len(body))
        if part:
            first, last = part
            if first >= len(body):
                return self.send(416, b"", {"Content-Range": f"bytes */{len(body)}"})
            first += how.get("ranges") == "off"
            last -= how.get("ranges") == "short"
            headers["Content-Range"] = f"bytes {first}-{last}/{len(body)}"
            if how.get("ranges") == "multipart":
                del headers["Content-Range"]
                headers["Content-Type"] = "multipart/byteranges; boundary=x"
            status, body = 206, body[first:last + 1]
        return self.send(status, body, headers)

    def send(self, status, body, headers=None):
        how = self.how
        chunked, length = how.get("chunked"), how.get("length", "+0")
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if chunked in ("1", "cut"):
            self.send_header("Transfer-Encoding", "chunked")
        elif chunked == "none":
            self.send_header("Connection", "close")
        elif status not in (204, 304):
            # A query's + is a blank.
            self.send_header("Content-Length", str(len(body) + int(length) if length[0] in "+- " else int(length)))
        self.end_headers()
        if self.command == "HEAD" or status in (204, 304):
            return
        ends = [int(how[k]) for k in ("stall", "close", "reset") if how.get(k, "").isdigit()]
        self.send_bytes(body[:min(ends)] if ends else body, chunked)
        if "stall" in how:
            self.stall()
        elif ends or chunked in ("cut", "none") or length.strip() not in ("+0", "0"):
            self.hang_up("reset" in how)
        elif chunked:
            self.wfile.write(b"0\r\n\r\n")

    def send_bytes(self, body, chunked):
        drip = int(self.how.get("drip", 0))
        step = max(1, drip // 20) if drip else SLICE
        for at in range(0, len(body), step):
            piece = body[at:at + step]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked in ("1", "cut") else piece)
            if drip and self.memory.ended.wait(step / drip):
                return

    def stall(self):
        """Until the client has gone."""
        self.close_connection = True
        while not self.memory.ended.is_set():
            if select.select([self.connection], [], [], 0.05)[0] and not self.connection.recv(1):
                return

    def hang_up(self, reset):
        self.close_connection = True
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass


class Origin:
    """A server on a free port of 127.0.0.1. context: an ssl.SSLContext for HTTPS; memory: another Origin's, to share it."""

    def __init__(self, folder=None, context=None, memory=None, port=0):
        self.memory, self.scheme = memory or Memory(folder), "https" if context else "http"
        self.server = Server(("127.0.0.1", port), Handler)
        self.server.memory = self.memory
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def start(self):
        self.thread.start()
        return self

    def stop(self):
        """Connections that are kept open stay so; their threads are daemons."""
        self.memory.ended.set()
        self.server.shutdown()
        self.server.server_close()

    __enter__ = start

    def __exit__(self, *what):
        self.stop()

    def url(self, path="/", **how):
        return f"{self.scheme}://127.0.0.1:{self.port}{quote(path)}" + ("?" + urlencode(how) if how else "")

    def script(self, path, how):
        """A path's behaviour instead of (and before) its query: a dict, a function of the Request giving one, or a list of these,
        one a request, of which the last stays. None: no more."""
        with self.memory.lock:
            self.memory.scripts[path] = list(how) if isinstance(how, (list, tuple)) else how

    @property
    def requests(self):
        with self.memory.lock:
            return list(self.memory.requests)

    def asked(self, path):
        return [r for r in self.requests if r.path == path]

    def count(self, path):
        return sum(r.method == "GET" for r in self.asked(path))

    def clear(self):
        with self.memory.lock:
            self.memory.requests.clear()
            self.memory.turns.clear()


def tls_context(pems, clients=False):
    """pems: a folder with server.pem (key and certificate) and, for those who ask for client certificates, ca.pem."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(pems) / "server.pem")
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(Path(pems) / "ca.pem")
    return context


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port-file", required=True)
    arguments.add_argument("--folder")
    arguments.add_argument("--servers", default="http")
    arguments.add_argument("--pems")
    given = arguments.parse_args()
    memory, ports = Memory(given.folder), []
    for kind in given.servers.split(","):
        context = tls_context(given.pems, kind == "mtls") if kind != "http" else None
        ports.append(Origin(context=context, memory=memory).start().port)
    half = Path(given.port_file + ".new")
    half.write_text("".join(f"{port}\n" for port in ports))
    half.rename(given.port_file)
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
