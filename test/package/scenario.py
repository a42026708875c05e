# SPDX-License-Identifier: BSD-2-Clause
"""The life of the Debian package: scenario.py FOLDER BASE DEB, started by scripts/test-package in namespaces.

BASE, a tar file, is a Debian that has what the package depends on, and in which nothing runs. It lives in memory here
and is entered by chroot. A line for each check: `ok - what` or `not ok - what`.
"""
import io
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from PIL import Image

REPO = Path(__file__).resolve().parent.parent.parent
IMAGE = "var/lib/lorikeet/images/picture.jpg"
URL = "http://127.0.0.1/iiif/3/picture.jpg"
CONF, PROGRAMS = "etc/lorikeet/lorikeet.conf", "etc/lorikeet/supervisor.conf"
LINK = "etc/supervisor/conf.d/lorikeet.conf"
# Each group of workers, and how many they are.
GROUPS = {name: int(re.search(r" -f (\d+) |$", command).group(1) or 1) for name, command in re.findall(
    r"(?m)^\[program:lorikeet-([a-z-]+)\]\ncommand=(.*)", (REPO / "scripts/supervisor.conf").read_text())}
SOCKETS = {f"run/lorikeet/{group}.sock": "660 lorikeet:www-data" for group in GROUPS}
# What apt, dpkg and the services that the package needs leave behind, whoever asks for them.
OTHERS = re.compile(
    r"(proc|tmp|root|run/(adduser|lock|nginx.*|supervisor.*|systemd)|"
    r"etc/((passwd|group|shadow|gshadow|subuid|subgid)-?|\.pwd\.lock|nginx/sites-enabled/default)|"
    r"var/cache/(apt|debconf|ldconfig)|var/lib/(apt|dpkg|logrotate|nginx|pam|systemd)|"
    r"var/log/(apt|nginx|supervisor|(alternatives|dpkg)\.log(\.1)?|[bw]tmp\.1))(/|$)")


# systemd as the first process of a namespace; it wants its folders, and a console to be silent on.
BOOT = """
touch dev/console && mount --bind /dev/null dev/console && mount -t proc proc proc && mount -t sysfs sysfs sys &&
mount -t cgroup2 cgroup2 sys/fs/cgroup && mount -t tmpfs tmpfs run &&
exec chroot . env -i container=lxc PATH=/usr/sbin:/usr/bin /sbin/init
"""


