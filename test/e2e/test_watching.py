# SPDX-License-Identifier: BSD-2-Clause
"""What an operator sees: mtail counts nginx's access log, a real Prometheus asks as scripts/prometheus.yml says, and has all
that the rules and the dashboard ask it for.
"""
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse
from collections import Counter

import pytest
import yaml
from shop import Shop, rule
from stack import REPO, end_within, free_port, render, wait_for

PROGRAM = REPO / "scripts/nginx.mtail"
RULES = REPO / "scripts/prometheus-rules.yml"
DASHBOARD = REPO / "scripts/grafana-dashboard.json"
TILE = "/iiif/3/E.jpg/0,0,60,60/50,/0/default.jpg"
# Another reading of log_format lorikeet than nginx.mtail's.
LINE = re.compile(r'.* "(?P<request>[^"]*)" (?P<status>\d+) (?P<bytes>\d+) cache=(?P<cache>[^ ]+) time=(?P<time>[^ ]+) '
                  r'upstream=(?P<upstream>.*) connect=.* tries=.* id=\w+ referer="[^"]*" agent="[^"]*"$')

# Of prometheus-node-exporter 1.5 and prometheus-nginx-exporter 0.11, as they showed them.
FOREIGN = set("""
    node_cpu_seconds_total node_memory_MemAvailable_bytes node_memory_MemTotal_bytes node_filesystem_avail_bytes
    node_filesystem_size_bytes node_filesystem_files node_filesystem_files_free node_filesystem_readonly
    node_disk_io_time_seconds_total node_network_transmit_bytes_total node_network_receive_bytes_total
    nginx_connections_active nginx_connections_waiting nginx_connections_writing
""".split())
OWN = {"up", "ALERTS"}           # Prometheus's


