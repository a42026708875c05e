# SPDX-License-Identifier: BSD-2-Clause
"""scripts/run as a person starts it."""
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import npm
import pytest
from PIL import Image
from stack import REPO, alive, children
from web import Client


class Run:
    """A started scripts/run: what it printed, its URL, all its processes."""

    def __init__(self, *words):
        self.process = subprocess.Popen([REPO / "scripts/run", *map(str, words)], stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, cwd="/")
        self.text = ""
        while "logs are in" not in self.text and (line := self.process.stdout.readline()):
            self.text += line
        found = re.search(r"http://127\.0\.0\.1:(\d+)", self.text)
        self.port = int(found[1]) if found else 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.stop(signal.SIGTERM)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def family(self):
        pids, found = [self.process.pid], []
        while pids:
            found += pids
            pids = [child for pid in pids for child in children(pid)]
        return found

    @property
    def folder(self):
        return Path(re.search(r"logs are in (\S+)/stack/log", self.text)[1])

    def stop(self, number):
        """The exit status, and what was printed since."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=30)
        return self.process.returncode, rest


@pytest.fixture(scope="module")
def pictures(scratch):
    folder = scratch / "my pictures, \"100%\""
    (folder / "below").mkdir(parents=True)
    for name in ("a b.jpg", "below/c.jpg"):
        Image.new("RGB", (300, 200), (10, 200, 90)).save(folder / name)
    return folder


def test_without_npm_it_says_so_and_serves(pictures, tmp_path, monkeypatch):
    """An npm that fails as it does offline, and nothing fetched before."""
    (tmp_path / "npm").write_text("#!/bin/sh\necho 'npm ERR! network' >&2\nexit 1\n")
    (tmp_path / "npm").chmod(0o755)
    fetched = npm.folder("openseadragon")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    away = fetched.with_name("away-" + fetched.name)
    fetched.rename(away)
    try:
        with Run("--images", pictures, "--workers", 1) as run:
            assert "npm ERR! network" in run.text
            assert Client(run.port).ask("/").status == 200
            assert Client(run.port).ask("/.viewer/openseadragon/openseadragon.min.js").status == 404
    finally:
        away.rename(fetched)


def refused(*words):
    done = subprocess.run([REPO / "scripts/run", *map(str, words)], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and not done.stdout.count("serves at")
    return done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_a_folder_at_once_until_a_signal(pictures, number):
    started = time.monotonic()
    with Run("--images", pictures, "--workers", 1) as run:
        assert run.port and time.monotonic() - started < 20, run.text
        targets = re.findall(r"http://127\.0\.0\.1:\d+(/iiif/\S+)", run.text)
        assert len(targets) == 4
        for target in targets:
            assert Client(run.port).ask(target).status == 200, target
        assert f"http://127.0.0.1:{run.port}/ " in run.text.replace("\n", " ")
        assert b"#id=below%2Fc.jpg" in Client(run.port).ask("/").body
        assert Client(run.port).ask("/.viewer/openseadragon/openseadragon.min.js").header("Content-Type") == \
            "application/javascript"
        family = run.family()
        workers = [pid for pid in family if Path(f"/proc/{pid}/exe").resolve().name == "lorikeet"]
        assert len(workers) == 2 + 8 + 1, "workers, fetchers and health"
        if os.geteuid() == 0:
            assert all(Path(f"/proc/{pid}").stat().st_uid != 0 for pid in workers)
        status, rest = run.stop(number)
        assert (status, rest) == (0, "")
        assert not [pid for pid in family if alive(pid)] and not run.folder.exists()


def test_names_that_are_no_utf8(pictures, scratch):
    folder = scratch / "latin"
    folder.mkdir()
    shutil.copy(pictures / "a b.jpg", os.fsencode(folder) + b"/lat\xe9.jpg")
    with Run("--images", folder, "--workers", 1) as run:
        assert "/iiif/3/lat%E9.jpg/info.json" in run.text
        assert Client(run.port).ask("/iiif/3/lat%E9.jpg/full/max/0/default.jpg").status == 200


def test_killed_it_leaves_no_process(pictures):
    with Run("--images", pictures, "--workers", 1) as run:
        family, folder = run.family(), run.folder
        run.stop(signal.SIGKILL)
        end = time.monotonic() + 10
        while [pid for pid in family if alive(pid)] and time.monotonic() < end:
            time.sleep(0.1)
        assert not [pid for pid in family if alive(pid)]
        shutil.rmtree(folder, ignore_errors=True)


def test_samples(scratch):
    """Made once, at most a minute; the large one is a tiled pyramid of 100 megapixels and more."""
    with Run() as run:
        client = Client(run.port)
        info = client.ask("/iiif/3/island.tif/info.json").json
        assert info["width"] * info["height"] >= 100_000_000 and info["tiles"][0]["width"] == 256
        tile = client.ask("/iiif/3/island.tif/6144,4096,2048,2048/512,512/0/default.jpg")
        assert tile.status == 200 and tile.pixels.std() > 10
        flat = client.ask("/iiif/3/island-flat.jpg/6144,4096,2048,2048/512,512/0/default.jpg")
        assert abs(tile.pixels - flat.pixels).mean() < 4
        assert client.ask("/iiif/2/two-pages.tif;2/full/full/0/default.jpg").picture.size == (1200, 800)
        assert client.ask("/iiif/3/upright.jpg/full/240,/0/default.jpg").picture.size == (240, 150)
    started = time.monotonic()
    with Run() as run:
        assert run.port and time.monotonic() - started < 10


def test_a_configuration_and_a_folder_beside_it(pictures, tmp_path):
    (tmp_path / "my.conf").write_text('server: { prefixes_3 = ["/pics"]; };\n'
                                      'rules = ( { prefix = ""; type = "file"; root = "/nowhere"; } );\n')
    shutil.copytree(pictures, folder := pictures.parent / "plain", dirs_exist_ok=True)
    with Run("--config", tmp_path / "my.conf", "--images", folder, "--workers", 1) as run:
        assert "/iiif/3/" not in run.text
        assert Client(run.port).ask("/pics/a%20b.jpg/full/max/0/default.jpg").status == 200
        assert Client(run.port).ask("/iiif/3/a%20b.jpg/full/max/0/default.jpg").status == 404


def test_a_taken_port(pictures):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        assert f"port {port}" in refused("--images", pictures, "--port", port)


def test_the_asked_port(pictures):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with Run("--images", pictures, "--workers", 1, "--port", port) as run:
        assert run.port == port


def test_folders_that_cannot_be_served(scratch, tmp_path):
    assert "/no/such" in refused("--images", "/no/such")
    if os.geteuid() == 0:
        private = scratch / "private"
        (private / "images").mkdir(parents=True)
        private.chmod(0o700)
        message = refused("--images", private / "images")
        assert str(private) in message and "lorikeet" in message


def test_a_wrong_configuration(tmp_path):
    (tmp_path / "wrong.conf").write_text("limits: {\n\tmax_are = 5;\n};\n")
    assert "wrong.conf:2" in refused("--config", tmp_path / "wrong.conf")


@pytest.mark.parametrize("words", [["--what"], ["--port"], ["--port", "x"], ["--workers", "0"], ["here"]])
def test_wrong_words(words):
    assert "scripts/run" in refused(*words)
