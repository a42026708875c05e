# SPDX-License-Identifier: BSD-2-Clause
"""scripts/corpus-check: what it finds and what it does not, before real servers and lying ones."""
import csv
import json
import os
import random
import re
import signal
import subprocess
import threading
import time
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from ceph import Ceph
from liar import WRONG, WRONG_INFO, Liar, coded, half_gray, photo
from PIL import Image, ImageCms, ImageEnhance, ImageOps
from stack import REPO, Stack, wait_for

PROGRAM = REPO / "scripts/corpus-check"
# What Pillow cannot open or gets wrong: 16 bits in colour, opacity, palettes, channels out of order, HEIF, numbers; nearly flat; striped.
SAMPLES = ["rgb16.tif", "palette.jp2", "swapped.jp2", "ycc420.j2k", "alpha.psd", "clear.webp", "orientation5.jpg", "orientation8.jpg",
           "G.jpg", "T.jpg", "subs-deflate.tif", "exif6.heic", "clear.heic", "s.avif", "float.tif", "deep.jp2"]


class Ran:
    def __init__(self, status, output, out):
        self.status, self.output, self.out = status, output, out

    @property
    def report(self):
        return (self.out / "report.html").read_text()

    @property
    def rows(self):
        with open(self.out / "results.csv", newline="") as file:
            return list(csv.DictReader(file))

    def reasons(self, identifier, field="reason"):
        """By kind."""
        return {r["kind"]: r[field] for r in self.rows if r["identifier"] == identifier and r[field]}


def words_of(out, *words):
    return [PROGRAM, "--out", out, "--parallel", "4", *map(str, words)]


def check(out, *words, given=b"", env=None):
    done = subprocess.run(words_of(out, *words), input=given, capture_output=True, timeout=120, env={**os.environ, **(env or {})})
    return Ran(done.returncode, (done.stdout + done.stderr).decode(errors="replace"), out)


def listed(folder, names):
    path = folder / "list"
    path.write_text("\n".join(names) + "\n")
    return path


def coded_avif(image, folder):
    image.save(folder / "a.png")
    subprocess.run(["heif-enc", "-A", "-q", "90", "-o", folder / "a.avif", folder / "a.png"], check=True, capture_output=True)
    return (folder / "a.avif").read_bytes()


