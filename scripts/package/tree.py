# SPDX-License-Identifier: BSD-2-Clause
"""Everything in the Debian package but the program: tree.py PROGRAM VERSION MAINTAINER ROOT writes it below ROOT.

What the repository has is taken as it is. Made from that are the units of systemd (from scripts/supervisor.conf, so
that a group stands in one place), the configuration and its manual page (from the program's table of options), the
commands in lorikeet(1) and the changelog.
"""
import configparser
import gzip
import os
import re
import subprocess
import sys
import textwrap
from datetime import datetime, timezone
from email.utils import format_datetime
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent.parent
UNITS = "usr/lib/systemd/system"
EXAMPLES = ("nginx-main.conf", "balancer-nginx.conf", "balancer-haproxy.cfg", "nginx.mtail", "prometheus.yml", "prometheus-rules.yml",
            "grafana-dashboard.json")

UNIT = """\
# Made from /etc/lorikeet/supervisor.conf as it is shipped.
[Unit]
Description=Lorikeet, an IIIF Image API server: group {group}
Documentation=man:lorikeet(1) man:lorikeet-pool(8)
PartOf=lorikeet.target
ConditionPathExists=!/etc/supervisor/conf.d/lorikeet.conf
StartLimitIntervalSec=0

[Service]
User={user}
WorkingDirectory={directory}
{environment}
ExecStart={command}
SyslogIdentifier=lorikeet-{group}
# As supervisor does: a signal to workers beside multiwatch's own can reach one that it has just started in vain.
KillMode=mixed
Restart=always
RestartSec=1
# multiwatch tells its group to stop.
KillMode=mixed
TimeoutStopSec={stopwaitsecs}
"""

TARGET = """\
[Unit]
Description=Lorikeet, an IIIF Image API server: all groups
Documentation=man:lorikeet(1) man:lorikeet-pool(8)
Wants={wants}

[Install]
WantedBy=multi-user.target
"""

# What a unit has in the same way, by default or by its template; any other key needs a thought.
SAME = {"autostart": "true", "autorestart": "true", "startretries": None, "killasgroup": "true", "redirect_stderr": "true",
        "stdout_logfile": None, "stdout_logfile_maxbytes": None, "stdout_logfile_backups": None}
TRANSLATED = {"command", "environment", "user", "directory", "stopwaitsecs"}


def text_of(path):
    return (REPO / path).read_text()


def output_of(program, word):
    return subprocess.run([program, word], check=True, capture_output=True, text=True).stdout


# --- systemd ---

def unit(group, program):
    for key, value in program.items():
        if key not in TRANSLATED and (key not in SAME or SAME[key] not in (None, value)):
            raise ValueError(f"scripts/supervisor.conf: {key}={value}: say here what that is for systemd")
    pairs = re.findall(r'(\w+)="([^"]*)"', program["environment"])
    if ",".join(f'{name}="{value}"' for name, value in pairs) != program["environment"]:
        raise ValueError(f"scripts/supervisor.conf: environment={program['environment']} is not NAME=\"value\",...")
    environment = "\n".join(f'Environment="{name}={value}"' for name, value in pairs)
    return UNIT.format(**{**program, "group": group, "environment": environment})


def units(supervisor):
    """Both escape % as %%, and the command is the same."""
    parser = configparser.RawConfigParser(comment_prefixes=(";",), strict=True)
    parser.read_string(supervisor)
    names = [section.removeprefix("program:") for section in parser.sections()]
    made = {f"{name}.service": unit(name.removeprefix("lorikeet-"), dict(parser[f"program:{name}"])) for name in names}
    made["lorikeet.target"] = TARGET.format(wants=" ".join(f"{name}.service" for name in names))
    return made


# --- manual pages ---

def roff(text):
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace('"', "\\(dq")
    return "\\&" + text if text.startswith(".") else text


def commands(usage):
    """Of the paragraph that is indented: "  words   what it does", and further lines of that."""
    paragraph = next(p for p in usage.split("\n\n") if p.startswith("  "))
    out = []
    for line in paragraph.splitlines():
        words, _, what = line.strip().partition("   ") if re.match(r"  \S", line) else ("", "", line)
        if words:
            out.append(f".TP\n.B {roff(words)}")
        if what.strip():
            out.append(roff(what.strip()))
    return "\n".join(out)


