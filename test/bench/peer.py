# SPDX-License-Identifier: BSD-2-Clause
"""Debian's iipimage-server, fetched and unpacked but not installed, with those of its libraries that are missing."""
import os
import pwd
import re
import shutil
import subprocess

from stack import REPO, WORKER_USER, can_connect, end_within, wait_for

FOLDER = REPO / "build/bench/peer"
ROOT = FOLDER / "root"
PACKAGE = "iipimage-server"
PROGRAM = "usr/lib/iipimage-server/iipsrv.fcgi"
# All that is asked for is worked for: no tiles are kept. As Lorikeet: quality 85, one thread, all of a JP2's layers.
SETTINGS = {"URI_MAP": "iiif=>IIIF", "JPEG_QUALITY": "85", "MAX_IMAGE_CACHE_SIZE": "0", "MAX_CVT": "20000", "MAX_LAYERS": "-1",
            "OMP_NUM_THREADS": "1", "VERBOSITY": "0", "ALLOW_UPSCALING": "0"}
SITE = """
server {{
    listen 127.0.0.1:{port};
    access_log off;
    fastcgi_buffer_size 64k;
    fastcgi_buffers 16 32k;
    fastcgi_busy_buffers_size 128k;
    location / {{
        include /etc/nginx/fastcgi_params;
        fastcgi_param HTTP_HOST $http_host;
        fastcgi_pass unix:/run/lorikeet/iip.sock;
    }}
}}
"""


class PeerError(Exception):
    pass


def run(*words, **more):
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, **more)
    if done.returncode:
        raise PeerError(f"{words[0]}: " + ((done.stderr or done.stdout).strip().splitlines() or ["no reason given"])[-1])
    return done.stdout


def libraries(root):
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(str(p) for p in root.glob("usr/lib/*-linux-gnu"))}


def missing():
    return "not found" in run("ldd", ROOT / PROGRAM, env=libraries(ROOT))


def is_installed(package):
    done = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status}", package], capture_output=True, text=True)
    return done.stdout == "installed"


def unpack(package):
    """Returns the libraries that it depends on."""
    run("apt-get", "-q", "download", package, cwd=FOLDER)
    archive = next(FOLDER.glob(f"{package}_*.deb"))
    run("dpkg", "-x", archive, ROOT)
    return re.findall(r"(?:^|[ ,])(lib[a-z0-9.+-]+)", run("dpkg-deb", "-f", archive, "Depends"))


def fetch():
    """Raises PeerError where the package cannot be had."""
    if (ROOT / PROGRAM).exists() and not missing():
        return
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    try:
        wanted, seen = unpack(PACKAGE), set()
        while missing() and wanted:
            package = wanted.pop(0)
            if package not in seen and not package.startswith("libapache") and not is_installed(package):
                seen.add(package)
                wanted += unpack(package)
        if missing():
            raise PeerError("libraries are missing")
    except (OSError, StopIteration, subprocess.TimeoutExpired) as e:
        raise PeerError(str(e)) from None


class Peer:
    """One process, on the socket that SITE names once the stack has put it into its own folder."""

    def __init__(self, stack, images):
        self.stack, self.images = stack, images
        self.root = stack.folder / "peer"    # a copy, which its user can reach
        self.process = None

    @property
    def socket(self):
        return self.stack.socket("iip")

    def start(self):
        if not self.root.exists():
            shutil.copytree(ROOT, self.root)
        words = ["setpriv", "--pdeathsig", "TERM", "spawn-fcgi", "-n", "-s", self.socket, "-M", "0660", "--", self.root / PROGRAM]
        if self.stack.root:
            user = pwd.getpwnam(WORKER_USER)
            words[1:1] = ["--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--init-groups"]
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd="/",
                                        stderr=subprocess.DEVNULL, start_new_session=True,
                                        env={**libraries(self.root), **SETTINGS, "FILESYSTEM_PREFIX": f"{self.images}/"})
        wait_for("iipsrv", 10, lambda: self.process.poll() is not None or can_connect(self.socket))
        if self.process.poll() is not None:
            raise PeerError(f"iipsrv ended with {self.process.returncode}")

    def pid(self):
        return self.process.pid

    def renew(self):
        self.stop()
        self.start()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
        end_within(self.process, 5)


def target(workload, ask):
    """Version 2, level 1: the flat formats, and other answers than JPEG, are not for it."""
    if not workload.kind.endswith((".tif", ".jp2")) or (ask and ask.format != "jpg"):
        return None
    return f"/iiif/{workload.file.name}/{ask.path(workload.master, by_width=True) if ask else 'info.json'}"
