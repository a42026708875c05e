# SPDX-License-Identifier: BSD-2-Clause
"""/metrics of the shipped configuration: what requests, queues and the lives of workers do to it, and that Prometheus takes it."""
import os
import signal
import socket
import subprocess
import threading
import time

import pytest
from bench import NO_CACHE, in_parallel, is_running
from origin import Origin
from PIL import Image
from shop import Shop, rule
from stack import ask_socket, wait_for

WHOLE = "/iiif/3/E.jpg/full/100,/0/default"
MB = 10 ** 6


class Scrape:
    """Samples by name and labels."""

    def __init__(self, text):
        self.text = text
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        self.samples = {name.removeprefix("lorikeet_"): float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}
        assert len(self.samples) == len(lines), "a sample twice"

    def __getitem__(self, name):
        return self.samples.get(name, 0)

    def sum(self, name, *labels):
        """Of all samples of that name with these labels, as 'api="2"'."""
        return sum(value for key, value in self.samples.items()
                   if key.partition("{")[0] == name and all(label in key for label in labels))


class Pool(Shop):
    def scrape(self, group=None):
        """Through nginx, or straight from a worker of a group."""
        if not group:
            return Scrape(self.get("/metrics").body.decode())
        answer = ask_socket(self.stack.socket(group), LORIKEET_METRICS="1").decode()
        return Scrape(answer.partition("\r\n\r\n")[2])

    def scrape_after(self, before, requests):
        """With that many answers more. A worker counts when it has sent one, and may be overtaken."""
        def count():
            seen = self.scrape()
            return seen if seen.sum("requests_total") >= before.sum("requests_total") + requests else None
        return wait_for("the counts", 5, count)


def write_pictures(folder):
    """slow.png takes seconds to decode, pyramid.tif has stored tiles."""
    folder.mkdir(parents=True)
    Image.effect_noise((6000, 5000), 90).convert("RGB").save(folder / "slow.png", compress_level=1)
    Image.effect_noise((640, 480), 90).convert("RGB").save(folder / "E.jpg")
    return folder


@pytest.fixture(scope="module")
def origin(images):
    with Origin(images) as running:
        yield running


@pytest.fixture(scope="module")
def pool(scratch, binary, origin):
    folder = scratch / "metrics"
    pictures = write_pictures(folder / "pictures")
    subprocess.run([binary, "pyramid", pictures / "E.jpg", pictures / "pyramid.tif"], check=True)
    (pictures / "short.jpg").write_bytes((pictures / "E.jpg").read_bytes()[:200])
    (pictures / "text.jpg").write_text("no picture\n")
    os.link(pictures / "short.jpg", pictures / "pair.jpeg")
    os.link(pictures / "E.jpg", pictures / "pair.jpg")
    rules = [rule("web/", url=f"http://127.0.0.1:{origin.port}/{{id}}"),
             rule("pair/", "file", root=str(pictures), fallback=[".jpeg -> .jpg"]), rule("", "file", root=str(pictures))]
    with Pool(folder / "shop", binary, rules, cache={"max_wait_ms": 1500}, changes=NO_CACHE,
              limits={"max_request_memory": 300 * MB}) as running:
        running.pictures = pictures
        yield running


def requests(api, status, form, path):
    return f'requests_total{{api="{api}",status="{status}",format="{form}",path="{path}"}}'


@pytest.mark.sanitize
def test_every_kind_of_answer_has_its_labels(pool):
    table = [
        (WHOLE + ".jpg", 200, requests(3, "2xx", "jpg", "planes")),
        ("/iiif/2/E.jpg/full/100,/0/default.png", 200, requests(2, "2xx", "png", "planes")),
        (WHOLE + ".gif", 200, requests(3, "2xx", "gif", "wand")),
        ("/iiif/3/pyramid.tif/0,0,256,256/256,256/0/default.jpg", 200, requests(3, "2xx", "jpg", "pass")),
        ("/iiif/3/pyramid.tif/0,0,512,256/512,256/0/default.jpg", 200, requests(3, "2xx", "jpg", "stitch")),
        ("/iiif/3/E.jpg/info.json", 200, requests(3, "2xx", "info", "-")),
        ("/iiif/2/E.jpg", 303, requests(2, "3xx", "-", "-")),
        ("/iiif/2/none.jpg/info.json", 404, requests(2, "4xx", "info", "-")),
        (WHOLE + ".xyz", 400, requests(3, "4xx", "-", "-")),
        ("/nothing/of/ours", 404, requests("-", "4xx", "-", "-")),
        ("/iiif/3/short.jpg/full/90,/0/default.jpg", 500, requests(3, "5xx", "jpg", "-")),
    ]
    before = pool.scrape()
    for target, status, _ in table:
        assert pool.get(target).status == status, target
    after = pool.scrape_after(before, len(table))
    for target, _, sample in table:
        assert after[sample] == before[sample] + 1, (target, sample)
    assert after.sum("requests_total") == before.sum("requests_total") + len(table), "nothing else counts, scrapes neither"

    etag = pool.get(WHOLE + ".jpg").header("ETag")
    assert pool.get(WHOLE + ".jpg", If_None_Match=etag).status == 304
    assert pool.scrape_after(after, 2)[requests(3, "3xx", "jpg", "-")] == after[requests(3, "3xx", "jpg", "-")] + 1


