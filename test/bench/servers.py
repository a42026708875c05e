# SPDX-License-Identifier: BSD-2-Clause
"""The servers of scripts/bench: Lorikeet and its peer, each with one worker, behind one nginx that keeps no answers."""
import os
import shutil
import signal
from pathlib import Path

import peer
from contestants import Server
from libconfig import setting
from stack import REPO, Stack, StackError, check_worker_can_pass, free_port, render, wait_for

# One worker: the second group stands by.
CHANGES = {"fastcgi_cache lorikeet;": "fastcgi_cache off;", "    server unix:/run/lorikeet/b.sock max_fails=0;\n": ""}
# The same worker from the first request to the last.
CONFIG = """\
server: {{ requests_per_worker = 0; }};
rules = ( {{ prefix = ""; type = "file"; root = {root}; }} );
"""


def lorikeet_target(workload, ask):
    path = ask.path(workload.master) if ask else "info.json"
    return f"/iiif/3/{workload.file.name}/{path}"


def reachable(images, folder):
    """The images' folder, or a copy where the workers' user cannot go to it."""
    try:
        check_worker_can_pass(images)
        return images
    except StackError:
        copy = shutil.copytree(images, Path(folder, "images"))
        for path in (copy, *copy.iterdir()):
            path.chmod(0o755 if path == copy else 0o644)
        return copy


class Servers:
    """Running servers as contestants in `all`; `absent` says why the peer is not among them."""

    def __init__(self, folder, images):
        images = reachable(images, folder)
        sample = Path(folder, "nginx-sample.conf")
        self.peer_port = free_port()
        sample.write_text(render((REPO / "nginx-sample.conf").read_text(), CHANGES) + peer.SITE.format(port=self.peer_port))
        config = Path(folder, "lorikeet.conf")
        config.write_text(CONFIG.format(root=setting(str(images))))
        self.stack = Stack(Path(folder, "stack"), REPO / "build/release/lorikeet", config, workers=1, nginx_conf=sample)
        self.peer = peer.Peer(self.stack, images)
        self.all, self.absent = [], ""

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.__exit__()
            raise

    def start(self):
        self.stack.start()
        self.all.append(Server("lorikeet", self.stack.port, self.worker, self.renew_worker, lorikeet_target))
        try:
            peer.fetch()
            self.peer.start()
            self.all.append(Server("iipimage", self.peer_port, self.peer.pid, self.peer.renew, peer.target))
        except (peer.PeerError, StackError) as e:
            self.absent = f"iipimage-server could not be had: {e}"
        return self

    def worker(self):
        found = self.stack.worker_pids("a")
        return found[0] if found else 0

    def renew_worker(self):
        """multiwatch starts another."""
        old = self.worker()
        os.kill(old, signal.SIGTERM)
        wait_for("another worker", 10, lambda: self.worker() not in (0, old))

    def __exit__(self, *_):
        self.peer.stop()
        self.stack.stop()
