# SPDX-License-Identifier: BSD-2-Clause
"""What an operator sees: mtail counts nginx's access log."""
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter

import pytest
from shop import Shop, rule
from stack import REPO, end_within, free_port, wait_for

PROGRAM = REPO / "scripts/nginx.mtail"
TILE = "/iiif/3/E.jpg/0,0,60,60/50,/0/default.jpg"
# Another reading of log_format lorikeet than nginx.mtail's.
LINE = re.compile(r'.* "(?P<request>[^"]*)" (?P<status>\d+) (?P<bytes>\d+) cache=(?P<cache>[^ ]+) time=(?P<time>[^ ]+) '
                  r'upstream=(?P<upstream>.*) connect=.* tries=.* id=\w+ referer="[^"]*" agent="[^"]*"$')


def ask(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.status, reply.read().decode()
    finally:
        connection.close()


def is_listening(process, port):
    assert process.poll() is None, process.args
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def samples(text):
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in text.splitlines() if line and line[0] != "#")}


class Watched(Shop):
    """A server with mtail beside it, from its log's first line on."""

    def __enter__(self):
        self.log = self.folder / "s/log/nginx-access.log"
        self.log.parent.mkdir(parents=True)
        # mtail begins at the end of a file that it finds.
        self.log.touch()
        self.mtail_port = free_port()
        self.mtail = self.stack.spawn(["mtail", "--progs", str(PROGRAM), "--logs", str(self.log), "--logtostderr",
                                       "--address", "127.0.0.1", "--port", str(self.mtail_port)])
        try:
            wait_for("mtail", 15, lambda: is_listening(self.mtail, self.mtail_port))
            return super().__enter__()
        except BaseException:
            self.end_mtail()
            raise

    def __exit__(self, *_):
        self.end_mtail()
        super().__exit__()

    def end_mtail(self):
        self.mtail.terminate()
        end_within(self.mtail, 10)

    def lines(self):
        """nginx writes a line when the answer has left: wait for that many."""
        return [LINE.match(line) for line in self.log.read_text().splitlines()]

    def counts(self):
        """Once mtail has read the whole log."""
        def read():
            seen = samples(ask(self.mtail_port, "/metrics")[1])
            return seen if seen.get(f'mtail_log_lines_total{{logfile="{self.log}"}}') == len(self.lines()) else None
        return wait_for("mtail to read the log", 15, read)


@pytest.fixture(scope="module")
def watched(scratch, binary, images):
    folder = scratch / "watched"
    (folder / "pictures").mkdir(parents=True)
    shutil.copy(images / "E.jpg", folder / "pictures")
    (folder / "pictures/short.jpg").write_bytes((images / "E.jpg").read_bytes()[:300])
    rules = [rule("web/", url=f"http://127.0.0.1:{free_port()}/{{id}}"), rule("", "file", root=str(folder / "pictures"))]
    with Watched(folder / "shop", binary, rules, changes={"fastcgi_read_timeout 120s;": "fastcgi_read_timeout 1s;"}) as running:
        yield running


def leave(port, target):
    """A client that goes away while the pool has its request."""
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        time.sleep(0.1)


@pytest.fixture(scope="module")
def busy_day(watched):
    """A bit of everything, also what only nginx can say."""
    targets = [TILE, TILE, "/iiif/3/E.jpg/info.json", "/iiif/2/none.jpg/info.json", "/iiif/3/short.jpg/full/9,/0/default.jpg",
               "/iiif/3/web%2Fa.jpg/info.json", "/robots.txt", "/iiif/3/E.jpg/full/max/0/default.abc"]
    assert [watched.get(t).status for t in targets] == [200, 200, 200, 404, 500, 502, 200, 400]
    assert watched.get(TILE, X_Lorikeet_No_Cache="1").status == 200
    assert watched.get("/", Host="elsewhere.example.org").status == 421
    forged = '" 500 9 cache=HIT time=1.000 upstream=1.000 connect=0'
    assert watched.get('/a"' + forged.replace(" ", "_"), User_Agent=forged, Referer=forged).status == 404
    pids = watched.stack.worker_pids()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        leave(watched.stack.port, "/iiif/3/E.jpg/full/31,/0/default.jpg")
        assert watched.get("/iiif/3/E.jpg/full/32,/0/default.jpg").status == 504
        wait_for("the line of who left", 10, lambda: any(line["status"] == "499" for line in watched.lines()))
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    return watched


