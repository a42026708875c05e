# SPDX-License-Identifier: BSD-2-Clause
"""scripts/prometheus-rules.yml by promtool: a healthy server, and one that gets a single trouble, minute by minute.

Each case says all alerts that fire, so that each is also a test of the silence of all others.
"""
import json
import re
import subprocess

import pytest
import yaml
from stack import REPO

RULES = REPO / "scripts/prometheus-rules.yml"
BEFORE, AFTER = 15, 75         # minutes of health, and of trouble
MB = 10 ** 6


class Steps:
    """A series of promtool's, a sample a minute."""

    def __init__(self, before, after=None):
        self.before, self.after = before, before if after is None else after


class Each(Steps):
    """A counter that rises by that much in a minute. restarts: it begins at zero again when the trouble comes."""

    def __init__(self, before, after=None, restarts=False):
        super().__init__(before, after)
        self.restarts = restarts

    def text(self, trouble):
        start = 0 if self.restarts else self.before * BEFORE
        return f"0+{self.before}x{BEFORE - 1} {start}+{self.after}x{trouble - 1} {start + self.after * trouble}+{self.before}x{AFTER}"


class Is(Steps):
    """A gauge."""

    def text(self, trouble):
        return f"{self.before}x{BEFORE - 1} {self.after}x{trouble - 1} {self.before}x{AFTER}"


class Gone(Steps):
    """A series that ends when the trouble comes."""

    def __init__(self, healthy):
        super().__init__(healthy.before)
        self.kind = type(healthy)

    def text(self, trouble):
        return self.kind(self.before).text(trouble).split(" ")[0] + " stale"


def labelled(name, **labels):
    pairs = {"instance": "img1", **labels}
    return name + "{" + ",".join(f'{k}="{v}"' for k, v in pairs.items()) + "}"


def lorikeet(name, **labels):
    return labelled("lorikeet_" + name, job="lorikeet", **labels)


def node(name, **labels):
    return labelled("node_" + name, job="node", **labels)


def nginx(status, cache):
    return labelled("lorikeet_nginx_requests_total", job="mtail", prog="lorikeet.mtail", status=status, cache=cache)


def histogram(series, bounds, **labels):
    """{bound: observations a minute} as a Prometheus histogram."""
    out, total = {}, [0, 0]
    for bound, each in bounds.items():
        total = [total[0] + each.before, total[1] + each.after]
        out[series("_bucket", le=bound, **labels)] = Each(*total)
    out[series("_count", **labels)] = Each(*total)
    return out


def pool_seconds(quick, slow):
    """Answers that take 50 ms, and 10 s."""
    def name(part, **labels):
        return labelled("lorikeet_nginx_pool_seconds" + part, job="mtail", prog="lorikeet.mtail", **labels)
    return histogram(name, {"0.1": quick, "5": Each(0), "10": slow, "+Inf": Each(0)})


def worker_seconds(quick, slow):
    def name(part, **labels):
        return lorikeet("request_seconds" + part, **labels)
    return histogram(name, {"0.1": quick, "5": Each(0), "10": slow, "+Inf": Each(0)})


def answers(good, failed=None):
    found = {lorikeet("requests_total", api="3", status="2xx", format="jpg", path="planes"): good}
    return {**found, lorikeet("requests_total", api="3", status="5xx", format="jpg", path="-"): failed or Each(0)}


def workers(a, b, busy=None, groups="a b"):
    """Alive in both groups; without another word each is busy half of the time."""
    out = {}
    for group, live in zip(groups.split(), (a, b)):
        out[lorikeet("workers", group=group, state="busy")] = Is(1, min(1, live.after))
        out[lorikeet("workers", group=group, state="idle")] = Is(live.before - 1, max(0, live.after - 1))
        out[lorikeet("worker_busy_seconds_total", group=group)] = busy or Each(30 * live.before, 30 * live.after)
    return out


def failures(reason, times, originals, form="jpeg"):
    labels = {"format": form, "reason": reason}
    return {lorikeet("decode_failures_total", **labels): times, lorikeet("failed_originals_total", **labels): originals}