class Debian:
    def __init__(self, folder, base):
        self.root = folder / "root"
        self.enter = ["chroot", self.root]
        self.root.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", self.root], check=True)
        subprocess.run(["tar", "-C", self.root, "-xf", base], check=True)
        for kind, place in (("proc", "proc"), ("devpts", "dev/pts")):
            subprocess.run(["mount", "-t", kind, kind, self.root / place], check=True)

    def run(self, *words):
        """Status, and all that was said; nothing is asked."""
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
        done = subprocess.run([*self.enter, *words], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=300)
        return done.returncode, done.stdout

    def boot(self):
        apart = ["unshare", "--mount", "--pid", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child"]
        init = subprocess.Popen([*apart, "sh", "-c", BOOT], cwd=self.root)
        children = Path(f"/proc/{init.pid}/task/{init.pid}/children")
        within(5, children.read_text)
        self.enter = ["nsenter", "-t", children.read_text().strip(), "-m", "-p", "-r", "-w"]
        within(30, lambda: self.run("systemctl", "is-system-running", "--wait")[1].strip() in ("running", "degraded"))

    def must(self, *words):
        status, said = self.run(*words)
        if status:
            raise RuntimeError(f"{' '.join(words)}: status {status}\n{said}")
        return said

    def apt(self, *words):
        return self.run("apt-get", "-y", "-q", "-o", "Dpkg::Options::=--force-unsafe-io",
                        "-o", "Dpkg::Options::=--force-confold", *words)

    def install(self, deb, *words):
        shutil.copy(deb, self.root / "root")
        return self.apt("install", *words, f"/root/{deb.name}")

    def path(self, name):
        return self.root / name

    def files(self):
        """Every path that is not another's."""
        found = set()
        for at, folders, names in os.walk(self.root):
            here = os.path.relpath(at, self.root)
            folders[:] = [f for f in folders if not OTHERS.match(os.path.normpath(f"{here}/{f}"))]
            found.update(os.path.normpath(f"{here}/{name}") for name in folders + names)
        return {f for f in found if not OTHERS.match(f)}

    def users(self):
        return [self.path(f"etc/{name}").read_text() for name in ("passwd", "group", "shadow", "gshadow")]


def processes(name):
    """pid -> environment, of all whose command line begins with that."""
    found = {}
    for p in Path("/proc").glob("[0-9]*"):
        try:
            if p.joinpath("cmdline").read_bytes().startswith(name):
                found[int(p.name)] = p.joinpath("environ").read_bytes()
        except OSError:
            pass    # it has ended
    return found


def workers():
    """pid -> group, of all processes of the program."""
    found = {}
    for pid, environment in processes(b"/usr/bin/lorikeet").items():
        try:
            told = environment.decode() + Path(f"/proc/{pid}/cgroup").read_text()
        except OSError:
            continue    # it has ended
        name = re.search(r"(?:SUPERVISOR_PROCESS_NAME=|/)lorikeet-([a-z-]+)(?:\0|\.service)", told)
        found[pid] = name.group(1) if name else "?"
    return found


def repack(folder, deb, version, edits):
    """The package in another version, with lines added to files."""
    tree, made = folder / "repack", folder / f"lorikeet_{version}.deb"
    shutil.rmtree(tree, ignore_errors=True)
    subprocess.run(["dpkg-deb", "-R", deb, tree], check=True)
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^Version: .*$", f"Version: {version}", control.read_text()))
    for name, edit in edits.items():
        (tree / name).write_text(edit((tree / name).read_text()))
    sums = "find * -path DEBIAN -prune -o -type f -print | xargs md5sum >DEBIAN/md5sums"
    subprocess.run(["sh", "-c", sums], cwd=tree, check=True)
    subprocess.run(["dpkg-deb", "-b", "-Znone", "--root-owner-group", tree, made], check=True, capture_output=True)
    return made


class Load:
    """Four clients that ask the workers without a break, past nginx's cache."""
    def __init__(self):
        self.good, self.bad, self.stopping = 0, [], threading.Event()
        self.threads = [threading.Thread(target=self.ask, args=(i,)) for i in range(4)]

    def ask(self, n):
        while not self.stopping.is_set():
            n += 4
            status, _ = get(f"{URL}/{n % 50},{n % 40},200,200/100,/0/default.jpg", {"X-Lorikeet-No-Cache": "1"})
            if status == 200:
                self.good += 1
            else:
                self.bad.append(status)
            time.sleep(0.01)

    def __enter__(self):
        for t in self.threads:
            t.start()
        time.sleep(1)
        return self

    def __exit__(self, *_):
        time.sleep(1)
        self.stopping.set()
        for t in self.threads:
            t.join()


def get(url, headers={}):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as e:
        return e.code, b""
    except OSError as e:
        return str(e), b""


def check(what, *faults):
    """Good if nothing is wrong: each fault is None, False or empty, or tells."""
    told = [str(fault) for fault in faults if fault]
    print("not ok -" if told else "ok -", what, flush=True)
    for fault in told:
        print("\n".join(f"    | {line}" for line in fault.splitlines()[-30:]), flush=True)


def differs(what, is_, wanted):
    return None if is_ == wanted else f"{what}: {is_!r} instead of {wanted!r}"


def failed(status_and_said):
    status, said = status_and_said
    return f"status {status}\n{said}" if status else None


def within(seconds, condition):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return f"not within {seconds} s"
        time.sleep(0.1)
    return None


def modes(d, wanted):
    """Faults of "path: mode owner:group"."""
    told = []
    for path, want in wanted.items():
        is_ = d.run("stat", "-c", "%a %U:%G", f"/{path}")[1].strip()
        told.append(differs(path, is_, want))
    return [t for t in told if t]


def lack():
    """Fault unless every group has its workers."""
    wanted = sorted(name for name, number in GROUPS.items() for _ in range(number))
    return within(20, lambda: sorted(workers().values()) == wanted) and workers()


def enabled(d):
    """Which of the two sets would start with the system."""
    target = d.path("etc/systemd/system/multi-user.target.wants/lorikeet.target")
    return [name for name, link in (("supervisor", d.path(LINK)), ("systemd", target)) if link.is_symlink()]


# --- the chapters ---

def without_services(d, deb):
    before, users = d.files(), d.users()
    status, said = d.install(deb)
    check("install where nothing runs", failed((status, said)), " 1 newly installed" not in said and said)
    check("folders, configuration and program have their owners and modes", *modes(d, {
        CONF: "640 root:lorikeet", PROGRAMS: "644 root:root", "usr/bin/lorikeet": "755 root:root",
        "run/lorikeet": "2750 lorikeet:www-data", "var/cache/lorikeet": "700 www-data:root",
        "var/log/lorikeet": "750 root:adm", "var/lib/lorikeet/images": "755 root:root",
        "var/lib/lorikeet/originals": "750 lorikeet:lorikeet"}))
    check("the user has no home and no shell", differs(
        "passwd", d.must("getent", "passwd", "lorikeet").split(":")[5:], ["/nonexistent", "/usr/sbin/nologin\n"]))
    said = d.must("setpriv", "--reuid", "lorikeet", "--regid", "lorikeet", "--init-groups", "lorikeet", "check")
    check("the shipped configuration is valid, without a warning", "warning" in said and said)
    check("supervisor is chosen, systemd's units are not enabled", differs("enabled", enabled(d), ["supervisor"]))
    d.path(LINK).unlink()
    d.path(LINK).write_text("; of an administrator\n")
    status, said = d.apt("install", "--reinstall", f"/root/{deb.name}")
    check("a file of an administrator's in supervisor's folder stays", failed((status, said)),
          differs("told", "remove it first" in said, True), d.path(LINK).is_symlink())
    d.path(LINK).unlink()
    check("install once more", failed(d.apt("install", "--reinstall", f"/root/{deb.name}")))
    check("purge", failed(d.apt("purge", "lorikeet")))
    check("purge left nothing", sorted(d.files() ^ before), differs("users", d.users(), users))


def started(d, deb):
    d.must("service", "nginx", "start")
    d.must("service", "supervisor", "start")
    check("install beside a running supervisor", failed(d.install(deb)))
    check("all groups run", lack())
    check("sockets are nginx's to use", *modes(d, SOCKETS))
    check("nginx's default site is as it was, and Lorikeet's not enabled",
          differs("sites", os.listdir(d.path("etc/nginx/sites-enabled")), ["default"]))

    os.symlink("../sites-available/lorikeet", d.path("etc/nginx/sites-enabled/lorikeet"))
    d.path("etc/nginx/sites-enabled/default").unlink()
    old = processes(b"nginx: worker")
    check("nginx takes the site", failed(d.run("nginx", "-t")), failed(d.run("service", "nginx", "reload")),
          within(10, lambda: not old.keys() & processes(b"nginx: worker").keys()))
    Image.effect_noise((400, 300), 60).convert("RGB").save(d.path(IMAGE))
    asked = subprocess.run(["curl", "-sS", "-o", "/dev/stdout", "-w", "%{stderr}%{http_code}",
                            f"{URL}/full/!200,200/0/default.jpg"], capture_output=True)
    picture = Image.open(io.BytesIO(asked.stdout)) if asked.stderr == b"200" else None
    check("a picture by HTTP", differs("status", asked.stderr, b"200"),
          picture and differs("size", picture.convert("RGB").size, (200, 150)))
    logs = [d.path(f"var/log/lorikeet/lorikeet-{g}.log") for g in "ab"]
    check("workers log where supervisor bounds it",
          within(5, lambda: any("method=GET" in log.read_text() for log in logs)))


def upgraded(d, deb, newer):
    conf = d.path(CONF)
    conf.write_text(conf.read_text().replace("jpeg_quality = 85", "jpeg_quality = 70"))
    mine, old = conf.read_text(), workers()
    with Load() as load:
        status, said = d.install(newer)
    check("upgrade under load", failed((status, said)))
    check(f"no request of {load.good} failed", load.bad, load.good < 100 and "too few requests")
    check("every worker is a new one", lack(), set(old) & set(workers()))
    check("a changed configuration is kept, the new one lies beside it", differs("text", conf.read_text(), mine),
          differs("dpkg-dist", conf.with_name("lorikeet.conf.dpkg-dist").exists(), True),
          *modes(d, {CONF: "640 root:lorikeet"}))
    check("the groups are as the new version has them", differs("environment", new_environment(), True))

    old = workers()
    with Load() as load:
        status, said = d.install(deb, "--allow-downgrades")
    check("downgrade under load", failed((status, said)))
    check(f"no request of {load.good} failed", load.bad, load.good < 100 and "too few requests")
    check("every worker is an old one", lack(), set(old) & set(workers()),
          differs("environment", new_environment(), False))


def new_environment():
    """Of the processes above the workers, who forget theirs."""
    return any(b"LORIKEET_LOG_CLIENT=masked" in environment for environment in processes(b"/usr/bin/multiwatch").values())


def settle():
    """Until no worker has done anything for a second: they have read the configuration."""
    def done():
        return [Path(f"/proc/{pid}/stat").read_text().split()[13:15] for pid in workers()]
    before = None
    while before != (before := done()):
        time.sleep(1)


def refused(d, newer):
    settle()
    conf, old = d.path(CONF), workers()
    good = conf.read_text()
    conf.write_text("nonsense = 1;\n" + good)
    status, said = d.install(newer)
    check("an upgrade does not restart what the configuration would not let start", failed((status, said)),
          differs("told", "lorikeet reload" in said, True), sorted(set(workers().items()) ^ set(old.items())))
    conf.write_text(good)
    check("and does once it is mended", failed(d.run("lorikeet-pool", "restart")), lack(),
          set(old) & set(workers()), differs("environment", new_environment(), True))


def rotated(d):
    log = d.path("var/log/nginx/lorikeet.access.log")
    status, said = d.run("logrotate", "-v", "-f", "/etc/logrotate.conf")
    check("logs are rotated, once", failed((status, said)), "error:" in said and said,
          differs("files", sorted(p.name for p in log.parent.glob("lorikeet*")), [log.name, f"{log.name}.1"]))
    get(f"{URL}/info.json")
    check("nginx goes on in the new file", within(5, lambda: log.stat().st_size > 0))
    with open(log, "ab") as f:
        f.truncate(200 << 20)
    d.must("logrotate", "/etc/logrotate.conf")
    check("a large one is rotated before its day is over",
          differs("third", log.with_name(f"{log.name}.2.gz").exists(), True))


def switched(d):
    check("systemd's units are sound", *verify(d))
    check("systemd instead of supervisor", failed(d.run("lorikeet-pool", "use", "systemd")),
          differs("enabled", enabled(d), ["systemd"]), within(5, lambda: not workers()) and workers())
    check("that survives a reinstallation", failed(d.apt("install", "--reinstall", "/root/lorikeet_9.deb")),
          differs("enabled", enabled(d), ["systemd"]), workers())
    check("supervisor again", failed(d.run("lorikeet-pool", "use", "supervisor")), lack(),
          differs("enabled", enabled(d), ["supervisor"]))
    check("none at all", failed(d.run("lorikeet-pool", "use", "none")), workers(),
          failed(d.apt("install", "--reinstall", "/root/lorikeet_9.deb")), workers(), enabled(d))
    check("and supervisor once more", failed(d.run("lorikeet-pool", "use", "supervisor")), lack())


def verify(d):
    units = sorted(p.name for p in d.path("usr/lib/systemd/system").glob("lorikeet*"))
    status, said = d.run("systemd-analyze", "verify", "--man=no", *units)
    services = [u for u in units if u.endswith(".service")]
    return differs("status", status, 0), said, differs("services", len(services), len(GROUPS))


def removed(d):
    check("remove", failed(d.apt("remove", "lorikeet")), workers(), enabled(d),
          differs("supervisor's programs", d.run("supervisorctl", "status")[1], ""))
    check("configuration, image and a sound nginx stay", differs("conf", d.path(CONF).exists(), True),
          differs("image", d.path(IMAGE).exists(), True), failed(d.run("nginx", "-t")))


def purged(d, before, users):
    check("purge under nginx", failed(d.apt("purge", "lorikeet")))
    image = {IMAGE, *(str(p) for p in Path(IMAGE).parents if "lorikeet" in str(p))}
    check("purge left the image, and else nothing", differs("files", sorted(d.files() ^ before), sorted(image)),
          differs("users", d.users(), users), list(d.path("var/log").rglob("lorikeet*")))
    check("nginx is sound", failed(d.run("nginx", "-t")))


def booted(d, deb, newer):
    """Without supervisor, and with systemd as the first process."""
    d.must("service", "supervisor", "stop")
    d.must("service", "nginx", "stop")
    d.must("dpkg", "--purge", "supervisor")
    d.boot()
    check("without supervisor systemd is chosen", failed(d.install(deb, "--no-install-recommends")),
          differs("enabled", enabled(d), ["systemd"]))
    os.symlink("../sites-available/lorikeet", d.path("etc/nginx/sites-enabled/lorikeet"))
    d.must("systemctl", "restart", "nginx")
    check("systemd runs all groups", lack(), *modes(d, SOCKETS),
          differs("status", get(f"{URL}/full/!200,200/0/default.jpg")[0], 200))
    check("and looks at large logs", *(differs(word, d.run("systemctl", word, "lorikeet-logs.timer")[1].strip(), state)
                                       for word, state in (("is-enabled", "enabled"), ("is-active", "active"))))
    old = workers()
    with Load() as load:
        status = d.install(newer, "--no-install-recommends")
    check("upgrade under load, with systemd", failed(status))
    check(f"no request of {load.good} failed", load.bad, load.good < 100 and "too few requests")
    journal = d.must("journalctl", "--no-pager", "-u", "lorikeet-*").splitlines()
    check("every worker is a new one, the old ones ended by themselves", lack(), set(old) & set(workers()),
          differs("environment", new_environment(), True), "\n".join(line for line in journal if "timed out" in line))
    old = {pid for pid, group in workers().items() if group == "a"}
    d.must("systemctl", "kill", "--signal=KILL", "lorikeet-a")
    check("a killed group comes again", within(5, lambda: not old & set(workers())), lack())
    check("purge of that", failed(d.apt("purge", "lorikeet")), workers(), list(d.path("etc").rglob("*lorikeet*")))


def main():
    folder, base, deb = (Path(word) for word in sys.argv[1:])
    newer = repack(folder, deb, "9", {
        CONF: lambda text: text + "# Of the new version.\n",
        PROGRAMS: lambda text: text.replace("environment=", 'environment=LORIKEET_LOG_CLIENT="masked",'),
        **{f"usr/lib/systemd/system/lorikeet-{g}.service": lambda text: text + "Environment=LORIKEET_LOG_CLIENT=masked\n"
           for g in GROUPS}})
    d = Debian(folder, base)
    before, users = d.files(), d.users()
    without_services(d, deb)
    started(d, deb)
    upgraded(d, deb, newer)
    refused(d, newer)
    rotated(d)
    switched(d)
    removed(d)
    purged(d, before, users)
    booted(d, deb, newer)


if __name__ == "__main__":
    main()
