# SPDX-License-Identifier: BSD-2-Clause
"""Several servers on one machine, each a Stack of its own with its own caches, over one real S3 server; and the shipped
balancers in front of them. scripts/cluster and the tests use it.

    with Cluster(folder, [version] * 4) as cluster, Balancer(folder / "b", "haproxy", cluster.servers) as balancer:
        cluster.put("a b/c.jpg", data)
        urllib.request.urlopen(balancer.url + "/iiif/3/a%20b%2Fc.jpg/info.json")
"""
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from stack import MAIN_NGINX, NGINX_USER, REPO, WORKER_USER, Stack, StackError, children, end_within, free_port, render, wait_for

sys.path.insert(0, str(REPO / "test"))    # Debian has a module ceph of its own
from ceph import Ceph  # noqa: E402
from libconfig import setting  # noqa: E402

BUCKET = "originals"
VERSIONS = REPO / "build/versions"


@dataclass
class Version:
    """A program, and the configurations that were shipped with it."""
    name: str
    binary: Path
    nginx_conf: Path = REPO / "nginx-sample.conf"
    pool_conf: Path = REPO / "scripts/supervisor.conf"


def run(*command, **how):
    done = subprocess.run(command, text=True, capture_output=True, **how)
    if done.returncode:
        raise StackError(f"{' '.join(map(str, command))}: {(done.stderr or done.stdout)[-2000:].strip()}")
    return done.stdout.strip()


def other_version(word):
    """From a package file, or a commit of this repository, which is built unless it is already."""
    return packaged(Path(word)) if word.endswith(".deb") else built(word)


def packaged(package):
    if not package.is_file():
        raise StackError(f"there is no file {package}")
    tree = VERSIONS / package.stem
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    run("dpkg", "-x", package, tree)
    pool = tree / "etc/lorikeet/supervisor.conf"
    pool.write_text(pool.read_text().replace("/usr/bin/lorikeet", "/usr/local/bin/lorikeet"))
    return Version(package.stem, tree / "usr/bin/lorikeet", tree / "etc/nginx/sites-available/lorikeet", pool)


def built(word):
    found = subprocess.run(["git", "-C", REPO, "rev-parse", "--verify", "--quiet", f"{word}^{{commit}}"], text=True, stdout=subprocess.PIPE)
    if found.returncode:
        raise StackError(f"there is no commit {word} here (a shallow clone has the last ones only: git fetch --unshallow)")
    commit = found.stdout[:12]
    tree, part = VERSIONS / commit, VERSIONS / f"{commit}.part"
    if not tree.exists():
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        run("git", "-C", REPO, "archive", "-o", part / ".tar", commit)
        run("tar", "-xf", part / ".tar", "-C", part)
        (part / ".tar").unlink()
        part.rename(tree)
    print(f"{commit}, in {tree}", flush=True)
    if subprocess.run([tree / "scripts/build", "release", "-DTESTS=OFF"]).returncode:
        raise StackError(f"commit {commit} does not build here")
    return Version(commit, tree / "build/release/lorikeet", tree / "nginx-sample.conf", tree / "scripts/supervisor.conf")


class Server:
    def __init__(self, number, folder, version, rules, workers, fetchers, cache_bytes):
        self.number = number
        folder.mkdir()
        folder.chmod(0o755)
        self.version, self.originals, self.config = version, folder / "originals", folder / "lorikeet.conf"
        self.config.write_text(f"""\
server: {{ raw_slashes = true; }};
cache: {{ folder = {setting(self.originals)}; max_bytes = {setting(cache_bytes)}; min_free_bytes = 0; }};
rules = ( {rules} );
""")
        self.stack = Stack(folder / "s", version.binary, self.config, workers=workers, fetchers=fetchers,
                           nginx_conf=version.nginx_conf, pool_conf=version.pool_conf)

    @property
    def address(self):
        return f"{self.stack.address}:{self.stack.port}"

    def begin(self):
        try:
            self.stack.prepare()
        except StackError as e:
            raise StackError(f"{self.version.name} cannot be started by these scripts: {e}") from None
        self.make_cache()
        self.stack.start_pool()
        self.stack.start_nginx()

    def make_cache(self):
        """By the stack's own copy of the program, as the workers' user may not reach the other."""
        self.originals.mkdir()
        words, folder = [], self.stack.folder
        if os.geteuid() == 0:
            user = pwd.getpwnam(WORKER_USER)
            os.chown(self.originals, user.pw_uid, user.pw_gid)
            words = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        run(*words, folder / "bin/lorikeet", "--config", self.config, "cache", "init",
            env={**os.environ, "LORIKEET_CACHE_TEMPORARY": str(folder / "run/temporary")})


