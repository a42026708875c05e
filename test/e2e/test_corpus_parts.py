# SPDX-License-Identifier: BSD-2-Clause
"""The parts of scripts/corpus-check that need no server: what is compared and how, what an info.json must be, who does the work."""
import io
import re
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from liar import half_gray, photo
from PIL import Image, ImageOps
from stack import REPO

from corpus import info, picture
from corpus.identifiers import from_lines

LIMITS = SimpleNamespace(psnr=24, cell=40, unlike=.05)


def test_fine_print_of_a_large_original():
    """Black and white of eight pixels, far finer than what it is compared at. What differs is found all the same."""
    marks = np.random.default_rng(7).integers(0, 2, (600, 900), np.uint8) * 255
    original = Image.fromarray(marks).resize((7200, 4800), Image.Resampling.NEAREST)
    about = info3(width=7200, height=4800, tiles=[{"width": 512, "scaleFactors": [1, 2, 4, 8, 16]}])
    for reference in (original, original.resize((7000, 4667), Image.Resampling.LANCZOS)):
        reference = picture.Reference(reference, 7200, 4800, [255] * 3)
        for ask in [a for a in info.asks(about, 3) if a.kind != "full"]:
            x, y, w, h = ask.region
            answer = original.resize(ask.low, Image.Resampling.LANCZOS, box=(x, y, x + w, y + h)).convert("RGB")
            decibels, words = picture.compare(answer, ask, reference, LIMITS)
            assert decibels > 30 and words == "", ask
            for wrong in (ImageOps.invert(answer), half_gray(answer), answer.transpose(Image.Transpose.ROTATE_180)) if ask.factor else ():
                assert picture.compare(wrong, ask, reference, LIMITS)[1], ask


def test_what_is_scaled_by_light():
    """Is right, but neither inverted nor half gray."""
    marks = np.random.default_rng(3).integers(0, 2, (1000, 1500), np.uint8) * np.linspace(0, 255, 1500).astype(np.uint8)
    original = Image.fromarray(marks).resize((3000, 2000), Image.Resampling.NEAREST)
    ask = next(ask for ask in info.asks(info3(width=3000, height=2000), 3) if ask.kind == "sample")
    light = [Image.fromarray(s.round().astype(np.uint8)) for s in picture.smooth_light(original, ask.low)] * 3
    answer, reference = Image.merge("RGB", light), picture.Reference(original, 3000, 2000, [255] * 3)
    assert not picture.compare(answer, ask, reference, LIMITS)[1]
    for wrong in (ImageOps.invert(answer), half_gray(answer)):
        assert picture.compare(wrong, ask, reference, LIMITS)[1]


def test_parts_of_turned_originals():
    upright = photo((300, 200))
    for turned in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = turned
        stored = next(s for s in (upright, *map(upright.transpose, Image.Transpose)) if is_upright(s, exif, upright))
        reference = picture.Reference(stored, 300, 200, [0] * 3, turned)
        assert reference.part((40, 30, 100, 50)) == upright.crop((40, 30, 140, 80))


def is_upright(stored, exif, upright):
    file = io.BytesIO()
    stored.save(file, "PNG", exif=exif)
    return ImageOps.exif_transpose(Image.open(file)).tobytes() == upright.tobytes()


CRASHES = """
import os, signal, sys, tempfile, time
from pathlib import Path
from types import SimpleNamespace
sys.path.insert(0, sys.argv[1])
from corpus import workers
class Checker:
    def __init__(self, settings): pass
    def check(self, number, identifier):
        if identifier == "crash": os.kill(os.getpid(), signal.SIGSEGV)
        if identifier == "hang": tempfile.mkdtemp(); time.sleep(100)
        if identifier == "memory": bytearray(4 << 30)
        return {"id": identifier, "faults": 0, "changes": 0, "asked": []}
workers.Checker = Checker
settings = SimpleNamespace(out=Path(sys.argv[2]), parallel=2, image_timeout=1, timeout=1, max_pixels=1000, max_bytes=1000)
with workers.Workers(settings) as w:
    for result in w.results(enumerate(["crash", "hang", "memory", "a", "b", "crash"])):
        if result: print(result[1]["id"], result[1]["faults"], *(e["reason"] for e in result[1]["asked"]))
    assert len(os.listdir(settings.out / "temporary")) == 2
"""


def test_what_breaks_its_process_is_one_images_failure(folder):
    """And leaves no files."""
    done = subprocess.run([sys.executable, "-B", "-c", CRASHES, REPO / "scripts", folder], capture_output=True, text=True, timeout=60)
    assert not [*folder.iterdir()]
    lines = sorted(done.stdout.splitlines())
    assert done.stderr == "" and len(lines) == 6
    assert lines[:2] == ["a 0", "b 0"] and lines[2] == lines[3] == "crash 1 the process that checked it ended: SIGSEGV"
    assert lines[4].startswith("hang 1 the whole image took longer") and lines[5].startswith("memory 1 MemoryError")


