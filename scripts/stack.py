# SPDX-License-Identifier: BSD-2-Clause
"""A whole Lorikeet in one folder: nginx with the shipped nginx-sample.conf, supervisor with the shipped
supervisor.conf, two groups of workers and two of fetchers. scripts/run and the end-to-end tests use it.

    with Stack(folder, binary, config) as stack:
        urllib.request.urlopen(stack.url + "/iiif/3/a.jpg/info.json")

Only ports, sockets, folders, user and numbers of workers are put in place of the shipped files' values. Started by
root, the workers run as user lorikeet and nginx's as www-data; else all run as the user. Everything ends with this
process, even when it is killed.
"""
import grp
import http.client
import os
import pwd
import shutil
import signal
import socket
import struct
import subprocess
import time
from contextlib import suppress
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
WORKER_USER = "lorikeet"
NGINX_USER = "www-data"

MAIN_NGINX = """\
daemon off;
{user}
pid {folder}/nginx.pid;
error_log {folder}/log/nginx-error.log;
include {folder}/nginx-main.conf;
http {{
    include /etc/nginx/mime.types;
    client_body_temp_path {folder}/nginx/body;
    fastcgi_temp_path {folder}/nginx/fastcgi;
    proxy_temp_path {folder}/nginx/proxy;
    scgi_temp_path {folder}/nginx/scgi;
    uwsgi_temp_path {folder}/nginx/uwsgi;
    access_log off;
    include {folder}/nginx-site.conf;
}}
"""

MAIN_SUPERVISOR = """\
[supervisord]
nodaemon=true
silent=true
{user}
pidfile={folder}/supervisord.pid
logfile={folder}/log/supervisord.log
childlogdir={folder}/log
identifier=lorikeet
[unix_http_server]
file={folder}/supervisor.sock
chmod=0700
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{folder}/supervisor.sock
[include]
files={folder}/pool.conf
"""


class StackError(Exception):
    pass


def render(text, changes):
    """Plain replacement: a value that is no longer in the shipped file is an error, not a surprise."""
    for old, new in changes.items():
        if old not in text:
            raise StackError(f"the shipped file has no {old!r} to replace")
        text = text.replace(old, str(new))
    return text


def in_quotes(value):
    """A value in supervisor's environment=, which knows no escapes but %%."""
    quote = "'" if '"' in str(value) else '"'
    if quote in str(value):
        raise StackError(f"supervisor cannot pass on both kinds of quotes: {value}")
    return quote + str(value).replace("%", "%%") + quote


def free_port(wanted=0, address="127.0.0.1"):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((address, wanted))
        return s.getsockname()[1]


def ask_socket(path, uri="/", timeout=5, **params):
    """One FastCGI request straight to a worker's socket: the raw answer, headers and body."""
    def record(kind, content):
        return struct.pack("!BBHHBx", 1, kind, 1, len(content), 0) + content

    def pair(name, value):
        name, value = name.encode(), value.encode()
        return struct.pack("!II", len(name) | 1 << 31, len(value) | 1 << 31) + name + value

    given = {"REQUEST_METHOD": "GET", "REQUEST_URI": uri, "HTTP_HOST": "localhost", "REQUEST_SCHEME": "http"}
    given.update(params)
    asked = b"".join(pair(*item) for item in given.items())
    answer = b""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(timeout)
        s.connect(str(path))
        s.sendall(record(1, struct.pack("!HB5x", 1, 0)) + record(4, asked) + record(4, b"") + record(5, b""))
        with s.makefile("rb") as stream:
            while len(head := stream.read(8)) == 8:
                _, kind, _, length, padding = struct.unpack("!BBHHBx", head)
                content = stream.read(length + padding)[:length]
                if kind == 6:
                    answer += content
                if kind == 3:
                    return answer
    raise StackError(f"{path}: no whole answer")