def ask(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.status, reply.read().decode()
    finally:
        connection.close()


def query(port, expression):
    status, body = ask(port, "/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
    assert status == 200, body
    return json.loads(body)["data"]["result"]


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


def test_a_damaged_original_is_no_error_of_the_server(busy_day):
    """As the alerts count: errors that nginx sent, without failures to decode."""
    def errors():
        nginx = sum(line["status"] == "500" and line["cache"] != "HIT" for line in busy_day.lines())
        lorikeet = samples(busy_day.get("/metrics").body.decode())
        return nginx, sum(value for name, value in lorikeet.items() if name.startswith("lorikeet_decode_failures_total"))
    before = errors()
    for width in range(10, 30):
        assert busy_day.get(f"/iiif/3/short.jpg/full/{width},/0/default.jpg").status == 500
    wait_for("all counts", 5, lambda: errors() == (before[0] + 20, before[1] + 20))
    assert before[0] == before[1]


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


# --- Prometheus with the shipped files ---

@pytest.fixture(scope="module")
def prometheus(busy_day, scratch):
    """Its port, when it has asked all that is there twice."""
    folder = scratch / "prometheus"
    folder.mkdir()
    shutil.copy(RULES, folder / "lorikeet-rules.yml")
    port = free_port()
    (folder / "prometheus.yml").write_text(render((REPO / "scripts/prometheus.yml").read_text(), {
        "scrape_interval: 15s": "scrape_interval: 1s", "evaluation_interval: 15s": "evaluation_interval: 1s",
        "'127.0.0.1:80'": f"'127.0.0.1:{busy_day.stack.port}'", "'127.0.0.1:3903'": f"'127.0.0.1:{busy_day.mtail_port}'"}))
    process = busy_day.stack.spawn(["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                                    f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"])
    try:
        wait_for("Prometheus", 30, lambda: is_listening(process, port) and ask(port, "/-/ready")[0] == 200)
        for job in ("lorikeet", "mtail"):
            wait_for(f"what it asks of {job}", 30, lambda: [r["value"][1] for r in query(port, f'count_over_time(up{{job="{job}"}}[1m]) > 1')])
        yield port
    finally:
        process.terminate()
        end_within(process, 15)


def rules():
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def dashboard_expressions():
    """With what Grafana puts in for its variables."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"].replace("$instance", ".*").replace("$__rate_interval", "1m") for panel in panels for target in panel.get("targets", [])]


def selectors(expression):
    """Names with their matchers: what is no function, operator or label."""
    bare = re.sub(r"\b(by|without|on|ignoring) *\([^)]*\)|\bgroup_(left|right)\b", " ", expression)
    return re.findall(r"\b([a-zA-Z_:][\w:]*)\b(?!\s*\()(\{[^}]*\})?", re.sub(r"\b(and|or|unless)\b|\[\w+\]", " ", bare))


def test_prometheus_takes_the_shipped_files(prometheus, busy_day):
    ups = query(prometheus, "up")
    assert {(r["metric"]["job"], r["metric"]["instance"], r["value"][1]) for r in ups} >= {("lorikeet", "127.0.0.1", "1"), ("mtail", "127.0.0.1", "1")}

    def evaluated():
        groups = json.loads(ask(prometheus, "/api/v1/rules")[1])["data"]["groups"]
        found = [rule for group in groups for rule in group["rules"]]
        return found if all(rule["health"] != "unknown" for rule in found) else None
    found = wait_for("the rules", 20, evaluated)
    assert [rule["name"] for rule in found if rule["health"] != "ok"] == [] and len(found) == len(rules())
    status, text = ask(busy_day.stack.port, "/nginx-status")
    assert status == 200 and text.startswith("Active connections: "), "for prometheus-nginx-exporter"


def test_what_rules_and_dashboard_ask_for_is_there(prometheus):
    """Each name with each of its matchers has series, of a real server and of mtail, or is another exporter's."""
    records = {rule["record"] for rule in rules() if "record" in rule}
    asked = {pair for expression in [rule["expr"] for rule in rules()] + dashboard_expressions() for pair in selectors(expression)}
    names = {name for name, _ in asked}
    assert {name for name in names if not name.startswith("lorikeet_")} - records == FOREIGN | OWN
    assert len([name for name in names if name.startswith("lorikeet_")]) > 40
    for name, matchers in asked:
        if name in FOREIGN | OWN | records:
            continue
        assert query(prometheus, name + matchers), name + matchers


def test_the_dashboard(prometheus):
    dashboard = json.loads(DASHBOARD.read_text())
    assert dashboard["uid"] == "lorikeet" and {v["name"] for v in dashboard["templating"]["list"]} == {"datasource", "instance"}
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 40
    taken = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["title"] and panel["description"] and panel["fieldConfig"]["defaults"]["unit"] and panel["targets"]
            refs = [target["refId"] for target in panel["targets"]]
            assert len(set(refs)) == len(refs) and all(t["datasource"]["uid"] == "${datasource}" for t in [panel, *panel["targets"]])
    for expression in dashboard_expressions():
        found = query(prometheus, expression)
        if not any(name in expression for name in FOREIGN | {"ALERTS"}):
            assert found, expression


def test_what_the_readme_sends_to_cloudwatch_is_there(prometheus):
    """Each selector of its sample has series, with the labels that are their dimensions."""
    sample = re.search(r'^    \{"logs".*?\}\}\}\}\}$', (REPO / "README.md").read_text(), re.M | re.S).group()
    declarations = json.loads(sample)["logs"]["metrics_collected"]["prometheus"]["emf_processor"]["metric_declaration"]
    assert len(declarations) > 4
    for one in declarations:
        matchers = ",".join(f'{label}=~"{value}"' for label, value in zip(one["source_labels"], one["label_matcher"].split(";"), strict=True))
        for selector in one["metric_selectors"]:
            found = query(prometheus, f'{{__name__=~"{selector}",{matchers}}}')
            assert found and all(set(one["dimensions"][0]) <= set(r["metric"]) for r in found), selector


def test_promtool_takes_each_expression(folder):
    """As a file of rules, as it will be typed into alerts."""
    made = [{"record": f"dashboard:{i}", "expr": expression} for i, expression in enumerate(dashboard_expressions())]
    (folder / "rules.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": made}]}))
    shutil.copy(RULES, folder / "lorikeet-rules.yml")
    shutil.copy(REPO / "scripts/prometheus.yml", folder)
    for words in (["rules", "rules.yml"], ["config", "prometheus.yml"]):
        done = subprocess.run(["promtool", "check", *words], cwd=folder, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