def volume(mountpoint, avail, files=Is(5 * MB), readonly=Is(0)):
    labels = {"device": "/dev/sda", "fstype": "ext4", "mountpoint": mountpoint}
    return {node("filesystem_size_bytes", **labels): Is(100_000 * MB), node("filesystem_avail_bytes", **labels): avail,
            node("filesystem_files", **labels): Is(6 * MB), node("filesystem_files_free", **labels): files,
            node("filesystem_readonly", **labels): readonly}


# 20 requests a second, of which workers answer 5; 4 workers and 4 fetchers; an origin, a cache that fills and trims itself.
HEALTHY = {
    labelled("up", job="lorikeet"): Is(1), labelled("up", job="mtail"): Is(1), labelled("up", job="node"): Is(1),
    nginx("200", "HIT"): Each(900), nginx("200", "MISS"): Each(290), nginx("404", "MISS"): Each(9), nginx("499", "MISS"): Each(1),
    nginx("500", "MISS"): Each(0), nginx("502", "MISS"): Each(0), nginx("503", "MISS"): Each(0), nginx("504", "MISS"): Each(0),
    **pool_seconds(Each(299), Each(1)), **worker_seconds(Each(299), Each(1)), **answers(Each(300)),
    **failures("damaged", Each(0), Each(0)),
    **workers(Is(2), Is(2)), **workers(Is(2), Is(2), groups="fetch-a fetch-b"), **workers(Is(1), Is(1), groups="health"),
    lorikeet("workers_configured"): Is(4), lorikeet("fetchers_configured"): Is(4),
    **{lorikeet("worker_ends_total", group=g, kind=k): Each(0)
       for g in ("a", "b") for k in ("retired", "stopped", "crashed", "killed", "failed")},
    **{lorikeet("queue_connections", group=g): Is(1) for g in ("a", "b", "fetch-a", "health")},
    **{lorikeet("queue_max_connections", group=g): Is(m) for g, m in (("a", 1024), ("b", 1024), ("fetch-a", 64), ("health", 64))},
    **{lorikeet(f"{name}_total"): Each(0) for name in (
        "fallbacks", "log_lines_dropped", "cache_dropped", "cache_unusable", "waits_refused", "waits_late",
        "origin_failed", "origin_timeouts", "origin_damaged", "origin_throttled", "origin_denied")},
    lorikeet("memory_refusals_total", by="limit"): Each(0), lorikeet("memory_refusals_total", by="estimate"): Each(1),
    lorikeet("origin_requests_total"): Each(30), lorikeet("cache_hits_total"): Each(270), lorikeet("cache_misses_total"): Each(30),
    lorikeet("cache_usable"): Is(1), lorikeet("cache_free_bytes"): Is(1100 * MB),
    lorikeet("cache_bytes"): Is(100_000 * MB), lorikeet("cache_evicted_bytes_total"): Each(60 * MB),
    node("cpu_seconds_total", cpu="0", mode="idle"): Each(40), node("cpu_seconds_total", cpu="1", mode="idle"): Each(30),
    node("cpu_seconds_total", cpu="0", mode="user"): Each(20), node("cpu_seconds_total", cpu="1", mode="user"): Each(30),
    node("memory_MemAvailable_bytes"): Is(4000 * MB), node("memory_MemTotal_bytes"): Is(8000 * MB),
    **volume("/", Is(50_000 * MB)), **volume("/var/cache/lorikeet", Is(1000 * MB)),
    **volume("/media/cdrom", Is(0), files=Is(0), readonly=Is(1)),
}


def without(*words):
    return {name: Gone(series) for name, series in HEALTHY.items() if any(word in name for word in words)}


def never(*words):
    return {name: None for name in HEALTHY if any(word in name for word in words)}