def alive(pid):
    """A zombie counts as dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(what, seconds, condition):
    end = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise StackError(f"waited {seconds} s in vain for {what}")
        time.sleep(0.05)


def check_worker_can_pass(folder):
    """Raises StackError, naming the folder in the way, unless the workers' user can walk into this one."""
    if os.geteuid() != 0:
        return
    user = pwd.getpwnam(WORKER_USER)
    uid, gids = user.pw_uid, os.getgrouplist(WORKER_USER, user.pw_gid)
    folder = Path(folder).resolve()
    for way in [*reversed(folder.parents), folder]:
        s = way.stat()
        shift = 6 if s.st_uid == uid else 3 if s.st_gid in gids else 0
        if not s.st_mode >> shift & 1:
            raise StackError(f"the workers (user {WORKER_USER}) cannot pass the folder {way} on the way to {folder}: "
                             f"choose another, or chmod o+x {way}")


class Stack:
    GROUPS = ("a", "b")
    FETCH_GROUPS = ("fetch-a", "fetch-b")
    ALL_GROUPS = (*GROUPS, *FETCH_GROUPS, "health")

    def __init__(self, folder, binary, config, port=0, workers=2, fetchers=1, nginx_conf=REPO / "nginx-sample.conf",
                 worker_env=None, address="127.0.0.1", viewer=None, pool_conf=REPO / "scripts/supervisor.conf"):
        self.folder = Path(folder).resolve()
        self.binary, self.config, self.nginx_conf, self.pool_conf = map(Path, (binary, config, nginx_conf, pool_conf))
        self.address, self.port, self.workers, self.fetchers = address, port, workers, fetchers
        self.worker_env = {"LORIKEET_SERVER_METRICS_FILE": self.folder / "run" / "metrics",
                           "LORIKEET_SERVER_DRAIN_FILE": self.folder / "run" / "drain",
                           "LORIKEET_CACHE_TEMPORARY": self.folder / "run" / "temporary",
                           "LORIKEET_CACHE_NGINX_FOLDER": self.folder / "cache",
                           "LORIKEET_CACHE_MAX_WAITING": 2 * fetchers, **(worker_env or {})}
        self.viewer = viewer               # an unpacked openseadragon package, for the start page
        self.root = os.geteuid() == 0
        self.nginx = self.supervisord = None

    @property
    def url(self):
        host = "127.0.0.1" if self.address == "0.0.0.0" else self.address
        return f"http://{host}:{self.port}"

    def socket(self, group):
        return self.folder / "run" / f"{group}.sock"

    def log(self, name):
        """Text of log/NAME: nginx-access.log, nginx-error.log, supervisord.log, lorikeet-a.log, lorikeet-b.log."""
        path = self.folder / "log" / name
        return path.read_text(errors="replace") if path.exists() else ""

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def start(self, seconds=30):
        try:
            self.prepare()
            self.start_pool()
            self.start_nginx()
            self.wait_until_serving(seconds)
        except BaseException:
            self.stop()
            raise
        return self

    # --- the folder ---

    def prepare(self):
        if len(os.fsencode(self.socket("fetch-a"))) > 100:
            raise StackError(f"{self.folder}: too long a name for sockets in it (108 bytes at most)")
        for name in ("", "bin", "run", "log", "nginx"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
            (self.folder / name).chmod(0o755)
        shutil.copyfile(self.binary, self.folder / "bin" / "new")
        (self.folder / "bin" / "new").chmod(0o755)
        (self.folder / "bin" / "new").rename(self.folder / "bin" / "lorikeet")
        shutil.copyfile(self.config, self.folder / "lorikeet.conf")
        (self.folder / "lorikeet.conf").chmod(0o600)
        if self.viewer:
            self.copy_viewer()
        if self.root:
            self.give_to_users()
        self.write_pool_conf()
        self.write_nginx_conf()

    def copy_viewer(self):
        """nginx's user may not be able to read where it was fetched to."""
        target = self.folder / "viewer" / "openseadragon"
        target.mkdir(parents=True, exist_ok=True)
        for folder in (target.parent, target):
            folder.chmod(0o755)
        shutil.copyfile(self.viewer / "build/openseadragon/openseadragon.min.js", target / "openseadragon.min.js")
        (target / "openseadragon.min.js").chmod(0o644)

    def give_to_users(self):
        try:
            worker, nginx = pwd.getpwnam(WORKER_USER), grp.getgrnam(NGINX_USER)
        except KeyError as e:
            raise StackError(f"{e.args[0]}: run scripts/setup first") from None
        os.chown(self.folder / "lorikeet.conf", worker.pw_uid, worker.pw_gid)
        os.chown(self.folder / "run", worker.pw_uid, nginx.gr_gid)
        (self.folder / "run").chmod(0o2750)
        check_worker_can_pass(self.folder / "bin")

    def write_pool_conf(self):
        (self.folder / "supervisord.conf").write_text(MAIN_SUPERVISOR.format(
            folder=self.folder, user="user=root" if self.root else ""))
        env = "".join(f",{name}={in_quotes(value)}" for name, value in self.worker_env.items())
        (self.folder / "pool.conf").write_text(render(self.pool_conf.read_text(), {
            "/run/lorikeet/": f"{self.folder}/run/",
            "-- /usr/local/bin/lorikeet": f"-- {self.folder}/bin/lorikeet",
            "/etc/lorikeet/lorikeet.conf": f"{self.folder}/lorikeet.conf",
            "/var/log/lorikeet/": f"{self.folder}/log/",
            "-f 4 ": f"-f {self.workers} ",
            "-f 16 ": f"-f {self.fetchers} ",
            'LORIKEET_LIMITS_WORKERS="8"': f'LORIKEET_LIMITS_WORKERS="{2 * self.workers}"{env}',
            "user=lorikeet\n": f"user={WORKER_USER}\n" if self.root else "",
        }))

    def write_nginx_conf(self):
        self.port = free_port(self.port, self.address)
        (self.folder / "nginx.conf").write_text(MAIN_NGINX.format(
            folder=self.folder, user=f"user {NGINX_USER};" if self.root else ""))
        shutil.copyfile(REPO / "scripts/nginx-main.conf", self.folder / "nginx-main.conf")
        (self.folder / "nginx-site.conf").write_text(render(self.nginx_conf.read_text(), {
            "listen 80 default_server": f"listen {self.address}:{self.port} default_server",
            "listen 80;": f"listen {self.address}:{self.port};",
            "unix:/run/lorikeet/": f"unix:{self.folder}/run/",
            "/var/cache/lorikeet": f"{self.folder}/cache",
            "/var/log/nginx/lorikeet.access.log": f"{self.folder}/log/nginx-access.log",
            "alias /usr/local/share/lorikeet/viewer/": f"alias {self.folder}/viewer/",
        }))

    # --- processes ---

    def spawn(self, command):
        """It gets SIGTERM when the thread that started it ends: start stacks from the main thread. What it says itself goes
        beside the logs' folder, as systemd takes it elsewhere: supervisord ends where it cannot even say that a log's disk
        is full."""
        return subprocess.Popen(["setpriv", "--pdeathsig", "TERM", *command], cwd="/", stdin=subprocess.DEVNULL,
                                stdout=open(self.folder / "console.log", "ab"), stderr=subprocess.STDOUT,
                                start_new_session=True)

    def start_pool(self):
        self.supervisord = self.spawn(["supervisord", "-c", f"{self.folder}/supervisord.conf"])
        # It starts its programs when something happens, or a second has passed.
        wait_for("supervisord", 15, lambda: self.supervisord.poll() is not None or can_connect(self.folder / "supervisor.sock"))

    def start_nginx(self):
        self.nginx = self.spawn(["nginx", "-p", f"{self.folder}/", "-c", f"{self.folder}/nginx.conf"])

    def reload_nginx(self):
        self.nginx.send_signal(signal.SIGHUP)

    def wait_until_serving(self, seconds=30):
        wait_for(f"nginx on port {self.port}", seconds, lambda: self.running() and self.status("/ping") == 200)
        for group in self.ALL_GROUPS:
            self.wait_for_group(group, seconds)
        wait_for("an answer through nginx", seconds,
                 lambda: self.running() and self.status("/lorikeet/is/up") not in (0, 502, 503, 504))

    def running(self):
        for name, process in (("nginx", self.nginx), ("supervisord", self.supervisord)):
            if process.poll() is not None:
                raise StackError(f"{name} ended:\n" + self.last_words())
        return True

    def last_words(self):
        logs = ("../console.log", "nginx-error.log", "supervisord.log", "lorikeet-a.log")
        return "".join(f"--- {name}\n{self.log(name)[-1500:]}\n" for name in logs if self.log(name))

    def status(self, path):
        """The status of a GET of the path, 0 without an answer."""
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    def wait_for_group(self, group, seconds=30):
        wanted = self.fetchers if group in self.FETCH_GROUPS else self.workers if group in self.GROUPS else 1

        def answers():
            try:
                return len(self.worker_pids(group)) == wanted and ask_socket(self.socket(group), LORIKEET_HEALTH="live")
            except (OSError, StackError):
                return False
        try:
            wait_for(f"group {group}", seconds, answers)
        except StackError as e:
            raise StackError(f"{e}\n{self.last_words()}") from None

    def supervisorctl(self, *words):
        return subprocess.run(["supervisorctl", "-c", f"{self.folder}/supervisord.conf", *words],
                              capture_output=True, text=True, timeout=200).stdout.strip()

    def restart_group(self, group):
        """Half of a deploy without loss: the other half is the other group, after this one."""
        self.supervisorctl("restart", f"lorikeet-{group}")
        self.wait_for_group(group)

    def group_pid(self, group):
        """The group's multiwatch, 0 if there is none."""
        for pid in children(self.supervisord.pid):
            if f"SUPERVISOR_PROCESS_NAME=lorikeet-{group}".encode() in environment(pid):
                return pid
        return 0

    def worker_pids(self, group=None):
        """The workers of a group; without one of all that answer, not of the fetchers."""
        groups = [group] if group else self.GROUPS
        return [pid for g in groups for pid in children(self.group_pid(g)) if alive(pid)]

    def kill_supervisord(self):
        """As the system would when memory is out: no chance to tell the pool."""
        self.supervisord.kill()
        self.supervisord.wait()

    def stop(self):
        groups = []
        if self.nginx and self.nginx.poll() is None:
            self.nginx.terminate()
        if self.supervisord and self.supervisord.poll() is None:
            self.supervisord.send_signal(signal.SIGSTOP)        # it starts no more of them
            groups = children(self.supervisord.pid)
            # Its end is their SIGTERM (--pdeathsig); it would take a second or more to tell them itself.
            self.kill_supervisord()
        end_within(self.nginx, 15)
        end_all_within(groups, 5)


def end_within(process, seconds):
    if not process:
        return
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def end_all_within(pids, seconds):
    """Processes and their children. SIGTERM again and again: one that has just begun may not hear the first."""
    pids, end = [*pids, *(child for pid in pids for child in children(pid))], time.monotonic() + seconds
    while left := [pid for pid in pids if alive(pid)]:
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM if time.monotonic() < end else signal.SIGKILL)
        time.sleep(0.02)


def can_connect(path):
    with socket.socket(socket.AF_UNIX) as s:
        return s.connect_ex(str(path)) == 0


def children(pid):
    try:
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()] if pid else []
    except (FileNotFoundError, ProcessLookupError):
        return []


def environment(pid):
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return []
