# SPDX-License-Identifier: BSD-2-Clause
"""A real S3 server on loopback: Ceph's RADOS gateway over a monitor and one store in memory, about a second to start.

    with Ceph(folder) as ceph:                  # free ports; the folder is its own and may not exist yet
        ceph.make_bucket("pics")                # public=True: readable without a signature
        ceph.put("pics", "a b/c.jpg", data)     # headers={"Content-Type": "image/jpeg"}
        ceph.get("pics", "a b/c.jpg").status
        ceph.url, ceph.access_key, ceph.secret_key
        ceph.pause(), ceph.resume()             # an origin that hangs

It verifies signatures. All its processes end with stop(), and with the thread that started it: start it from the main
thread. Requests are signed here by a few lines of Python, so that Lorikeet is not measured by itself.
"""
import http.client
import os
import shutil
import signal
import subprocess
import urllib.parse
import uuid
from pathlib import Path

from corpus.s3 import quote, sign
from stack import StackError, free_port, wait_for

# One store, one copy, no manager. The paxos settings make the monitor quick; the tick is how long whoever came before
# the store waits to ask again.
CONFIG = """\
[global]
fsid = {fsid}
mon host = [v1:127.0.0.1:{mon_port}]
objecter tick interval = 0.2
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
auth supported = none
run dir = {folder}/run
admin socket =
log file = {folder}/log/$name.log
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon data avail warn = 1
mon data avail crit = 1
mon osd reporter subtree level = osd
paxos propose interval = 0.02
paxos min wait = 0.01
ms bind ipv6 = false
[mon.a]
mon data = {folder}/mon
[osd.0]
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = 2147483648
osd memory target = 939524096
[client.rgw.a]
rgw data = {folder}/rgw
rgw frontends = beast endpoint=127.0.0.1:{port}{tls}
rgw dns name = localhost
rgw enable usage log = false
rgw enable ops log = false
rgw run sync thread = false
rgw thread pool size = 16
"""


class Reply:
    def __init__(self, reply):
        self.status, self.headers, self.body = reply.status, reply.headers, reply.read()