QUIET = {nginx("200", "HIT"): Each(2), **{nginx(status, "MISS"): Each(0) for status in ("200", "404", "499")}, **answers(Each(0)),
         **{lorikeet(f"{name}_total"): Each(0) for name in ("origin_requests", "cache_hits", "cache_misses")},
         lorikeet("memory_refusals_total", by="estimate"): Each(0), **{lorikeet("queue_connections", group=g): Is(0) for g in "ab"},
         **pool_seconds(Each(0), Each(0)), **worker_seconds(Each(0), Each(0))}
NO_MTAIL = never('job="mtail"')

# What happens, and all that fires then. Minutes of trouble: 150.
TROUBLES = {
    "it does not answer": ({**without('job="lorikeet"'), labelled("up", job="lorikeet"): Is(1, 0)},
                           "page:LorikeetDown"),
    "every tenth request is 502": ({nginx("502", "MISS"): Each(0, 120)},
                                   "page:LorikeetFails ticket:LorikeetFailsNowAndThen"),
    "nginx itself cannot": ({nginx("500", "-"): Each(0, 120)}, "page:LorikeetFails ticket:LorikeetFailsNowAndThen"),
    "errors, and mtail's instance has another name": (
        {**never('job="lorikeet"'), labelled("up", job="lorikeet"): Is(1), nginx("500", "MISS"): Each(0, 120)},
        "page:LorikeetFails ticket:LorikeetFailsNowAndThen"),
    "errors beside failures that are none": (
        {nginx("502", "MISS"): Each(0, 120), **failures("too-large", Each(0, 200), Each(0, 1 / 60)),
         **failures("unsupported", Each(0, 200), Each(0, 1 / 60), "other")}, "page:LorikeetFails ticket:LorikeetFailsNowAndThen"),
    "one of a hundred is 504": ({nginx("504", "MISS"): Each(0, 12)}, "ticket:LorikeetFailsNowAndThen"),
    "workers answer 500, without mtail": ({**NO_MTAIL, **answers(Each(300, 150), Each(0, 150))}, "ticket:LorikeetWorkersFail"),
    "errors of workers beside failures that are none": (
        {**NO_MTAIL, **answers(Each(300, 150), Each(0, 150)), **failures("too-large", Each(0, 150), Each(0, 1 / 60))},
        "ticket:LorikeetWorkersFail"),
    "all is slow": (pool_seconds(Each(299, 200), Each(1, 100)), "page:LorikeetSlow ticket:LorikeetSlowNowAndThen"),
    "a few are slow": (pool_seconds(Each(299, 290), Each(1, 10)), "ticket:LorikeetSlowNowAndThen"),
    "workers are slow, without mtail": ({**NO_MTAIL, **worker_seconds(Each(299, 200), Each(1, 100))}, "ticket:LorikeetWorkersSlow"),
    "mtail is down": ({**without('job="mtail"'), labelled("up", job="mtail"): Is(1, 0)}, "ticket:LorikeetAccessLogUnread"),
    "mtail may not read the log": (without('lorikeet_nginx_requests_total{instance="img1",job="mtail"'),
                                   "ticket:LorikeetAccessLogUnread"),
    "a group is down": (workers(Is(2), Is(2, 0)), "ticket:LorikeetWorkersMissing"),
    "workers do not start": (workers(Is(2, 1), Is(2, 0)), "ticket:LorikeetWorkersMissing page:LorikeetMostWorkersMissing"),
    "fetchers do not start": (workers(Is(2), Is(2, 0), groups="fetch-a fetch-b"), "ticket:LorikeetFetchersMissing"),
    "workers are killed now and then": ({lorikeet("worker_ends_total", group="a", kind="killed"): Each(0, 0.1)},
                                        "ticket:LorikeetWorkersCrash"),
    "workers die and die": ({lorikeet("worker_ends_total", group="b", kind="crashed"): Each(0, 10)},
                            "ticket:LorikeetWorkersCrash page:LorikeetCrashLoop"),
    "workers have no rest": (workers(Is(2), Is(2), busy=Each(60, 118)), "ticket:LorikeetSaturated"),
    "fetchers have no rest": (workers(Is(2), Is(2), busy=Each(60, 118), groups="fetch-a fetch-b"), "ticket:LorikeetSaturated"),
    "requests wait": ({lorikeet("queue_connections", group="a"): Is(1, 30)}, "ticket:LorikeetQueues"),
    "a queue fills": ({lorikeet("queue_connections", group="b"): Is(1, 600)}, "ticket:LorikeetQueues page:LorikeetQueueFills"),
    "all workers hang": ({**answers(Each(300, 0)), lorikeet("queue_connections", group="a"): Is(1, 12)}, "page:LorikeetStuck"),
    "no worker is left": (workers(Is(2, 0), Is(2, 0), busy=Each(0)), "ticket:LorikeetWorkersMissing page:LorikeetMostWorkersMissing"),
    "the fetchers' queue fills": ({lorikeet("queue_connections", group="fetch-a"): Is(1, 40)}, "page:LorikeetQueueFills"),
    "too many wait for an origin": ({lorikeet("waits_refused_total"): Each(0, 10)}, "ticket:LorikeetWaitsRefused"),
    "supervisord hangs": ({lorikeet("log_lines_dropped_total"): Each(0, 300)}, "ticket:LorikeetLogLinesDropped"),
    "estimates are too low": ({lorikeet("memory_refusals_total", by="limit"): Each(0, 30)}, "ticket:LorikeetMemoryLimitHit"),
    "memory runs out at night, and large pictures are asked for": (
        {**QUIET, **answers(Each(0, 0.5)), lorikeet("memory_refusals_total", by="estimate"): Each(0, 0.5),
         lorikeet("memory_refusals_total", by="limit"): Each(0, 1)}, "ticket:LorikeetMemoryLimitHit"),
    "originals are too large": ({lorikeet("memory_refusals_total", by="estimate"): Each(1, 30)}, "ticket:LorikeetMemoryRefusals"),
    "a codec broke": ({**failures("damaged", Each(0, 200), Each(0, 40), "jp2"), nginx("500", "MISS"): Each(0, 200),
                       **answers(Each(300, 100), Each(0, 200))}, "page:LorikeetDecodingFails ticket:LorikeetOriginalsFail"),
    "a folder of damaged originals": ({**failures("damaged", Each(0, 9), Each(0, 6)), nginx("500", "MISS"): Each(0, 9)},
                                      "ticket:LorikeetOriginalsFail"),
    "a folder of text files": (failures("unsupported", Each(0, 60), Each(0, 60), "other"), "ticket:LorikeetOriginalsFail"),
    "text files, and a few damaged ones": (
        {**failures("unsupported", Each(0, 60), Each(0, 60), "other"), **failures("damaged", Each(0, 2), Each(0, 2))},
        "ticket:LorikeetOriginalsFail"),
    "text files, and a few damaged ones, at night": (
        {**QUIET, **answers(Each(0), Each(0, 3)), **failures("unsupported", Each(0, 2.5), Each(0, 2.5), "other"),
         **failures("damaged", Each(0, 0.4), Each(0, 0.4))}, "ticket:LorikeetOriginalsFail"),
    "fallbacks serve": ({lorikeet("fallbacks_total"): Each(0, 100)}, "ticket:LorikeetFallbacks"),
    "the origin is down": ({lorikeet("origin_failed_total"): Each(0, 30)}, "page:LorikeetOriginGone ticket:LorikeetOriginFails"),
    "the origin is slow now and then": ({lorikeet("origin_timeouts_total"): Each(0, 6)}, "ticket:LorikeetOriginFails"),
    "the origin sends damaged bodies": ({lorikeet("origin_damaged_total"): Each(0, 6)}, "ticket:LorikeetOriginFails"),
    "the origin throttles": ({lorikeet("origin_throttled_total"): Each(0, 3)}, "ticket:LorikeetOriginThrottles"),
    "the origin denies all": ({lorikeet("origin_denied_total"): Each(0, 29)}, "ticket:LorikeetOriginDenies"),
    "the cache is too small": ({lorikeet("cache_evicted_bytes_total"): Each(60 * MB, 600 * MB), lorikeet("cache_misses_total"): Each(30, 100)},
                               "ticket:LorikeetCacheThrashes"),
    "the cache's volume is gone": ({lorikeet("cache_usable"): Is(1, 0), lorikeet("cache_free_bytes"): Is(1100 * MB, 0),
                                    lorikeet("cache_unusable_total"): Each(0, 2)}, "page:LorikeetCacheUnusable"),
    "the cache's disk fails": ({lorikeet("cache_dropped_total"): Each(0, 1)}, "ticket:LorikeetCacheRots"),
    "something else fills the originals' volume": ({lorikeet("cache_free_bytes"): Is(1100 * MB, 100 * MB)},
                                                   "page:LorikeetCacheVolumeFull"),
    "something else fills nginx's cache volume": (volume("/var/cache/lorikeet", Is(1000 * MB, 100 * MB)),
                                                  "page:LorikeetCacheVolumeFull"),
    "the disk fills": (volume("/", Is(50_000 * MB, 10_000 * MB)), "ticket:LorikeetDiskFills"),
    "the disk is full": (volume("/", Is(50_000 * MB, 1_000 * MB)), "page:LorikeetDiskFull ticket:LorikeetDiskFills"),
    "inodes run out": (volume("/var/cache/lorikeet", Is(1000 * MB), files=Is(5 * MB, 0.1 * MB)), "ticket:LorikeetInodesRunOut"),
    "the disk is read-only": (volume("/", Is(50_000 * MB), readonly=Is(0, 1)), "page:LorikeetDiskReadOnly"),
    "the processors are busy": ({node("cpu_seconds_total", cpu="0", mode="idle"): Each(40, 1),
                                 node("cpu_seconds_total", cpu="1", mode="idle"): Each(30, 2)}, "ticket:LorikeetCpuSaturated"),
    "memory runs out": ({node("memory_MemAvailable_bytes"): Is(4000 * MB, 200 * MB)}, "ticket:LorikeetMemoryShort"),
}