def test_lists_of_identifiers():
    lines = [b"2019-04-02 11:31:52     123456 lax/a b.tif\n", b"                           PRE lax/\n", b"2019-04-02 11:31:52 0 lax/\n",
             b"plain/x.jpg\r\n", b"\n", b"\xff.jpg"]
    assert list(from_lines(lines)) == ["lax/a b.tif", "plain/x.jpg", "\udcff.jpg"]


def info3(**changes):
    made = {"@context": "http://iiif.io/api/image/3/context.json", "id": "http://h/iiif/3/a", "type": "ImageService3",
            "protocol": "http://iiif.io/api/image", "profile": "level2", "width": 6000, "height": 4000,
            "sizes": [{"width": 1500, "height": 1000}], "tiles": [{"width": 512, "scaleFactors": [1, 2, 4]}], **changes}
    return {k: v for k, v in made.items() if v is not None}


def info2(**changes):
    made = info3(id=None, type=None)
    return {**made, "@context": "http://iiif.io/api/image/2/context.json", "@id": "http://h/iiif/3/a",
            "profile": ["http://iiif.io/api/image/2/level2.json", {"formats": ["webp"], "maxWidth": 3000}],
            "sizes": [{"width": 1500, "height": 1000}], **changes}


def test_right_informations():
    for api, made in ((3, info3()), (3, info3(**{"@context": ["http://example.org/x", info3()["@context"]]})), (2, info2()),
                      (3, info3(maxWidth=2000, maxHeight=1600, maxArea=2_500_000))):
        info.check_info(made, api, "http://h/iiif/3/a")
    paths = [a.path for a in info.asks(info2(), 2)]
    assert paths == ["full/max/0/default.jpg", "full/400,267/0/default.jpg", "2560,1536,512,512/512,512/0/default.jpg",
                     "2048,1024,1024,1024/512,512/0/default.jpg", "full/400,267/0/default.webp"]
    full = next(info.asks(info3(maxArea=1_000_000), 3))
    assert full.low == (1223, 815) and full.high == (1226, 818)
    assert next(info.asks(info2(profile=info2()["profile"][:1]), 2)).path == "full/full/0/default.jpg"


@pytest.mark.parametrize("api, wrong", [
    (3, info3(**{"@context": "http://iiif.io/api/image/2/context.json"})), (3, info3(id="http://h/iiif/3/b")), (3, info3(id=None)),
    (3, info3(type=None)), (3, info3(protocol="x")), (3, info3(profile="level3")), (3, info3(profile=["level2"])), (3, info3(width=0)),
    (3, info3(width=True)), (3, info3(height="4000")), (3, info3(height=None)), (3, info3(sizes={})), (3, info3(sizes=[{"width": 9}])),
    (3, info3(sizes=[{"width": 12000, "height": 8000}])), (3, info3(maxWidth=1000)), (3, info3(maxHeight=1000)),
    (3, info3(maxArea="many")), (3, info3(tiles="all")), (3, info3(tiles=[{"width": 512, "scaleFactors": []}])),
    (3, info3(tiles=[{"width": 512, "scaleFactors": [1, 1]}])), (3, info3(tiles=[{"width": 512, "scaleFactors": [0]}])),
    (3, info3(extraFormats="webp")), (3, []), (3, None), (2, info3()), (2, info2(profile="http://iiif.io/api/image/2/level2.json")),
    (2, info2(profile=["http://iiif.io/api/image/2/level2.json", {"maxWidth": 1000}])), (2, info2(profile=None)), (3, info2())])
def test_wrong_informations(api, wrong):
    with pytest.raises(info.Wrong):
        info.check_info(wrong, api, "http://h/iiif/3/a")


def test_informations_of_two_versions():
    one, other = info3(extraFormats=["webp", "tif"]), info3(extraFormats=["tif", "webp"], id="https://old/x/a")
    assert info.normal(one, "http://h/iiif/3") == info.normal(other, "https://old/x")
    assert info.differences(info.normal(info3(width=6001), ""), info.normal(info3(), "")) == "width: 6000 before, 6001 now"


def test_progress():
    """Lines where nobody watches, a bar on a terminal."""
    from corpus.progress import Progress

    class Out:
        def __init__(self, tty):
            self.tty, self.text = tty, ""

        def isatty(self):
            return self.tty

        def write(self, text):
            self.text += text

        def flush(self):
            pass
    for tty in (True, False):
        out = Out(tty)
        progress = Progress(out, 100, 20)
        progress.marks = [(time.monotonic() - 10, 20)]
        for n in range(20):
            progress.add(n == 0)
            progress.show()
        assert out.text == ""
        progress.shown -= 10
        progress.show()
        assert re.search(r"40/100 images, (2\.0|1\.9)/s, 1 not good, 0:00:3\d left", out.text), out.text
        assert ("\r" in out.text) == ("[#########....." in out.text) == tty