@pytest.fixture(scope="module")
def corpus(scratch, images):
    """served: what the server has; originals: what it should have. Differences are damage."""
    served, originals = scratch / "corpus-served", scratch / "corpus-originals"
    for folder in (served, originals):
        folder.mkdir()
        folder.chmod(0o755)
    picture = photo((900, 700))

    def put(name, data, wrong=None):
        (originals / name).write_bytes(data)
        (served / name).write_bytes(data if wrong is None else wrong)

    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(originals / "turned.jpg", exif=exif, quality=90)
    put("turned.jpg", (originals / "turned.jpg").read_bytes())
    picture.save(originals / "turned.tif", tiffinfo={274: 6})
    put("turned.tif", (originals / "turned.tif").read_bytes())
    put("good.jpg", coded(picture))
    for name, made in (("deep.png", Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)),
                       ("cmyk.jpg", picture.convert("CMYK")), ("palette.png", picture.quantize(64)),
                       ("clear.png", Image.merge("RGBA", [*picture.split(), picture.getchannel("R")]))):
        made.save(originals / name)
        put(name, (originals / name).read_bytes())
    picture.save(originals / "profile.jpg", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    put("profile.jpg", (originals / "profile.jpg").read_bytes())
    for name in SAMPLES:
        put(name, (images / name).read_bytes())
    gray = np.asarray(picture.convert("L")).astype(np.float32)
    numbers = gray * 3 - 100
    numbers[100:300, 200:500] = -9999
    Image.fromarray(numbers).save(originals / "numbers.tif", tiffinfo={42113: "-9999", 274: 6})
    put("numbers.tif", (originals / "numbers.tif").read_bytes())
    for name, made in (("long.tif", (gray * 70000 - 9e6).astype(np.int32)), ("white16.tif", (gray * 257).astype(np.uint16))):
        Image.fromarray(made).save(originals / name)
        if name == "white16.tif":
            subprocess.run(["tiffset", "-s", "262", "0", originals / name], check=True)
        put(name, (originals / name).read_bytes())
    # Of Display P3, which libheif's tool does not turn into sRGB.
    coloured = re.sub(rb"colrnclx....", b"colrnclx\0\x0c\0\x0d", coded_avif(picture, scratch), flags=re.DOTALL)
    put("p3.avif", coloured)
    subprocess.run(["cjxl", scratch / "a.png", originals / "a.jxl"], check=True, capture_output=True)
    put("a.jxl", (originals / "a.jxl").read_bytes())
    Image.fromarray(gray).save(originals / "inverted.tif")
    put("inverted.tif", (originals / "inverted.tif").read_bytes(), b"")
    Image.fromarray(255 - gray).save(served / "inverted.tif")
    pale = ImageEnhance.Contrast(picture).enhance(.25)
    put("pale.jpg", coded(pale))
    put("half-gray.jpg", coded(picture), coded(half_gray(picture)))
    put("half-gray-pale.jpg", coded(pale), coded(half_gray(pale)))
    put("blue-for-red.jpg", coded(picture), coded(Image.merge("RGB", picture.split()[::-1])))
    spotted = picture.copy()
    spotted.paste((70, 70, 70), (450, 350, 563, 438))
    put("spotted.jpg", coded(picture), coded(spotted))
    put("inverted.jpg", coded(picture), coded(ImageOps.invert(picture)))
    put("inverted-cmyk.jpg", (originals / "cmyk.jpg").read_bytes(), coded(ImageOps.invert(picture)))
    put("other-size.jpg", coded(picture), coded(picture.resize((899, 700))))
    put("damaged.jpg", coded(picture)[:9000])
    picture.save(originals / "deep.tif")
    (served / "deep.tif").write_bytes((originals / "deep.tif").read_bytes()[:5000])
    (served / "deep.jpg").write_bytes(coded(picture))
    return served, originals


GOOD = {*SAMPLES, "p3.avif", "numbers.tif", "long.tif", "white16.tif", "a.jxl", "pale.jpg", "turned.jpg", "turned.tif",
        "good.jpg", "deep.png", "cmyk.jpg", "palette.png", "clear.png", "profile.jpg", "deep.tif", "deep.jpg"}
BAD = {"inverted.tif", "spotted.jpg", "blue-for-red.jpg", "half-gray.jpg", "half-gray-pale.jpg", "inverted.jpg",
       "inverted-cmyk.jpg", "other-size.jpg", "damaged.jpg"}


@pytest.fixture(scope="module")
def server(scratch, binary, corpus):
    config = scratch / "corpus.conf"
    config.write_text('server: { prefixes_2 = ["/iiif/2"]; };\n'
                      f'rules = ( {{ prefix = "c/"; type = "file"; root = "{corpus[0]}"; fallback = [".tif -> .jpg"]; }} );\n')
    with Stack(scratch / "corpus-server", binary, config, workers=2) as stack:
        yield stack


def test_a_corpus_beside_its_originals(folder, server, corpus):
    ran = check(folder / "out", f"{server.url}/iiif/3", "--prefix", "c/", "--identifiers", corpus[0], "--originals", corpus[1])
    failed = {r["identifier"] for r in ran.rows if r["verdict"] == "failed"}
    assert ran.status == 1 and failed == BAD, ran.output + str([r for r in ran.rows if r["verdict"] == "failed"])
    assert {r["identifier"] for r in ran.rows} == GOOD | BAD
    kinds = {r["kind"]: r for r in ran.rows if r["identifier"] == "good.jpg"}
    assert list(kinds) == ["info", "full", "sample", "tile", "coarse tile", "webp"]
    assert all(float(kinds[k]["psnr"]) > 28 for k in list(kinds)[1:])
    assert (kinds["full"]["width"], kinds["full"]["height"]) == ("900", "700")
    assert (kinds["sample"]["width"], kinds["sample"]["height"]) == ("400", "311")
    assert "PSNR" in ran.reasons("half-gray.jpg")["full"] and "PSNR" in ran.reasons("inverted.jpg")["webp"]
    assert "a guess" in ran.reasons("inverted-cmyk.jpg")["sample"]
    assert ran.reasons("other-size.jpg") == {"info": "info.json: 899 x 700, but the original is 900 x 700"}
    assert any(reason.startswith("500 ") for reason in ran.reasons("damaged.jpg").values())
    # The one whose TIFF is cut off; its original is whole, and the JPEG in its place looks like it.
    assert set(ran.reasons("deep.tif", "fallback").values()) == {"1"}
    assert "From a fallback: 1 images" in ran.report and ran.report.index("half-gray") < ran.report.index("From a fallback")
    assert ran.report.count('src="data:image/jpeg;base64,') > 8
    assert ran.reasons("deep.jpg") == {"original": "there is no such original"} and " 1 not compared" in ran.output, ran.output


def test_by_version_2(folder, server, corpus):
    names = ["good.jpg", "turned.jpg", "half-gray.jpg"]
    ran = check(folder / "out", f"{server.url}/iiif/2", "--api", "2", "--prefix", "c/", "--identifiers", listed(folder, names),
                "--originals", corpus[1])
    assert {r["identifier"] for r in ran.rows if r["verdict"] != "good"} == {"half-gray.jpg"} and ran.status == 1
    assert "/full/full/0/" in [r["url"] for r in ran.rows if r["kind"] == "full"][0]


def test_an_original_runs_no_program(folder):
    """PostScript by another name, which Pillow would hand to Ghostscript."""
    (folder / "a.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 600 400\nshowpage\n")
    with Liar() as liar:
        ran = check(folder / "out", liar.base, "--identifiers", folder, "--originals", folder, env={"PATH": str(folder)})
    assert ran.status == 1 and "Pillow cannot open the original" in ran.report


def test_what_is_not_compared_is_said_and_counted(folder, images):
    """Without a decoder; exit status 0 only where that is tolerated."""
    for name in ("exif6.heic", "float.tif"):
        (folder / name).write_bytes((images / name).read_bytes())
    (folder / "good.jpg").write_bytes(coded(photo()))
    with Liar() as liar:
        words = (liar.base, "--identifiers", folder, "--originals", folder)
        ran, tolerant = (check(folder / "out", *words, *more, env={"PATH": str(folder)}) for more in ((), ("--uncompared", "67%")))
    assert (ran.status, tolerant.status) == (1, 0) and "2 not compared" in ran.output and "more than --uncompared 0\n" in ran.output
    rows = {r["identifier"]: r for r in ran.rows if r["verdict"] == "not compared"}
    assert "heif-convert or heif-dec is not installed" in rows["exif6.heic"]["reason"]
    assert "tiffcp is not installed" in rows["float.tif"]["reason"] and len(rows) == 2
    assert "Not compared with an original: 2 images" in ran.report and "<h3>float.tif</h3>" in ran.report


def test_originals_stay_below_their_folder(folder):
    (folder / "below").mkdir()
    (folder / "x.jpg").write_bytes(coded(photo()))
    (folder / "below/x.jpg").write_bytes(coded(photo()))
    with Liar() as liar:
        words = (liar.base, "--identifiers", "-", "--originals", folder / "below")
        ran = check(folder / "out", *words, given=b"../x.jpg\nx.jpg\n")
    assert "1 not compared" in ran.output and "there is no such original" in ran.report


def test_a_server_that_scales_by_light(folder, scratch, binary):
    """Half white is a gray of 188, not of 128."""
    marks = np.random.default_rng(3).integers(0, 2, (1000, 1500), np.uint8) * np.linspace(0, 255, 1500).astype(np.uint8)
    original = Image.fromarray(marks).resize((3000, 2000), Image.Resampling.NEAREST)
    original.save(folder / "print.png")
    config = scratch / "light.conf"
    config.write_text("images: { linear_light = true; };\n"
                      f'rules = ( {{ prefix = ""; type = "file"; root = "{folder}"; }} );\n')
    with Stack(scratch / "light", binary, config, workers=1) as server:
        ran = check(folder / "out", f"{server.url}/iiif/3", "--identifiers", listed(folder, ["print.png"]), "--originals", folder)
    assert ran.status == 0 and all(float(r["psnr"]) > 28 for r in ran.rows if r["psnr"]), ran.rows


def test_a_tolerated_ratio(folder, server, corpus):
    words = (f"{server.url}/iiif/3", "--prefix", "c/", "--identifiers", listed(folder, ["good.jpg", "none.jpg"]))
    assert [check(folder / "out", *words, "--tolerate", t).status for t in ("49%", "0.5")] == [1, 0]


def test_each_lie_is_that_images_failure(folder):
    names = sorted({*WRONG, *WRONG_INFO}) + ["html", "deep", "huge", "missing", "good", "good too"]
    random.Random(1).shuffle(names)
    with Liar() as liar:
        begun = time.monotonic()
        ran = check(folder / "out", liar.base, "--identifiers", listed(folder, names), "--timeout", ".7", "--max-bytes", "2000000",
                    "--parallel", "8")
        assert time.monotonic() - begun < 60 and ran.status == 1
        assert all(h["X-Lorikeet-No-Cache"] == "1" for h in liar.headers)
    failed = {r["identifier"] for r in ran.rows if r["verdict"] == "failed"}
    assert set(names) - failed == {"good", "good too", "busy-once"}, ran.output
    wanted = {
        "endless": "beyond 2000000 bytes", "announces": "1000000000000 bytes are announced", "drips": "longer than 0.7 s",
        "drips-body": "longer than 0.7 s", "closes": "RemoteDisconnected", "short": "IncompleteRead", "long": "cannot be decoded",
        "redirects": "302 to https://example.org/", "fails": "500 <script>", "text": "'text/plain', not image/jpeg",
        "no-jpeg": "cannot be decoded", "bomb": "3600000000 pixels", "vast": "3600000000 pixels",
        "inverted": "does not look like", "half-gray": "does not look like", "half-gray-full": "does not look like",
        "turned": "does not look like", "narrow": "is 255 x 256, not 256 x 256", "html": "no JSON", "deep": "no JSON",
        "missing": "404", "huge": "5242882 bytes are announced, more than 4194304",
        "other-id": "id is 'https://example.org/x', not", "no-width": "'600'", "bad-tiles": "tiles has {'width': 256}",
        "huge-tile": "beyond its limits", "sizes": "300 x 300, which is no size of 600 x 400"}
    assert set(wanted) == failed
    for name, words in wanted.items():
        assert any(words in reason for reason in ran.reasons(name).values()), f"{name}: {ran.reasons(name)}"
    assert set(ran.reasons("busy-once", "retried").values()) == {"503"}
    assert [r["verdict"] for r in ran.rows if r["identifier"] == "vast" and r["kind"] == "full"] == ["skipped"]
    # What is left behind an answer does not spoil the next one of that connection.
    assert list(ran.reasons("long")) == ["full"]
    assert "Traceback" not in ran.output and "\x1b" not in ran.output


class Page(HTMLParser):
    TAGS = set("html head meta title style body h1 h2 h3 p b small ul li table tr th td article figure img figcaption".split())

    def handle_starttag(self, tag, attributes):
        assert tag in self.TAGS, tag
        for name, value in attributes:
            assert name in ("lang", "charset", "http-equiv", "content", "name", "alt", "src"), name
            assert name != "src" or re.fullmatch(r"data:image/jpeg;base64,[A-Za-z0-9+/=]+", value)


def test_hostile_names_and_texts(folder):
    names = [b'"><script>alert(1)</script>', b"=cmd|' /C calc'!A0", b"\xff\xfe no UTF-8", b"a\x1b[2Jb\xe2\x80\xaec", b"</title><img src=x onerror=y>",
             b"%2e%2e/", b"../../etc/passwd", b"fails", b"#?&;\\"]
    with Liar() as liar:
        ran = check(folder / "out", liar.base, "--identifiers", "-", given=b"\n".join(names))
        assert len([n for n in liar.asked if n in {os.fsdecode(n) for n in names}]) >= 7
    page = Page()
    page.feed(ran.report)
    assert "default-src 'none'; img-src data:" in ran.report and "<script" not in ran.report and "\x1b" not in ran.report
    assert "&lt;script&gt;alert(&quot;text&quot;)" in ran.report and "\u202e" not in ran.report
    cells = [cell for row in ran.rows for cell in row.values()]
    assert "'=cmd|' /C calc'!A0" in cells and not [c for c in cells if c[:1] in ("=", "@")]
    assert len({r["identifier"] for r in ran.rows}) == len(names)


def is_checker(pid):
    try:
        return b"corpus-check" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def test_it_goes_on_after_a_kill(folder):
    names, out = [f"i{n}" for n in range(30)], folder / "out"
    with Liar(delay=.02) as liar:
        words = (liar.base, "--identifiers", listed(folder, names))
        running = subprocess.Popen(words_of(out, *words), stdout=subprocess.DEVNULL)
        wait_for("some images", 20, lambda: sum(liar.asked.values()) > 10)
        running.send_signal(signal.SIGSTOP)
        other = check(out, *words)
        assert other.status == 2 and "another run is at work" in other.output
        processes = subprocess.run(["pgrep", "-P", str(running.pid)], capture_output=True, text=True).stdout.split()
        liar.delay = 60
        running.send_signal(signal.SIGCONT)
        wait_for("all to wait for an answer", 20, lambda: sum(liar.turns.values()) == (time.sleep(.2) or sum(liar.turns.values())))
        running.kill()
        running.wait()
        before = dict(liar.asked)
        held = (out / "journal.jsonl").read_bytes()
        assert held.count(b"\n") > 5 and len(before) < 30
        # The kill may come in the middle of a line.
        (out / "journal.jsonl").write_bytes(held + held.splitlines()[-1][:40])
        changed = check(out, *words, "--timeout", "9")
        assert changed.status == 2 and "another --timeout" in changed.output
        wait_for("its processes' end", 20, lambda: len(processes) == 4 and not any(map(is_checker, processes)))
        liar.delay = 0
        ran = check(out, *words)
        assert ran.status == 0 and "going on" in ran.output, ran.output
        assert set(liar.asked) == set(names) and max(liar.asked.values()) <= 2
        assert sum(liar.asked.values()) <= 30 + 4
        assert sorted({r["identifier"] for r in ran.rows}) == sorted(names) and len(ran.rows) == 30 * 6
        # What is finished begins anew.
        assert check(out, *words).status == 0 and min(liar.asked.values()) >= 2


def test_only_what_was_not_good_is_asked_again(folder):
    """Nor not compared; also when that run is killed, and again after it."""
    (folder / "originals").mkdir()
    names = [f"i{n}.jpg" for n in range(6)] + ["no-jpeg", "inverted"]
    for name in names[1:]:
        (folder / "originals" / name).write_bytes(coded(photo()))
    with Liar() as liar:
        words = (liar.base, "--identifiers", "-", "--originals", folder / "originals")
        nothing = check(folder / "out", *words, "--again")
        assert nothing.status == 2 and "no run of which to ask anything again" in nothing.output
        ran = check(folder / "out", *words, given="\n".join(names).encode())
        assert ran.status == 1 and "8 images, 2 failed" in ran.output and " 1 not compared" in ran.output
        other = check(folder / "out", *words, "--again", "--psnr", "20")
        assert other.status == 2 and "another --psnr: 24" in other.output
        (folder / "originals/i0.jpg").write_bytes(coded(photo()))
        liar.delay, before = .2, liar.asked.copy()
        running = subprocess.Popen(words_of(folder / "out", *words, "--again"), stdout=subprocess.DEVNULL)
        wait_for("the first of them", 20, lambda: liar.asked != before)
        running.kill()
        running.wait()
        liar.delay, good = 0, WRONG.pop("inverted")
        try:
            ran = check(folder / "out", *words, "--again")
        finally:
            WRONG["inverted"] = good
        assert ran.status == 1 and "going on: 5 of 8" in ran.output and "8 images, 1 failed" in ran.output, ran.output
        assert " 0 not compared" in ran.output and {r["identifier"] for r in ran.rows if r["verdict"] == "failed"} == {"no-jpeg"}
        assert {name for name in names if liar.asked[name] > 1} == {"i0.jpg", "no-jpeg", "inverted"}
        assert len({(r["identifier"], r["kind"]) for r in ran.rows}) == len(ran.rows)
        before = liar.asked.copy()
        assert "going on: 7 of 8" in check(folder / "out", *words, "--again").output
        assert liar.asked - before == {"no-jpeg": 1}


def test_an_interrupt_leaves_a_report(folder):
    with Liar(delay=.05) as liar:
        running = subprocess.Popen(words_of(folder / "out", liar.base, "--identifiers", listed(folder, [f"i{n}" for n in range(500)])),
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        wait_for("some images", 20, lambda: sum(liar.asked.values()) > 12)
        running.send_signal(signal.SIGINT)
        output = running.communicate(timeout=20)[0].decode()
    assert running.returncode == 130 and "interrupted" in output and "Traceback" not in output
    assert "The run is not finished" in (folder / "out/report.html").read_text()


def test_several_servers_share_the_images(folder):
    with Liar() as one, Liar() as other:
        ran = check(folder / "out", one.base, other.base, "--identifiers", listed(folder, [f"i{n}" for n in range(10)]))
        assert ran.status == 0 and len(one.asked) == len(other.asked) == 5


def test_ids_of_a_public_address(folder):
    """Both versions behind balancers, each with its own."""
    now, before = "https://images.example.org/iiif/3", "https://old.example.org/x"
    with Liar(public=now) as liar, Liar(public=before) as other:
        words = (liar.base, "--against", other.base, "--identifiers", listed(folder, ["a b"]), "--against-public-url", before)
        assert check(folder / "out", *words, "--public-url", now).rows[0]["verdict"] == "good"
        assert f"id is '{now}/a%20b', not" in check(folder / "out", *words).reasons("a b")["info"]


def test_two_versions(folder, scratch, binary, server, corpus):
    """The same twice: no difference. Another quality, and a limit: in the report, before beside now."""
    base = (f"{server.url}/iiif/3", "--prefix", "c/", "--identifiers",
            listed(folder, ["good.jpg", "palette.png", "damaged.jpg", "turned.jpg"]))
    same = check(folder / "same", *base, "--against", f"{server.url}/iiif/3")
    assert not [r for r in same.rows if r["changed"] or r["other_psnr"]]
    assert "the other version fails too" in "".join(same.reasons("damaged.jpg").values())
    config = scratch / "other.conf"
    config.write_text("images: { jpeg_quality = 15; };\n"
                      f'rules = ( {{ prefix = "c/good"; type = "file"; root = "{corpus[0]}"; path = "good{{id}}"; max_width = 500; }},\n'
                      f'          {{ prefix = "c/"; type = "file"; root = "{corpus[0]}"; }} );\n')
    with Stack(scratch / "other-server", binary, config, workers=1) as other:
        ran = check(folder / "other", *base, "--against", f"{other.url}/iiif/3")
        assert ran.status == 1 and "4 images, 1 failed, 4 changed" in ran.output, ran.output
        changed = ran.reasons("good.jpg", "changed")
        assert "maxWidth: 500 before, None now" in changed["info"]
        assert "before: is 500 x 389, not 900 x 700" in changed["full"]
        assert set(ran.reasons("palette.png", "changed")) == {"full", "sample", "tile", "coarse tile"}
        assert all(re.fullmatch(r"PSNR 3\d\.\d dB|PSNR 2\d\.\d dB", words) for words in ran.reasons("palette.png", "changed").values())
        for caption in ("sample before", "sample now", "sample, difference x 8"):
            assert f"<figcaption>{caption}</figcaption>" in ran.report
        assert check(folder / "near", *base, "--against", f"{other.url}/iiif/3", "--against-psnr", "15").rows != ran.rows


def outcome(n):
    bad = n % 3 == 0
    reason = ',"reason":"500 The image is damaged."' if bad else ""
    return (f'{{"n":{n},"id":"i{n}","faults":{int(bad)},"changes":0,"asked":[{{"kind":"info","url":"http://h/i{n}","status":200,'
            f'"ms":{5 + n % 50},"bytes":900{reason}}}]}}\n')


def peak_kb(folder, n):
    """Of a run of n images, of which all but ten are done already: what it takes to list them, read the journal, go on, and report."""
    folder.mkdir()
    (folder / "list").write_text("".join(f"i{i}\n" for i in range(n)))
    with Liar() as liar:
        words = words_of(folder / "out", liar.base, "--identifiers", folder / "list", "--tolerate", "1")
        running = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        wait_for("an image", 20, lambda: sum(liar.asked.values()) > 8)
        running.kill()
        running.wait()
        with open(folder / "out/journal.jsonl", "r+") as file:
            file.readline()
            file.seek(file.tell())
            file.truncate()
            file.writelines(map(outcome, range(n - 10)))
        running, peak = subprocess.Popen(words, stdout=subprocess.DEVNULL), 0
        # What wait4() tells is at least what the parent had.
        while running.poll() is None:
            held = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{running.pid}/status").read_text())
            peak = max(peak, int(held[1]) if held and b"corpus-check" in Path(f"/proc/{running.pid}/cmdline").read_bytes() else 0)
            time.sleep(.01)
    assert running.returncode == 0
    with open(folder / "out/results.csv") as rows:
        assert sum(1 for _ in rows) == 1 + n - 10 + 6 * 10
    assert (folder / "out/report.html").stat().st_size < 2_000_000
    return peak


def test_memory_does_not_grow_with_the_corpus(folder):
    few, many = peak_kb(folder / "few", 2000), peak_kb(folder / "many", 60_000)
    assert few > 20_000 and many < few + 4000, f"{few} kB, {many} kB"


def test_s3(folder, scratch):
    """A listing of more than a page, and originals, both signed."""
    keys = [f"pre/{n:04}.jpg" for n in range(1001)] + ["pre/a b+ü/%41.jpg", "pre/notes.txt", "other.jpg"]
    with Ceph(scratch / "corpus-ceph") as ceph, Liar() as liar:
        ceph.make_bucket("pics")
        data = coded(liar.picture)
        for key in keys:
            ceph.put("pics", key, data if "ü" in key else b"")
        env = {"AWS_ENDPOINT_URL": ceph.url, "AWS_ACCESS_KEY_ID": ceph.access_key, "AWS_SECRET_ACCESS_KEY": ceph.secret_key}
        with subprocess.Popen(words_of(folder / "out", liar.base, "--identifiers", "s3://pics/pre/"), env={**os.environ, **env},
                              stdout=subprocess.PIPE) as running:
            wait_for("the listing", 20, (folder / "out/identifiers.jsonl").exists)
            running.kill()
        found = [json.loads(line) for line in (folder / "out/identifiers.jsonl").read_text().splitlines()]
        assert found == sorted(k.removeprefix("pre/") for k in keys if k.startswith("pre/") and k.endswith("jpg"))
        words = (liar.base, "--identifiers", "-", "--originals", "s3://pics/pre/")
        ran = check(folder / "compared", *words, given="a b+ü/%41.jpg\n".encode(), env=env)
        assert ran.status == 0 and ", 0 not compared" in ran.output, ran.output
        refused = check(folder / "refused", liar.base, "--identifiers", "s3://pics/pre/", env={**env, "AWS_SECRET_ACCESS_KEY": "wrong"})
        assert refused.status == 2 and "cannot be listed: 403" in refused.output


class Renewing(BaseHTTPRequestHandler):
    """An S3 server whose only token changes after three objects, and the machine's role that has it."""

    def log_message(self, *args):
        pass

    def answer(self, body, status=200):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self):
        self.answer(b"session")

    def do_GET(self):
        shared = self.server
        if self.path.startswith("/latest"):
            assert self.headers["X-aws-ec2-metadata-token"] == "session"
            keys = {"AccessKeyId": "a", "SecretAccessKey": "s", "Token": shared.token}
            return self.answer(b"role" if self.path.endswith("/") else json.dumps(keys).encode())
        if self.headers["x-amz-security-token"] != shared.token:
            return self.answer(b"<Error><Code>ExpiredToken</Code></Error>", 403)
        shared.given += 1
        if shared.given == 3:
            shared.token = "new"
            shared.file.write_text(KEYS.format(shared.token))
        return self.answer(coded(photo()))


KEYS = "[default]\naws_access_key_id = a\naws_secret_access_key = s\naws_session_token = {}\n"


@pytest.mark.parametrize("place", ["file", "machine", "environment"])
def test_keys_that_expire(folder, place):
    s3 = ThreadingHTTPServer(("127.0.0.1", 0), Renewing)
    s3.token, s3.given, s3.file = "old", 0, folder / "credentials"
    url = f"http://127.0.0.1:{s3.server_port}"
    env = {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "", "AWS_EC2_METADATA_SERVICE_ENDPOINT": url,
           "AWS_SHARED_CREDENTIALS_FILE": str(folder / ("credentials" if place == "file" else "none"))}
    s3.file.write_text(KEYS.format("old"))
    if place == "environment":
        env.update({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "old"})
    threading.Thread(target=s3.serve_forever, args=(.05,), daemon=True).start()
    try:
        with Liar() as liar:
            words = (liar.base, "--originals", "s3://pics/", "--identifiers", listed(folder, [f"i{n}.jpg" for n in range(9)]))
            ran = check(folder / "out", *words, env=env)
            if place == "environment":
                assert ran.status == 2 and "keys for s3://pics have expired" in ran.output
                ran = check(folder / "out", *words, env={**env, "AWS_SESSION_TOKEN": "new"})
                assert re.search("going on: [0-3] of 9 images are done", ran.output)
    finally:
        s3.shutdown()
        s3.server_close()
    assert ran.status == 0 and "9 images, 0 failed" in ran.output and " 0 not compared" in ran.output and 9 <= s3.given <= 12


def test_there_is_something_to_check(folder):
    with Liar() as liar:
        for words in ((liar.base, "--identifiers", "/nonexistent"), (liar.base, "--identifiers", "/dev/null"),
                      ("ftp://x/", "--identifiers", "-"), (liar.base, "--identifiers", "-", "--timeout", "0"),
                      (liar.base, "--identifiers", "-", "--tolerate", "2")):
            ran = check(folder / "out", *words)
            assert ran.status == 2 and "Traceback" not in ran.output