def test_mtail_counts_what_nginx_answered(busy_day):
    counts, lines = busy_day.counts(), busy_day.lines()
    wanted = Counter((line["status"], line["cache"]) for line in lines)
    wanted.update({(status, "MISS"): 0 for status in ("500", "502", "503", "504")})
    seen = {tuple(re.findall(r'"([^"]*)"', name)[::-2]): value for name, value in counts.items()
            if name.startswith("lorikeet_nginx_requests_total")}
    assert seen == wanted
    for least in (("200", "HIT"), ("200", "MISS"), ("200", "BYPASS"), ("404", "MISS"), ("500", "MISS"), ("502", "MISS"), ("504", "MISS"),
                  ("499", "MISS"), ("400", "MISS"), ("421", "-")):
        assert seen[least] >= 1, least
    assert counts['lorikeet_nginx_body_bytes_total{prog="nginx.mtail"}'] == sum(int(line["bytes"]) for line in lines) > 2000

    def histogram(name):
        return [counts[f'lorikeet_nginx_{name}_{part}{{prog="nginx.mtail"}}'] for part in ("count", "sum")]
    assert histogram("request_seconds") == [len(lines), pytest.approx(sum(float(line["time"]) for line in lines))]
    steps = [re.findall(r"[\d.]+", line["upstream"]) for line in lines if line["upstream"] != "-"]
    assert histogram("pool_seconds") == [len(steps), pytest.approx(sum(float(step) for times in steps for step in times))]
    assert max(len(times) for times in steps) == 2, "a worker and a fetcher"
    assert counts['lorikeet_nginx_pool_seconds_bucket{prog="nginx.mtail",le="0.5"}'] < len(steps), "504 took a second"


def once(folder, lines):
    (folder / "a.log").write_text("".join(line + "\n" for line in lines))
    done = subprocess.run(["mtail", "--progs", PROGRAM, "--logs", folder / "a.log", "--one_shot", "--one_shot_format", "prometheus",
                           "--logtostderr", "--address", "127.0.0.1", "--port", "0"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return samples(done.stdout)


def test_times_of_several_steps(folder):
    """What a request's steps and tries took together."""
    form = '192.0.2.1 [2026-11-24T10:00:00+00:00] https://a.org "GET /a HTTP/2.0" 200 9 cache=MISS time=%s upstream=%s connect=- tries=- id=a'
    for upstream, took in (("-", None), ("0.250", 0.25), ("0.125, 0.250", 0.375), ("0.125 : 0.250", 0.375), ("0.001, 0.002 : 3.000", 3.003),
                           ("0.125 : 7.500 : 0.250", 7.875), ("0.1, 0.1 : 7.500 : 0.250", 9.5), ("0.1, 0.1 : 7.5, 0.1 : 0.2, 0.2", 9.5)):
        seen = once(folder, [form % ("9.500", upstream)])
        assert seen['lorikeet_nginx_pool_seconds_sum{prog="nginx.mtail"}'] == pytest.approx(took or 0), upstream
        assert seen['lorikeet_nginx_pool_seconds_count{prog="nginx.mtail"}'] == (took is not None), upstream
        zeros = [seen[f'lorikeet_nginx_requests_total{{cache="MISS",prog="nginx.mtail",status="{status}"}}'] for status in (500, 502, 503, 504)]
        assert zeros == [0] * 4, "the first failure will be an increase"


def test_lines_of_other_logs(folder):
    lines = ['192.0.2.1 - - [24/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 500 9 "-" "agent"', "", "2026/11/24 10:00:00 [error] 7#7: *1 open()",
             '192.0.2.1 [2026-11-24T10:00:00+00:00] https://a.org "GET /a HTTP/2.0" 200 9 cache=MISS time=0.1',
             'x "a" 500 9 cache=MISS time=0.100 upstream=0.100 connect=-']
    assert sum(once(folder, lines).values()) == 0