class Cluster:
    def __init__(self, folder, versions, workers=1, fetchers=4, cache_bytes=2 << 30):
        self.folder, self.workers, self.fetchers, self.cache_bytes = Path(folder), workers, fetchers, cache_bytes
        self.versions, self.servers, self.made = versions, [], 0
        self.ceph = Ceph(self.folder / "ceph")

    def __enter__(self):
        try:
            self.ceph.start()
            self.ceph.make_bucket(BUCKET)
            self.servers = [self.make(version) for version in self.versions]
            for server in self.servers:
                server.begin()
            for server in self.servers:
                server.stack.wait_until_serving(60)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda server: server.stack.stop(), self.servers))
        self.ceph.stop()

    def make(self, version):
        s3 = {"prefix": "", "type": "s3", "bucket": BUCKET, "endpoint": self.ceph.url, "path_style": True,
              "access_key": self.ceph.access_key, "secret_key": self.ceph.secret_key, "revalidate_after": 3600}
        rule = "{ " + " ".join(f"{name} = {setting(value)};" for name, value in s3.items()) + " }"
        self.made += 1
        return Server(self.made, self.folder / f"server-{self.made}", version, rule, self.workers, self.fetchers, self.cache_bytes)

    def put(self, identifier, data):
        self.ceph.put(BUCKET, identifier, data)

    def add(self, version):
        """One more server, which no balancer knows yet."""
        server = self.make(version)
        self.servers.append(server)
        server.begin()
        server.stack.wait_until_serving(60)
        return server

    def remove(self, server):
        """To be told to the balancers before."""
        server.stack.stop()
        self.servers.remove(server)


class Balancer:
    """scripts/balancer-nginx.conf or scripts/balancer-haproxy.cfg, with these servers."""
    KINDS = ("nginx", "haproxy")

    def __init__(self, folder, kind, servers, port=0):
        self.folder, self.kind, self.port, self.process = Path(folder), kind, free_port(port), None
        for path in (self.folder, self.folder / "log", self.folder / "nginx"):
            path.mkdir()
            path.chmod(0o755)
        self.write(servers)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def write(self, servers, down=()):
        if self.kind == "nginx":
            self.write_nginx(servers, down)
        else:
            self.write_haproxy(servers)

    def write_nginx(self, servers, down):
        user = f"user {NGINX_USER};" if os.geteuid() == 0 else ""
        (self.folder / "nginx.conf").write_text(MAIN_NGINX.format(folder=self.folder, user=user))
        shutil.copyfile(REPO / "scripts/nginx-main.conf", self.folder / "nginx-main.conf")
        (self.folder / "nginx-site.conf").write_text(render((REPO / "scripts/balancer-nginx.conf").read_text(), {
            "listen 80 default_server": f"listen 127.0.0.1:{self.port} default_server",
            "    server 10.0.0.1:80;\n    server 10.0.0.2:80;\n":
                "".join(f"    server {server.address}{' down' if server in down else ''};\n" for server in servers)}))

    def write_haproxy(self, servers):
        changes = {"bind :80\n": f"bind 127.0.0.1:{self.port}\n",
                   "    server one 10.0.0.1:80 id 1\n    server two 10.0.0.2:80 id 2\n":
                       "".join(f"    server s{server.number} {server.address} id {server.number}\n" for server in servers)}
        if os.geteuid() != 0:
            changes["    user haproxy\n    group haproxy\n"] = ""
        (self.folder / "haproxy.cfg").write_text(render((REPO / "scripts/balancer-haproxy.cfg").read_text(), changes))

    def __enter__(self):
        command = ["nginx", "-p", f"{self.folder}/", "-c", f"{self.folder}/nginx.conf"] if self.kind == "nginx" else \
            ["/usr/sbin/haproxy", "-W", "-db", "-f", f"{self.folder}/haproxy.cfg"]
        with open(self.folder / "console.log", "ab") as console:
            self.process = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", *command], cwd="/", stdin=subprocess.DEVNULL,
                                            stdout=console, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            wait_for(f"{self.kind} on port {self.port}", 20, self.listens)
        except BaseException:
            self.__exit__()
            raise
        return self

    def listens(self):
        if self.process.poll() is not None:
            raise StackError(f"{self.kind} ended: {(self.folder / 'console.log').read_text()[-1000:]}")
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def change(self, servers, down=()):
        """Other servers, without losing a request. down: servers that drain, of nginx; HAProxy asks them itself."""
        before = set(children(self.process.pid))
        self.write(servers, down)
        self.process.send_signal(signal.SIGHUP if self.kind == "nginx" else signal.SIGUSR2)
        wait_for("the balancer's new process", 15, lambda: set(children(self.process.pid)) - before)
        time.sleep(0.5)     # the old one may take a request or two meanwhile

    def __exit__(self, *_):
        self.process.terminate()
        end_within(self.process, 15)
