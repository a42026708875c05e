# SPDX-License-Identifier: BSD-2-Clause
"""A stack with a cache for originals over the network, and its rules, for the end-to-end tests."""
import os
import pwd
import subprocess

from bench import Served, sample
from libconfig import setting
from stack import WORKER_USER, Stack


def group(options):
    return "{ " + " ".join(f"{k} = {setting(v)};" for k, v in options.items()) + " }"


def rule(prefix, type="http", **options):
    return {"prefix": prefix, "type": type, **options}


def config_text(rules, **sections):
    text = "".join(f"{name}: {group(options)};\n" for name, options in sections.items())
    return text + "rules = (\n" + ",\n".join(group(r) for r in rules) + "\n);\n"


def give_to_worker(path):
    """To the workers' own user, where tests run as root."""
    if os.geteuid() == 0:
        user = pwd.getpwnam(WORKER_USER)
        os.chown(path, user.pw_uid, user.pw_gid)


def as_root(shop, *words, preload=None):
    """The command as whoever runs the tests."""
    # A process that changes its user cannot be looked into for leaks.
    env = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0", "LORIKEET_CACHE_TEMPORARY": str(shop.folder / "s/run/temporary"),
           "LORIKEET_CACHE_NGINX_FOLDER": str(shop.folder / "s/cache")}
    if preload:
        env["LD_PRELOAD"] = str(preload)
    return subprocess.run([shop.binary, "--config", shop.config, *words], capture_output=True, text=True, timeout=60, env=env)


def as_worker(command):
    """The command, to be run by the workers' own user."""
    if os.geteuid() != 0:
        return command
    return ["setpriv", f"--reuid={WORKER_USER}", f"--regid={WORKER_USER}", "--clear-groups", *command]


class Shop(Served):
    """rules and cache (options of that section) as the configuration has them; folder is made."""

    def __init__(self, folder, binary, rules, cache=None, changes=None, fetchers=2, workers=2, make_cache=True, env=None,
                 address="127.0.0.1", **sections):
        folder.mkdir()
        folder.chmod(0o755)
        self.folder, self.binary = folder, binary
        self.images = folder.parent / "images"
        self.cache = folder / "originals"
        options = {"folder": str(self.cache), "min_free_bytes": 0, **(cache or {})}
        self.config = folder / "lorikeet.conf"
        self.config.write_text(config_text(rules, cache=options, **sections))
        if make_cache:
            self.make_cache()
        self.stack = Stack(folder / "s", binary, self.config, workers=workers, fetchers=fetchers,
                           nginx_conf=sample(folder, changes or {}), worker_env=env, address=address)

    def make_cache(self):
        self.cache.mkdir(exist_ok=True)
        give_to_worker(self.cache)
        self.run("cache", "init")

    def run(self, *words, check=True):
        """The command line, as the workers' user."""
        command = [self.binary, "--config", self.config, *words]
        done = subprocess.run(as_worker(command), capture_output=True, text=True, timeout=120,
                              env={**os.environ, "LORIKEET_CACHE_TEMPORARY": str(self.folder / "s/run/temporary"),
                                   "LORIKEET_CACHE_NGINX_FOLDER": str(self.folder / "s/cache")})
        assert not check or done.returncode == 0, done.stderr
        return done

    def words(self):
        """The last words of all logs."""
        groups = self.stack.GROUPS + self.stack.FETCH_GROUPS
        return "\n".join(self.stack.log(f"lorikeet-{g}.log")[-800:] for g in groups)

    def held(self):
        """Bytes of the files in the cache."""
        total = 0
        for path in self.cache.rglob("*"):
            try:
                if path.parent.parent.name == "files-1" or path.parent.name == "parts-1":
                    total += path.stat().st_size
            except FileNotFoundError:
                pass
        return total

    def metric(self, name):
        text = self.get("/metrics").body.decode()
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(f"lorikeet_{name} "))