class Ceph:
    ATTEMPTS = 3    # a port may be taken between its choice and its use

    def __init__(self, folder, access_key="testkey", secret_key="testsecret", certificate=None):
        """certificate: a PEM file with certificate and key, for https at tls_port."""
        self.folder = Path(folder).resolve()
        self.access_key, self.secret_key, self.certificate = access_key, secret_key, certificate
        self.port = self.tls_port = None
        self.monitor = self.store = self.gateway = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def start(self):
        for attempt in range(self.ATTEMPTS):
            try:
                return self._start()
            except BaseException as e:
                self.stop()
                if attempt + 1 == self.ATTEMPTS or not isinstance(e, StackError):
                    raise

    def _start(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        for name in ("mon", "osd", "rgw", "log", "run"):
            (self.folder / name).mkdir(parents=True)
        fsid, mon_port = str(uuid.uuid4()), free_port()
        self.port = free_port()
        self.tls_port = free_port() if self.certificate else None
        tls = f" ssl_endpoint=127.0.0.1:{self.tls_port} ssl_certificate={self.certificate}" if self.certificate else ""
        (self.folder / "ceph.conf").write_text(CONFIG.format(
            folder=self.folder, fsid=fsid, mon_port=mon_port, port=self.port, tls=tls))
        self._start_monitor(fsid, mon_port)
        self._start_store()
        self.gateway = self._spawn("radosgw", "-n", "client.rgw.a")
        wait_for("the gateway", 20, self._answers)
        return self

    def _start_monitor(self, fsid, port):
        monmap = self.folder / "monmap"
        self._run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", f"[v1:127.0.0.1:{port}]", monmap)
        self._run("ceph-mon", "-i", "a", "--mkfs", "--monmap", monmap)
        self.monitor = self._spawn("ceph-mon", "-i", "a")

    def _start_store(self):
        identity = str(uuid.uuid4())
        self._run("ceph", "osd", "new", identity)
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", identity)
        self.store = self._spawn("ceph-osd", "-i", "0")
        # This waits until the store works.
        user = self._spawn("radosgw-admin", "-n", "client.rgw.a", "user", "create", "--uid=test", "--display-name=test",
                           f"--access-key={self.access_key}", f"--secret={self.secret_key}", foreground=False)
        try:
            wait_for("the store", 20, lambda: self._is_user_made(user))
        finally:
            self._kill(user)

    def _is_user_made(self, user):
        """A store may end at its first contact with the monitor, because of a `wrong fsid`."""
        if self.store.poll() is not None:
            self.store = self._spawn("ceph-osd", "-i", "0")
        if user.poll():
            raise StackError(f"no user could be made:\n{self._last_words()}")
        return user.poll() == 0

    def _answers(self):
        for process in (self.monitor, self.store, self.gateway):
            if process.poll() is not None:
                raise StackError(f"{process.args} ended:\n{self._last_words()}")
        try:
            return self.ask("GET", "/", signed=False).status == 200
        except OSError:
            return False

    def _last_words(self):
        return (self.folder / "log" / "console.log").read_text(errors="replace")[-2000:]

    def _command(self, program, *words):
        return ["setpriv", "--pdeathsig", "KILL", program, "-c", self.folder / "ceph.conf", *words]

    def _run(self, program, *words):
        command = self._command(program, *words) if program != "monmaptool" else [program, *words]
        done = subprocess.run(command, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
        if done.returncode:
            raise StackError(f"{program}: {done.stderr[-1000:]}")

    def _spawn(self, program, *words, foreground=True):
        words = [*words, "-f"] if foreground else words
        with open(self.folder / "log" / "console.log", "ab") as console:
            return subprocess.Popen(self._command(program, *words), cwd="/", stdin=subprocess.DEVNULL, stdout=console,
                                    stderr=subprocess.STDOUT, start_new_session=True)

    @staticmethod
    def _kill(process):
        if process and process.poll() is None:
            process.kill()
            process.wait()

    def stop(self):
        for process in (self.gateway, self.store, self.monitor):
            self._kill(process)
        self.monitor = self.store = self.gateway = None

    def pause(self):
        """Connections are accepted, by the kernel, and hang."""
        os.kill(self.gateway.pid, signal.SIGSTOP)

    def resume(self):
        os.kill(self.gateway.pid, signal.SIGCONT)

    def ask(self, method, path, query=None, headers=None, body=b"", signed=True):
        """One request; path is decoded."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        query, headers, path = query or {}, headers or {}, "/".join(map(quote, path.split("/")))
        if signed:
            headers = sign(method, f"127.0.0.1:{self.port}", path, query, headers, body, self.access_key,
                           self.secret_key)
        try:
            connection.request(method, path + ("?" + urllib.parse.urlencode(query) if query else ""), body, headers)
            return Reply(connection.getresponse())
        finally:
            connection.close()

    def _do(self, *asked, **more):
        reply = self.ask(*asked, **more)
        if reply.status >= 300:
            raise StackError(f"{asked[:2]}: {reply.status} {reply.body[:300]}")
        return reply

    def make_bucket(self, bucket, public=False):
        """public: what is put there with the same word can be read without a signature."""
        self._do("PUT", f"/{bucket}", headers={"x-amz-acl": "public-read"} if public else {})

    def put(self, bucket, key, data, headers=None, public=False):
        acl = {"x-amz-acl": "public-read"} if public else {}
        return self._do("PUT", f"/{bucket}/{key}", headers={**(headers or {}), **acl}, body=data)

    def get(self, bucket, key, **headers):
        return self.ask("GET", f"/{bucket}/{key}", headers={k.replace("_", "-"): v for k, v in headers.items()})

    def delete(self, bucket, key):
        self._do("DELETE", f"/{bucket}/{key}")
