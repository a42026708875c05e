# SPDX-License-Identifier: BSD-2-Clause
"""Asking servers that may do anything: never end, drip, lie about lengths, redirect. Every answer comes in bounded time
and bytes, or is a reason. For one thread only, the process's first: time is kept by SIGALRM, as nothing else ends a
dripping header."""
import http.client
import signal
import ssl
import time
import urllib.parse
from contextlib import contextmanager
from dataclasses import dataclass, field

RETRY_AFTER_S = 0.5
HEADERS = {"User-Agent": "lorikeet-corpus-check", "Accept-Encoding": "identity", "X-Lorikeet-No-Cache": "1"}


class Late(Exception):
    pass


class TooMuch(Exception):
    pass


@contextmanager
def within(seconds):
    def ring(*_):
        raise Late(f"took longer than {seconds:g} s")
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@dataclass
class Answer:
    status: int = 0
    headers: dict = field(default_factory=dict)     # names in lower case
    body: bytes = b""
    ms: float = 0
    reason: str = ""                                # why there is no whole answer
    is_dropped: bool = False                        # connections refused or lost: worth another try
    retried: str = ""                               # what the first try said


class Asker:
    """Keeps a connection to each server."""

    def __init__(self, timeout_s, most_bytes):
        self.timeout_s, self.most_bytes, self.connections = timeout_s, most_bytes, {}

    def get(self, url, headers=HEADERS, most_bytes=None):
        """Asked twice where a server says 5xx or drops the connection."""
        most_bytes = most_bytes or self.most_bytes
        answer = self.once(url, headers, most_bytes)
        if answer.status < 500 and not answer.is_dropped:
            return answer
        time.sleep(RETRY_AFTER_S)
        again = self.once(url, headers, most_bytes)
        again.retried = answer.reason or str(answer.status)
        return again

    def once(self, url, headers, most_bytes):
        parts = urllib.parse.urlsplit(url)
        server, begun, answer = (parts.scheme, parts.netloc), time.monotonic(), Answer()
        try:
            with within(self.timeout_s):
                target = url[len(f"{parts.scheme}://{parts.netloc}"):] or "/"
                self.exchange(server, target, headers, most_bytes, answer)
        except (Late, TooMuch) as e:
            answer.reason = str(e)
        except (OSError, http.client.HTTPException, ValueError) as e:
            answer.reason = f"{type(e).__name__}: {e}" if str(e) else type(e).__name__
            answer.is_dropped = isinstance(e, (ConnectionError, http.client.IncompleteRead))
        if answer.reason:
            self.drop(server)
        answer.ms = (time.monotonic() - begun) * 1000
        return answer

    def exchange(self, server, target, headers, most_bytes, answer):
        reply = self.begin(server, target, headers)
        answer.status = reply.status
        answer.headers = {k.lower(): v for k, v in reply.getheaders()}
        if reply.length is not None and reply.length > most_bytes:
            raise TooMuch(f"{reply.length} bytes are announced, more than {most_bytes}")
        pieces, total = [], 0
        while piece := reply.read(1 << 16):
            pieces.append(piece)
            total += len(piece)
            if total > most_bytes:
                raise TooMuch(f"the answer goes on beyond {most_bytes} bytes")
        if reply.length:
            raise http.client.IncompleteRead(b"", reply.length)
        answer.body = b"".join(pieces)
        if reply.will_close:
            self.drop(server)

    def begin(self, server, target, headers):
        """A kept connection may have been closed meanwhile, or have rubbish left behind an answer: then a new one."""
        if kept := self.connections.get(server):
            try:
                kept.request("GET", target, headers=headers)
                return kept.getresponse()
            except (ConnectionError, http.client.HTTPException):
                self.drop(server)
        kind = http.client.HTTPConnection if server[0] == "http" else http.client.HTTPSConnection
        more = {} if server[0] == "http" else {"context": ssl.create_default_context()}
        made = self.connections[server] = kind(server[1], timeout=self.timeout_s, **more)
        made.request("GET", target, headers=headers)
        return made.getresponse()

    def drop(self, server):
        if connection := self.connections.pop(server, None):
            connection.close()