@pytest.mark.sanitize
def test_times_and_bytes(pool):
    before = pool.scrape()
    size = sum(len(pool.get(f"/iiif/3/E.jpg/full/{w},/0/default.jpg").body) for w in (50, 60, 70))
    after = pool.scrape_after(before, 3)
    assert after["response_body_bytes_total"] - before["response_body_bytes_total"] == size
    for name, label in [("request_seconds", "")] + [("stage_seconds", f'{{stage="{s}"}}') for s in ("resolve", "open", "read", "encode")]:
        assert after[f"{name}_count{label}"] - before[f"{name}_count{label}"] == 3, (name, label)
        assert 0 < after[f"{name}_sum{label}"] - before[f"{name}_sum{label}"] < 60
    stages = after.sum("stage_seconds_sum") - before.sum("stage_seconds_sum")
    whole = after["request_seconds_sum"] - before["request_seconds_sum"]
    assert stages <= whole, "the stages are parts of the whole"
    assert after['stage_seconds_count{stage="fetch"}'] == before['stage_seconds_count{stage="fetch"}']
    buckets = [v for k, v in after.samples.items() if k.startswith("request_seconds_bucket")]
    assert buckets == sorted(buckets) and buckets[-1] == after["request_seconds_count"] and len(buckets) == 19


def test_any_worker_answers_for_all(pool):
    """Right after the requests, from whichever group is asked."""
    before = pool.scrape("a")
    for group in "ab":
        for i in range(4):
            ask_socket(pool.stack.socket(group), f"/iiif/3/E.jpg/full/{20 + i},/0/default.jpg")
    for group in ("a", "b", "fetch-a", "fetch-b"):
        def is_seen(group=group):
            return pool.scrape(group).sum("requests_total") == before.sum("requests_total") + 8
        wait_for(f"the counts of all in {group}", 5, is_seen)
    seen = pool.scrape("fetch-a")
    assert [seen.sum("workers", f'group="{g}"') for g in ("a", "b", "fetch-a", "fetch-b")] == [2, 2, 2, 2]
    # It answers; one that answered before may not have put all away.
    wait_for("one busy process", 5, lambda: pool.scrape("fetch-a")['workers{group="fetch-a",state="busy"}'] == 1)
    assert seen["workers_configured"] == 4 and seen["fetchers_configured"] == 4
    assert seen['worker_memory_bytes{group="a"}'] > MB


def test_what_is_fetched_counts_once(pool, images):
    os.link(images / "E.jpg", images / "metric.jpg")
    before = pool.scrape()
    assert pool.get("/iiif/3/web%2Fmetric.jpg/full/100,/0/default.jpg").status == 200
    after = pool.scrape_after(before, 1)
    assert after['stage_seconds_count{stage="fetch"}'] == before['stage_seconds_count{stage="fetch"}'] + 1
    assert after.sum("requests_total") == before.sum("requests_total") + 1
    assert after["request_seconds_count"] == before["request_seconds_count"] + 1
    assert after.sum("worker_busy_seconds_total", "fetch-") > before.sum("worker_busy_seconds_total", "fetch-")


def test_one_damaged_original_asked_for_again_and_again(pool):
    before = pool.scrape()
    for i in range(20):
        assert pool.get(f"/iiif/3/short.jpg/full/{30 + i},/0/default.jpg").status == 500
        assert pool.get(f"/iiif/3/text.jpg/full/{30 + i},/0/default.jpg").status == 501
    after = pool.scrape_after(before, 40)
    for form, reason in (("jpeg", "damaged"), ("other", "unsupported")):
        labels = f'{{format="{form}",reason="{reason}"}}'
        assert after["decode_failures_total" + labels] - before["decode_failures_total" + labels] == 20
        assert after["failed_originals_total" + labels] == 1, "by all workers together"


