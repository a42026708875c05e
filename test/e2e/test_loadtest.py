# SPDX-License-Identifier: BSD-2-Clause
"""scripts/loadtest counts what the server was really asked, and the replay asks what viewers ask."""
import json
import re
import subprocess

import load
import pytest
from PIL import Image
from stack import REPO, Stack

SIDES = {"wide.jpg": (1500, 700), "a b/tall.jpg": (600, 1900), "tiny.jpg": (90, 40)}


@pytest.fixture(scope="module")
def stack(scratch, binary):
    folder = scratch / "loaded"
    for name, sides in SIDES.items():
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise(sides, 60).convert("RGB").save(path)
    whole = (folder / "images/wide.jpg").read_bytes()
    (folder / "images/broken.jpg").write_bytes(whole[:len(whole) // 3])
    (folder / "lorikeet.conf").write_text(f'rules = ( {{ prefix = ""; root = "{folder}/images"; }} );\n')
    with Stack(folder / "s", binary, folder / "lorikeet.conf", workers=1) as running:
        yield running


@pytest.fixture
def loadtest(stack, tmp_path):
    """(exit status, results, the lines that nginx wrote meanwhile, what was said)."""
    def run(*words, identifiers=tuple(SIDES)):
        before = len(stack.log("nginx-access.log"))
        # It takes as many descriptors as it needs.
        done = subprocess.run(["prlimit", "--nofile=20:", REPO / "scripts/loadtest", "--base", stack.url, "--json", tmp_path / "out.json",
                               "--clients", "4", *words], input="\n".join(identifiers), capture_output=True, text=True, timeout=120)
        assert (tmp_path / "out.json").exists(), done.stderr
        return (done.returncode, json.loads((tmp_path / "out.json").read_text()), stack.log("nginx-access.log")[before:].splitlines(),
                done.stdout + done.stderr)
    return run


@pytest.mark.parametrize("tool", ["ab", "wrk"])
def test_requests_are_counted_and_cold_ones_made_anew(loadtest, tool):
    status, results, lines, said = loadtest("--sets", "thumbnails,zoom", "--seconds", "1", "--tools", tool)
    assert status == 0, said
    assert [(r["set"], r["cache"], r["by"], r["errors"]) for r in results] == \
        [(what, cache, tool, 0) for what in ("thumbnails", "zoom") for cache in ("cold", "warm")]
    cold, warm = (sum(r["requests"] for r in results if r["cache"] == cache) for cache in ("cold", "warm"))
    # What is cut off at the end is in the log, and not counted.
    made = sum("cache=BYPASS" in line for line in lines)
    held = sum("cache=HIT" in line for line in lines)
    assert 0 < cold <= made <= cold + 40 and 0 < warm <= held <= warm + 400, (cold, made, warm, held)
    for r in results:
        assert 0 < r["p50"] <= r["p90"] <= r["p99"] <= r["longest"] and r["bytes"] > r["requests"] * 100 and 0.5 < r["seconds"] < 30
    assert len({re.search(r'"GET (\S+) ', line)[1] for line in lines if "cache=HIT" in line}) >= 4


@pytest.mark.parametrize("tool", ["ab", "wrk"])
def test_errors_are_counted(loadtest, tool):
    status, [result], lines, _ = loadtest("--sets", "full", "--cache", "cold", "--seconds", "1", "--tools", tool,
                                          identifiers=["broken.jpg", "wide.jpg", "none.jpg"])
    failed = sum(bool(re.search(r'" 5\d\d ', line)) for line in lines)
    assert status == 1 and 0 < result["errors"] <= failed and result["errors"] < result["requests"]
    assert result["images"] == 2


def test_no_image_at_all(stack, tmp_path):
    done = subprocess.run([REPO / "scripts/loadtest", "--base", stack.url], input="none.jpg\n", capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "info.json" in done.stderr


def test_many_play_sessions(loadtest):
    status, [result], lines, said = loadtest("--replay", "--seconds", "6", "--clients", "12")
    asked = [line for line in lines if "/info.json" not in line]
    assert status == 0 and result["errors"] == 0 and len(asked) > 50, said
    info = len(lines) - len(asked) - len(SIDES)         # it looks at each image first
    assert result["requests"] == len(asked) + info
    assert result["bytes"] > 10_000 and "sessions to their end" in said


def test_a_whole_session_at_its_own_pace(loadtest, tmp_path):
    (tmp_path / "s").write_text("\n".join(map(json.dumps, [
        {"width": 1500, "height": 700, "tile": 512}, {"delay_ms": 0, "ask": "info.json"}, {"delay_ms": 900, "ask": "full/200,/0/default.jpg"},
        {"delay_ms": 800, "ask": "full/100,/0/default.jpg"}])))
    _, [result], _, said = loadtest("--replay", "--sessions", tmp_path / "s", "--seconds", "3", "--clients", "1", identifiers=["wide.jpg"])
    assert result["sessions"] == 1 and result["errors"] == 0, said
    assert 1.7 <= result["seconds"] and 3 <= result["requests"] <= 5


def test_sessions_are_recorded_of_a_real_viewer(loadtest, stack, tmp_path):
    """(Which holds each against the log of its server.)"""
    picture, recorded = stack.folder.parent / "images/wide.jpg", tmp_path / "recorded"
    done = subprocess.run(["/usr/bin/python3", "-B", REPO / "test/e2e/record_sessions.py", "--each", "1", "--steps", "2", stack.binary,
                           picture], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    recorded.write_text(done.stdout)
    sessions = load.sessions(recorded)
    assert [(seen["width"], seen["height"], seen["screen"]) for seen, _ in sessions] == [(*SIDES["wide.jpg"], [1440, 900]), (*SIDES["wide.jpg"], [412, 800])]
    for seen, asked in sessions:
        assert asked[0] == (0, "info.json") and len(asked) > 3 and re.match(r"OpenSeadragon [\d.]+, Chrome/\d", seen["recorded"])
    # What was asked for is asked for again.
    _, [result], lines, said = loadtest("--replay", "--sessions", recorded, "--seconds", "9", "--clients", "3", identifiers=["wide.jpg"])
    replayed = {re.search(r'"GET /iiif/3/wide.jpg/(\S+) ', line)[1] for line in lines}
    assert result["errors"] == 0 and replayed == {what for _, asked in sessions for _, what in asked}, said


# --- what is asked for ---

def test_the_recorded_sessions_ask_the_same_of_the_same_picture():
    recorded = load.sessions()
    assert len(recorded) >= 8 and sum(len(asked) for _, asked in recorded) > 500
    for seen, asked in recorded:
        assert asked[0][1] == "info.json" and len(asked) > 10 and all(delay >= 0 for delay, _ in asked)
        own = load.Image("/iiif/3/x/", seen["width"], seen["height"], seen["tile"], [1, 2, 4, 8, 16, 32, 64])
        assert [path for _, path in load.played((seen, asked), own)] == ["/iiif/3/x/" + what for _, what in asked]
        assert sum(delay for delay, _ in load.played((seen, asked), own)) == sum(delay for delay, _ in asked)


@pytest.mark.parametrize("sides", [(1500, 700), (90, 40), (30011, 21007), (513, 8000)])
def test_other_pictures_are_asked_for_their_own_tiles(sides):
    width, height = sides
    factors = [2 ** k for k in range(8) if k == 0 or 256 * 2 ** k < 2 * max(sides)]
    image = load.Image("", width, height, 256, factors)
    used = set()
    for seen, asked in load.sessions():
        for _, path in load.played((seen, asked), image):
            if path == "info.json":
                continue
            region, size, *_ = path.split("/")
            x, y, w, h = (0, 0, width, height) if region == "full" else map(int, region.split(","))
            across, down = map(int, size.split(","))
            factor = next(f for f in factors if (-(-w // f), -(-h // f)) == (across, down))
            used.add(factor)
            assert x % (256 * factor) == y % (256 * factor) == 0 and across <= 256 and down <= 256
            assert x + w == width or w == 256 * factor
            assert y + h == height or h == 256 * factor
    # From the whole to single pixels, or nearly.
    assert max(factors) in used and min(used) <= 2