CONF_HEAD = r"""
.TH LORIKEET.CONF 5
.SH NAME
lorikeet.conf \- configuration of the IIIF Image API server Lorikeet
.SH SYNOPSIS
.I /etc/lorikeet/lorikeet.conf
.SH DESCRIPTION
Sections of options, and a list of rules that say where originals are.
Every option may be left out.
The environment variable that stands beside it wins over the file; in variables a comma separates the words of a list.
Unknown options and bad values are errors;
.B lorikeet check
finds them.
.PP
.nf
limits: { max_width = 8000; };
rules = (
    { prefix = \(dqmaps/\(dq; root = \(dq/srv/maps\(dq; immutable = true; },
    { prefix = \(dq\(dq; root = \(dq/var/lib/lorikeet/images\(dq; }
);
.fi
""".lstrip()

CONF_TAIL = r"""
.SH SEE ALSO
.BR lorikeet (1),
.BR lorikeet\-pool (8)
"""


def options(config):
    """From what --print-config writes: "name: {" opens a section, comments precede "key = value;"."""
    out, comments = [], []
    for line in config.splitlines():
        line = line.strip()
        if section := re.fullmatch(r"(\w+)(: \{| = \()", line):
            out.append(f".SH {section.group(1).upper()}")
            out += [roff(c) for c in comments if section.group(1) == "rules"]
            comments = []
        elif option := re.fullmatch(r"(\w+) = (.*);", line):
            out.append(f".TP\n.B {roff(option.group(1))} = {roff(option.group(2))}")
            out.append("\n.br\n".join(roff(c) for c in comments))
            comments = []
        elif line.startswith("#"):
            comments.append(line.removeprefix("#").strip())
        elif line not in ("", "{", "}", "};", ");"):
            raise ValueError(f"--print-config: {line}: not understood")
    return "\n".join(out)


# --- the changelog as Debian writes it ---

def changelog(text, version, maintainer):
    stamp = os.environ.get("SOURCE_DATE_EPOCH") or (REPO / "CHANGELOG.md").stat().st_mtime
    when = format_datetime(datetime.fromtimestamp(float(stamp), timezone.utc))
    entries = []
    for title, body in re.findall(r"^## (.*)\n((?:(?!## ).*\n)*)", text, re.M):
        items = [" ".join(item.split()) for item in re.findall(r"^- ((?:.+\n)(?:  .+\n)*)", body, re.M)]
        number = version if title == "Unreleased" else title.split()[0]
        lines = "".join(textwrap.fill(item, 79, initial_indent="  * ", subsequent_indent="    ") + "\n" for item in items)
        entries.append(f"lorikeet ({number}) unstable; urgency=medium\n\n{lines}\n -- {maintainer}  {when}\n")
    return "\n".join(entries)


# --- the tree ---

def write(path, text, mode=0o644):
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text.encode()
    path.write_bytes(gzip.compress(data, 9, mtime=0) if path.suffix == ".gz" else data)
    path.chmod(mode)


def tree(program, version, maintainer):
    """Path -> text, or text and mode."""
    supervisor = text_of("scripts/supervisor.conf").replace("/usr/local/bin/", "/usr/bin/")
    config = output_of(program, "--print-config")
    return {
        "etc/lorikeet/lorikeet.conf": (config, 0o640),
        "etc/lorikeet/supervisor.conf": supervisor,
        "etc/logrotate.d/lorikeet": text_of("scripts/package/logrotate"),
        "etc/nginx/sites-available/lorikeet": text_of("nginx-sample.conf"),
        "usr/lib/tmpfiles.d/lorikeet.conf": text_of("scripts/tmpfiles.conf"),
        f"{UNITS}/lorikeet-logs.timer": text_of("scripts/package/logs.timer"),
        **{f"{UNITS}/{name}": made for name, made in units(supervisor).items()},
        "usr/share/lintian/overrides/lorikeet": text_of("scripts/package/lintian-overrides"),
        "usr/share/man/man1/lorikeet.1.gz":
            text_of("scripts/package/lorikeet.1").replace("@COMMANDS@", commands(output_of(program, "--help"))),
        "usr/share/man/man5/lorikeet.conf.5.gz": CONF_HEAD + options(config) + CONF_TAIL,
        "usr/share/man/man8/lorikeet-pool.8.gz": text_of("scripts/package/lorikeet-pool.8"),
        "usr/share/doc/lorikeet/README.md.gz": text_of("README.md"),
        "usr/share/doc/lorikeet/copyright": text_of("LICENSE"),
        "usr/share/doc/lorikeet/changelog.gz": changelog(text_of("CHANGELOG.md"), version, maintainer),
        **{f"usr/share/doc/lorikeet/examples/{name}": text_of(f"scripts/{name}") for name in EXAMPLES},
    }


def main():
    program, version, maintainer, root = sys.argv[1:]
    os.umask(0o022)
    for path, what in tree(program, version, maintainer).items():
        write(Path(root) / path, *(what if isinstance(what, tuple) else (what,)))


if __name__ == "__main__":
    main()