def test_what_a_fallback_hides(pool):
    """A fetcher decodes such originals first. What it found is remembered and does not count again."""
    labels = '{format="jpeg",reason="damaged"}'
    before = pool.scrape()
    for i in range(5):
        assert pool.get(f"/iiif/3/pair%2Fpair.jpeg/full/{30 + i},/0/default.jpg").header("X-IIIF-Fallback") == "1"
    after = pool.scrape_after(before, 5)
    assert after["fallbacks_total"] == before["fallbacks_total"] + 5
    assert after["decode_failures_total" + labels] == before["decode_failures_total" + labels] + 1
    assert after["failed_originals_total" + labels] == before["failed_originals_total" + labels] + 1


def test_who_has_his_answer_loses_nothing(pool, origin, images):
    """A fetcher that works on for others has no request in hand."""
    os.link(images / "E.jpg", images / "stalled.jpg")
    origin.script("/stalled.jpg", {"stall": "head"})
    before = pool.scrape()
    assert pool.get("/iiif/3/web%2Fstalled.jpg/full/100,/0/default.jpg").status == 503
    after = pool.scrape_after(before, 1)
    assert after[requests(3, "5xx", "jpg", "-")] == before[requests(3, "5xx", "jpg", "-")] + 1
    assert after.sum("workers", "fetch-", "busy") == 1
    for group in pool.stack.FETCH_GROUPS:
        for pid in pool.stack.worker_pids(group):
            os.kill(pid, signal.SIGKILL)
    wait_for("new fetchers", 10, lambda: pool.scrape().sum("worker_starts_total", "fetch-") == before.sum("worker_starts_total", "fetch-") + 4)
    done = pool.scrape()
    assert done["requests_lost_total"] == before["requests_lost_total"] and done.sum("workers", "fetch-", "busy") == 0
    assert done.sum("worker_ends_total", "fetch-", "killed") == before.sum("worker_ends_total", "fetch-", "killed") + 4
    assert done.sum("requests_total") == after.sum("requests_total")


def test_too_much_memory(pool):
    before = pool.scrape()
    assert pool.get("/iiif/3/slow.png/full/5990,/17/default.png").status == 413
    after = pool.scrape_after(before, 1)
    assert after['memory_refusals_total{by="estimate"}'] == before['memory_refusals_total{by="estimate"}'] + 1
    assert after.sum("decode_failures_total") == before.sum("decode_failures_total"), "the original is sound"


def test_connections_that_wait(pool):
    """While all workers of a group stand still, others tell how many wait for them."""
    pids = pool.stack.worker_pids("a")
    clients = []
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        for _ in range(7):
            clients.append(socket.socket(socket.AF_UNIX))
            clients[-1].connect(str(pool.stack.socket("a")))
        seen = pool.scrape("b")
        assert seen['queue_connections{group="a"}'] == 7 and seen['queue_connections{group="b"}'] == 0
        assert seen['queue_max_connections{group="a"}'] == 1024 and seen['queue_max_connections{group="fetch-a"}'] == 64
        assert seen.sum("workers", 'group="a"') == 2, "they live"
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        for client in clients:
            client.close()
    wait_for("an empty queue", 10, lambda: pool.scrape("b")['queue_connections{group="a"}'] == 0)


@pytest.mark.sanitize
def test_ends_of_workers(pool):
    """Counts outlive them. A request in hand that was lost is nginx's to give to another."""
    def ends(seen, kind):
        return seen[f'worker_ends_total{{group="a",kind="{kind}"}}']

    def started(n):
        wait_for("new workers", 10, lambda: pool.scrape("b")['worker_starts_total{group="a"}'] == before['worker_starts_total{group="a"}'] + n)
    before = pool.scrape("b")
    idle = pool.stack.worker_pids("a")[0]
    os.kill(idle, signal.SIGKILL)
    started(1)
    killed = pool.scrape("b")
    assert ends(killed, "killed") == ends(before, "killed") + 1
    assert killed["requests_lost_total"] == before["requests_lost_total"]
    os.kill(pool.stack.worker_pids("a")[0], signal.SIGTERM)
    started(2)
    stopped = pool.scrape("b")
    assert ends(stopped, "stopped") == ends(before, "stopped") + 1 and ends(stopped, "killed") == ends(killed, "killed")
    assert stopped.sum("requests_total") >= before.sum("requests_total") and stopped.sum("workers", 'group="a"') == 2

    client = threading.Thread(target=in_parallel, args=(1, lambda _: ask_socket(pool.stack.socket("a"), "/iiif/3/slow.png/full/!300,300/0/default.jpg")))
    client.start()
    wait_for("a busy worker", 10, lambda: pool.scrape("b")['workers{group="a",state="busy"}'] == 1)
    time.sleep(0.15)
    busy, = (pid for pid in pool.stack.worker_pids("a") if is_running(pid))
    os.kill(busy, signal.SIGSEGV)
    client.join()
    started(3)
    crashed = pool.scrape("b")
    # The sanitizers have handlers of their own for signals.
    kind = "killed" if "asan" in pool.binary.parts else "crashed"
    assert ends(crashed, kind) == ends(stopped, kind) + 1
    assert crashed["requests_lost_total"] == before["requests_lost_total"] + 1
    assert crashed["decode_crashes_total"] == before["decode_crashes_total"] + 1
    assert crashed['worker_busy_seconds_total{group="a"}'] > stopped['worker_busy_seconds_total{group="a"}']

    if kind == "crashed":
        for width in (290, 291, 292):
            assert pool.get(f"/iiif/3/slow.png/full/!{width},300/0/default.jpg").status == 500
        refused = pool.scrape_after(crashed, 3)
        for name, more in (("decode_failures_total", 3), ("failed_originals_total", 1)):
            assert refused.sum(name) == crashed.sum(name) + more, "what is remembered fails too"