# What happens on good days, for as long.
GOOD_DAYS = {
    "nothing": {},
    "one crawler on one damaged file": {**failures("damaged", Each(0, 400), Each(0, 1 / 60)), nginx("500", "MISS"): Each(0, 400),
                                        **answers(Each(300), Each(0, 400))},
    "one crawler on one slow file": {**failures("slow", Each(0, 100), Each(0, 1 / 60), "jp2"), nginx("503", "MISS"): Each(0, 100),
                                     **answers(Each(300), Each(0, 100))},
    "a damaged picture on a front page": {**failures("damaged", Each(0, 20), Each(0, 1 / 60)), nginx("500", "MISS"): Each(0, 20),
                                          nginx("500", "HIT"): Each(0, 2000), **answers(Each(300), Each(0, 20))},
    "one crawler asks for what there is not": {nginx("404", "MISS"): Each(9, 2000), nginx("501", "MISS"): Each(0, 400)},
    "one crawler on a text file": {**failures("unsupported", Each(0, 400), Each(0, 1 / 60), "other"), nginx("501", "MISS"): Each(0, 400),
                                   **answers(Each(300), Each(0, 400))},
    "one file that ends workers": {lorikeet("worker_ends_total", group="a", kind="crashed"): Each(0, 2 / 60),
                                   nginx("502", "MISS"): Each(0, 1 / 60)},
    "at night all of the few requests fail": {**QUIET, nginx("200", "HIT"): Each(0), nginx("502", "MISS"): Each(0, 0.25),
                                              **answers(Each(0), Each(0, 0.25)), lorikeet("origin_requests_total"): Each(0, 0.25),
                                              lorikeet("origin_failed_total"): Each(0, 0.25), lorikeet("fallbacks_total"): Each(0, 0.25)},
    "at night all of the few originals are damaged": {**QUIET, **answers(Each(0), Each(0, 0.3)), **failures("damaged", Each(0, 0.3), Each(0, 0.3))},
    "at night all of the few requests are slow": {**QUIET, **pool_seconds(Each(0), Each(0, 5)), **worker_seconds(Each(0), Each(0, 5))},
    "at night an origin denies and throttles the few requests": {
        **QUIET, **{lorikeet(f"origin_{name}_total"): Each(0, 0.25) for name in ("requests", "throttled", "denied")}},
    "at night somebody fetches a few large originals": {
        **QUIET, lorikeet("cache_misses_total"): Each(0, 0.5), lorikeet("cache_evicted_bytes_total"): Each(0, 600 * MB)},
    "at night one asks for large pictures": {**QUIET, **answers(Each(0, 0.5)), lorikeet("memory_refusals_total", by="estimate"): Each(0, 0.5)},
    "nobody comes": {**QUIET, nginx("200", "HIT"): Each(2, 0)},
    "clients leave": {nginx("499", "MISS"): Each(1, 500)},
    "workers retire": {lorikeet("worker_ends_total", group="a", kind="retired"): Each(0, 30)},
    "mtail and the counts begin anew": {name: Each(series.before, restarts=True) for name, series in HEALTHY.items()
                                        if type(series) is Each and "lorikeet_" in name},
    "what is not there is denied": {lorikeet("origin_denied_total"): Each(0, 20)},
    "a crawler goes through everything": {lorikeet("cache_evicted_bytes_total"): Each(60 * MB, 600 * MB)},
    "local files only": {**never("origin_", "cache_", "fetch", "waits_"), lorikeet("cache_usable"): Is(0),
                         lorikeet("cache_free_bytes"): Is(0), lorikeet("cache_unusable_total"): Each(0)},
    "without other exporters": never('job="node"', 'job="mtail"'),
    "xfs": {node("filesystem_files", device="/dev/sda", fstype="ext4", mountpoint="/"): Is(0),
            node("filesystem_files_free", device="/dev/sda", fstype="ext4", mountpoint="/"): Is(0)},
    "limits.workers is not set": {**never("workers_configured"), **workers(Is(2), Is(2, 1))},
}

