# SPDX-License-Identifier: BSD-2-Clause
"""The container's and the cloud's files: checked by their linters, and as far as they can be tried here."""
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import npm
import pytest
from stack import REPO

PACKAGES = REPO / "test/deploy"
TEMPLATE, DOCKERFILE = REPO / "scripts/cloudformation.yml", REPO / "scripts/Dockerfile"
CIDR, NAMES = "10.20.0.0/16", "a.example.org b.example.org"


@pytest.fixture(scope="module")
def tools():
    """node_modules of the fixed versions, fetched once."""
    lock = (PACKAGES / "package-lock.json").read_bytes()
    target = npm.CACHE / f"deploy-{hashlib.sha256(lock).hexdigest()[:12]}"
    if not target.exists():
        part = target.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(PACKAGES, part)
        subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], cwd=part, check=True, timeout=300)
        # The linter's own list of resources is years old.
        modules = part / "node_modules"
        shutil.copy(modules / "@aws-cdk/cfnspec/spec/specification.json", modules / "cfn-lint/data/aws_resources_specification.json")
        part.rename(target)
    return target / "node_modules/.bin"


def check_template(tools, path):
    # It makes up parameters, but no ARN.
    words = ["validate", path, "--parameters", "Certificate=arn:aws:acm:us-east-1:123456789012:certificate/x"]
    done = subprocess.run([tools / "cfn-lint", *words], capture_output=True, text=True, timeout=60)
    return re.sub(r"\x1b\[\d+m", "", done.stdout + done.stderr)


def test_the_cloud_template_is_valid(tools, tmp_path):
    said = check_template(tools, TEMPLATE)
    assert "Template valid!" in said and "0 warn" in said, said
    for right, wrong in (("HealthCheckPath:", "HealthPath:"), ("!Ref Targets", "!Ref Target"), ("AWS::SNS::Topic", "AWS::SNS::Topi")):
        broken = tmp_path / "broken.yml"
        broken.write_text(TEMPLATE.read_text().replace(right, wrong))
        assert "Template invalid!" in check_template(tools, broken), wrong


def test_the_dockerfile_has_no_issues(tools, tmp_path):
    def lint(path):
        return subprocess.run([tools / "dockerfilelint", path], capture_output=True, text=True, timeout=60).stdout
    assert "Issues: None found" in lint(DOCKERFILE)
    broken = tmp_path / "Dockerfile"
    broken.write_text(DOCKERFILE.read_text().replace("EXPOSE 80", "EXPOSE eighty"))
    assert "Issues: None found" not in lint(broken)


def test_the_dockerfile_copies_what_is_there():
    copied = re.findall(r"(?m)^COPY (?!--from)(\S+) ", DOCKERFILE.read_text())
    assert len(copied) == 2 and all((REPO / path).exists() for path in copied)
    ran = re.findall(r"scripts/(setup|build) (\w+)", DOCKERFILE.read_text())
    assert ran == [("setup", "package"), ("build", "release")]


@pytest.fixture(scope="module")
def user_data():
    text = TEMPLATE.read_text()
    indent = " " * 12
    start = text.index(f"{indent}#!/bin/bash")
    script = "".join(line[12:] + "\n" for line in text[start:text.index("\n\n", start)].splitlines())
    values = {"NetworkCidr": CIDR, "Names": NAMES, "Package": "s3://d/l.deb", "Configuration": "s3://d/l.conf"}
    return re.sub(r"\$\{(\w+)\}", lambda m: values[m.group(1)], script)


def test_what_a_new_server_runs_is_a_script(user_data, tmp_path):
    script = tmp_path / "user-data"
    script.write_text(user_data)
    done = subprocess.run(["shellcheck", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_a_new_server_believes_the_balancer_and_knows_its_names(user_data, tmp_path):
    site = tmp_path / "site"
    shutil.copy(REPO / "nginx-sample.conf", site)
    edit = re.search(r"(?ms)^ *sed -i .*?\"\$site\"$", user_data).group(0)
    subprocess.run(["bash", "-euc", f"site={site}\n{edit}"], check=True)
    text = site.read_text()
    assert re.search(rf"(?m)^    {CIDR} 1;$", text)
    assert re.search(rf"(?m)^    set_real_ip_from {CIDR};$", text)
    assert f"server_name {NAMES} localhost" in text


def test_the_servers_keep_connections_longer_than_the_balancer(user_data, tmp_path):
    """Else it sends requests into closing ones: 502."""
    site = tmp_path / "site"
    shutil.copy(REPO / "nginx-sample.conf", site)
    edit = re.search(r"(?ms)^ *sed -i .*?\"\$site\"$", user_data).group(0)
    subprocess.run(["bash", "-euc", f"site={site}\n{edit}"], check=True)
    kept = [int(s) for s in re.findall(r"(?m)^    keepalive_timeout (\d+)s;", site.read_text())]
    idle = int(re.search(r'idle_timeout\.timeout_seconds, Value: "(\d+)"', TEMPLATE.read_text()).group(1))
    assert len(kept) == 2 and min(kept) > idle


def test_the_balancer_asks_what_the_site_answers():
    path = re.search(r"HealthCheckPath: (\S+)", TEMPLATE.read_text()).group(1)
    assert re.search(re.search(r"location ~ (\^/health\S+)", (REPO / "nginx-sample.conf").read_text()).group(1).replace("?<", "?P<"), path)


def test_the_container_has_what_its_programs_need():
    commands = re.findall(r"(?m)^command=(\S+)", (REPO / "scripts/container.conf").read_text())
    assert commands == ["/usr/bin/systemd-tmpfiles", "/usr/sbin/nginx"]
    assert Path(commands[1]).exists()