@pytest.mark.sanitize
def test_a_deploy_ends_nothing_badly(pool):
    before = pool.scrape()
    pool.stack.restart_group("a")
    pool.stack.restart_group("b")
    after = pool.scrape()
    for group in "ab":
        assert after[f'worker_ends_total{{group="{group}",kind="stopped"}}'] == before[f'worker_ends_total{{group="{group}",kind="stopped"}}'] + 2
    for kind in ("killed", "crashed", "failed"):
        assert after.sum("worker_ends_total", f'kind="{kind}"') == before.sum("worker_ends_total", f'kind="{kind}"')
    assert after.sum("requests_total") >= before.sum("requests_total") > 0


def check(text):
    return subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)


@pytest.mark.sanitize
def test_prometheus_takes_it(pool):
    """Of all that was counted here. It complains of what is broken."""
    text = pool.scrape().text
    done = check(text)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    for name in ("requests_total", "request_seconds_bucket", "stage_seconds_sum", "queue_connections"):
        assert f"\nlorikeet_{name}" in text
    assert check(text.replace("# HELP lorikeet_waits_total", "# lorikeet_waits_total")).returncode != 0


@pytest.mark.mounts
@pytest.mark.sanitize
def test_a_full_disk_ends_nobody(scratch, binary):
    """There is room for the counts of one process; the others keep theirs to themselves, and say so."""
    folder = scratch / "metrics-full"
    pictures, volume = folder / "pictures", folder / "volume"
    pictures.mkdir(parents=True)
    volume.mkdir()
    Image.new("RGB", (64, 48)).save(pictures / "a.png")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80k,mode=1777", "none", volume], check=True)
    try:
        with Pool(folder / "shop", binary, [rule("", "file", root=str(pictures))], workers=2, changes=NO_CACHE,
                  env={"LORIKEET_SERVER_METRICS_FILE": str(volume / "counts")}) as full:
            pids = full.stack.worker_pids()
            assert {full.get(f"/iiif/3/a.png/full/{n},/0/default.jpg").status for n in range(10, 30)} == {200}
            assert {full.get("/metrics").status for _ in range(8)} == {200}
            assert full.stack.worker_pids() == pids
            said = "".join(full.stack.log(f"lorikeet-{group}.log") for group in full.stack.ALL_GROUPS)
            assert said.count("no room") == 8, said        # of two workers and two fetchers in two groups, and the one for health
    finally:
        subprocess.run(["umount", "--lazy", volume], check=True)


def test_without_a_file_there_are_the_counts_of_one_process(scratch, binary):
    folder = scratch / "metrics-alone"
    pictures = folder / "pictures"
    pictures.mkdir(parents=True)
    Image.new("RGB", (64, 48)).save(pictures / "a.png")
    with Pool(folder / "shop", binary, [rule("", "file", root=str(pictures))], workers=1,
              env={"LORIKEET_SERVER_METRICS_FILE": ""}) as alone:
        ask_socket(alone.stack.socket("a"), "/iiif/3/a.png/full/10,/0/default.jpg")
        seen = alone.scrape("a")
        assert seen[requests(3, "2xx", "jpg", "planes")] == 1 and alone.scrape("b")[requests(3, "2xx", "jpg", "planes")] == 0
        assert seen['worker_memory_bytes{group="a"}'] > MB
        assert seen.sum("workers") == 1 and seen['queue_max_connections{group="a"}'] == 1024
        assert check(seen.text).stderr == ""