# What is over in two minutes: no pages. Of deploys, nothing at all.
DEPLOYS = {
    "group after group": {
        **workers(Is(2, 0), Is(2)), **workers(Is(2, 0), Is(2), groups="fetch-a fetch-b"), lorikeet("queue_connections", group="b"): Is(1, 100),
        **{lorikeet("worker_ends_total", group=g, kind="stopped"): Each(0, 1) for g in ("a", "b")}},
    "all at once": {
        **workers(Is(2, 0), Is(2, 0)), **workers(Is(2, 0), Is(2, 0), groups="fetch-a fetch-b"), nginx("503", "MISS"): Each(0, 30),
        **{lorikeet("worker_ends_total", group=g, kind="stopped"): Each(0, 1) for g in ("a", "b")}},
}
SHORT = {
    "the machine starts again": {**without('job="lorikeet"', 'job="mtail"', 'job="node"'),
                                 **{labelled("up", job=job): Is(1, 0) for job in ("lorikeet", "mtail", "node")}},
    "a crowd": {lorikeet("queue_connections", group="a"): Is(1, 900), nginx("503", "MISS"): Each(0, 600),
                lorikeet("waits_refused_total"): Each(0, 600), **pool_seconds(Each(299, 0), Each(1, 600))},
    "all hangs": {**pool_seconds(Each(299, 0), Each(1, 300)), **worker_seconds(Each(299, 0), Each(1, 300)), **answers(Each(300, 0)),
                  nginx("504", "MISS"): Each(0, 300), nginx("200", "MISS"): Each(290, 0), lorikeet("queue_connections", group="a"): Is(1, 900)},
    "the network is away": {lorikeet("origin_failed_total"): Each(0, 30), lorikeet("waits_late_total"): Each(0, 60),
                            lorikeet("cache_unusable_total"): Each(0, 5), nginx("502", "MISS"): Each(0, 200)},
    "workers do not start": {**workers(Is(2, 0), Is(2, 0)), lorikeet("worker_ends_total", group="a", kind="failed"): Each(0, 5)},
}


