# SPDX-License-Identifier: BSD-2-Clause
"""The servers of scripts/bench: Lorikeet and its peer, each with one worker, behind one nginx that keeps no answers."""
from pathlib import Path

from contestants import Server
from libconfig import setting
from stack import REPO, Stack, render

# One worker: the second group stands by.
CHANGES = {"fastcgi_cache lorikeet;": "fastcgi_cache off;", "    server unix:/run/lorikeet/b.sock max_fails=0;\n": ""}


def lorikeet_target(workload, ask):
    path = ask.path(workload.master) if ask else "info.json"
    return f"/iiif/3/{workload.file.name}/{path}"


class Servers:
    def __init__(self, folder, images):
        sample = Path(folder, "nginx-sample.conf")
        sample.write_text(render((REPO / "nginx-sample.conf").read_text(), CHANGES))
        config = Path(folder, "lorikeet.conf")
        config.write_text(f"rules = ( {{ prefix = \"\"; type = \"file\"; root = {setting(str(images))}; }} );\n")
        self.stack = Stack(Path(folder, "stack"), REPO / "build/release/lorikeet", config, workers=1, nginx_conf=sample)
        self.all = []

    def __enter__(self):
        self.stack.start()
        self.all = [Server("lorikeet", self.stack.port, lambda: self.stack.worker_pids("a"), lorikeet_target)]
        return self

    def __exit__(self, *_):
        self.stack.stop()
