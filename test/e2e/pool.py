# SPDX-License-Identifier: BSD-2-Clause
"""`lorikeet reload` as the package has it, in a stack's folders, and programs of other versions for it."""
import os
import subprocess

from stack import REPO, render


def reloader(stack):
    """A function that does it."""
    folder, commands = stack.folder, stack.folder / "sbin"
    commands.mkdir(exist_ok=True)
    pool = render((REPO / "scripts/package/lorikeet-pool").read_text(), {
        "/etc/lorikeet/supervisor.conf": f"{folder}/pool.conf", "/etc/lorikeet/pool": f"{folder}/pool-choice",
        "/etc/supervisor/conf.d/lorikeet.conf": f"{folder}/pool-link.conf", "/run/lorikeet/": f"{folder}/run/",
        "[ -x /usr/bin/supervisorctl ]": "true", "+ 30))": "+ 4))"})
    write_command(commands / "lorikeet-pool", pool)
    write_command(commands / "supervisorctl", f'#!/bin/sh\nexec /usr/bin/supervisorctl -c {folder}/supervisord.conf "$@"\n')
    env = {**os.environ, "PATH": f"{commands}:{folder}/bin:{os.environ['PATH']}",
           "LORIKEET_CONFIG": str(folder / "lorikeet.conf"), "LORIKEET_CACHE_TEMPORARY": str(folder / "run/temporary"),
           "LORIKEET_SERVER_METRICS_FILE": str(folder / "run/metrics")}

    def run():
        return subprocess.run([folder / "bin/lorikeet", "reload"], env=env, capture_output=True, text=True, timeout=300)
    return run


def write_command(path, text):
    path.write_text(text)
    path.chmod(0o755)


def replace(program, data):
    new = program.with_name("new")
    new.write_bytes(data)
    new.chmod(0o755)
    new.rename(program)


def newer(data, version):
    """The program's bytes with another version: only its first number, as its end may serve as another text of the program."""
    version = version.encode()
    assert data.count(version) > 0
    return data.replace(version, b"9" + version[1:])