def of_instance(series, name):
    return series.replace('instance="img1"', f'instance="{name}"')


def question(minute, wanted, **where):
    """What fires then, exactly; where: labels of that."""
    where = ",".join(f'{k}="{v}"' for k, v in where.items())
    pairs = [word.split(":") for word in wanted.split()]
    return {"expr": f'group by (severity, alertname) (ALERTS{{alertstate="firing",{where}}})', "eval_time": f"{minute}m",
            "exp_samples": [{"labels": f'{{severity="{severity}",alertname="{alert}"}}', "value": 1} for severity, alert in pairs]}


def promtool(folder, series, questions):
    path = folder / "tests.yml"
    path.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [
        {"interval": "1m", "input_series": [{"series": k, "values": v} for k, v in series.items()], "promql_expr_test": questions}]}))
    return subprocess.run(["promtool", "test", "rules", path], capture_output=True, text=True, timeout=100)


def ask(folder, cases, trouble, questions, **where):
    """All cases at once, each as an instance of its own. questions: (minute, whether the case's alerts fire then)."""
    series, asked = {}, []
    for name, (changes, wanted) in cases.items():
        here = {**HEALTHY, **changes}
        series.update({of_instance(key, name): steps.text(trouble) for key, steps in here.items() if steps})
        asked += [question(minute, wanted if fires else "", instance=name, **where) for minute, fires in questions]
    done = promtool(folder, series, asked)
    assert done.returncode == 0, done.stdout + done.stderr


def silent(cases):
    return {name: (changes, "") for name, changes in cases.items()}


def test_each_trouble_fires_its_alerts_and_no_other(folder):
    """At its end; not before it, nor at its first sign."""
    ask(folder, TROUBLES, AFTER, [(BEFORE - 1, False), (BEFORE + 1, False), (BEFORE + AFTER - 1, True)])


def test_good_days_are_silent(folder):
    ask(folder, silent(GOOD_DAYS), AFTER, [(BEFORE + minute, False) for minute in (1, 5, 10, 20, 40, AFTER - 1)])


def test_deploys_are_silent(folder):
    ask(folder, silent(DEPLOYS), 1, [(BEFORE + minute, False) for minute in range(20)])


def test_what_is_short_wakes_nobody(folder):
    ask(folder, silent(SHORT), 2, [(BEFORE + minute, False) for minute in range(20)], severity="page")


def test_nobody_asks(folder):
    """The last of its servers is no target any more."""
    series = {key: Gone(steps).text(AFTER) for key, steps in HEALTHY.items() if 'job="lorikeet"' in key}
    questions = [question(BEFORE - 1, ""), question(BEFORE + 8, ""), question(BEFORE + 20, "page:LorikeetUnwatched")]
    done = promtool(folder, series, questions)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_sees_a_wrong_alert(folder):
    """So that the silence above means something."""
    cases = {"a deploy": (TROUBLES["a group is down"][0], "page:LorikeetDown")}
    with pytest.raises(AssertionError, match="got: .*LorikeetWorkersMissing"):
        ask(folder, cases, AFTER, [(BEFORE + AFTER - 1, True)])


def test_each_alert_says_what_to_do_and_is_tried():
    done = subprocess.run(["promtool", "check", "rules", RULES], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    groups = yaml.safe_load(RULES.read_text())["groups"]
    alerts = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    tried = {word for _, wanted in TROUBLES.values() for word in wanted.split()} | {"page:LorikeetUnwatched"}
    assert sorted(tried) == sorted(f'{a["labels"]["severity"]}:{a["alert"]}' for a in alerts)
    table = re.findall(r"^\| (page|ticket) \| (.*?) \|", (REPO / "README.md").read_text(), re.M)
    assert sorted(f"{severity}:{name}" for severity, names in table for name in re.findall(r"`(\w+)`", names)) == sorted(tried)
    for alert in alerts:
        assert alert["for"] and len(alert["annotations"]["description"]) > 60, alert["alert"]
        for label in re.findall(r"\$labels\.(\w+)", str(alert["annotations"])):
            assert label in ("instance", "mountpoint") or f"by (instance, {label})" in alert["expr"] or label == "part", alert["alert"]
