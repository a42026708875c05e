# SPDX-License-Identifier: BSD-2-Clause
"""The container's and the cloud's files: checked by their linters, and as far as they can be tried here."""
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import npm
import pytest
import yaml
from pool import write_command
from stack import REPO

PACKAGES = REPO / "test/deploy"
TEMPLATE, DOCKERFILE = REPO / "scripts/cloudformation.yml", REPO / "scripts/Dockerfile"
CIDR, NAMES, OWN_NAME = "10.20.0.0/16", "a.example.org b.example.org", "Stack-Balancer-1A.us-east-1.elb.amazonaws.com"


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
    values = {"NetworkCidr": CIDR, "Names": NAMES, "Balancer.DNSName": OWN_NAME, "Package": "s3://d/l.deb", "Configuration": "s3://d/l.conf",
              "AWS::Region": "us-east-1", "AWS::StackName": "stack"}
    return re.sub(r"\$\{([\w.:]+)\}", lambda m: values[m.group(1)], script)


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
    assert f"server_name {NAMES} {OWN_NAME} localhost" in text


def test_the_servers_keep_connections_longer_than_the_balancer(user_data, tmp_path):
    """Else it sends requests into closing ones: 502."""
    site = tmp_path / "site"
    shutil.copy(REPO / "nginx-sample.conf", site)
    edit = re.search(r"(?ms)^ *sed -i .*?\"\$site\"$", user_data).group(0)
    subprocess.run(["bash", "-euc", f"site={site}\n{edit}"], check=True)
    kept = [int(s) for s in re.findall(r"(?m)^    keepalive_timeout (\d+)s;", site.read_text())]
    idle = int(re.search(r'idle_timeout\.timeout_seconds, Value: "(\d+)"', TEMPLATE.read_text()).group(1))
    assert len(kept) == 2 and min(kept) > idle


def test_a_server_says_that_it_is_ready_when_it_is(user_data, tmp_path):
    """The stack is not made, and no other server replaced, until it did."""
    said, asked = tmp_path / "said", tmp_path / "asked"
    for name, script in (("curl", f'echo >>{asked}; [ "$(wc -l <{asked})" = 3 ]'), ("sleep", f'echo "sleep $*" >>{said}'),
                         ("aws", f'echo "aws $*" >>{said}'), ("cat", "echo i-0123")):
        write_command(tmp_path / name, f"#!/bin/sh\n{script}\n")
    last = user_data[user_data.index("until curl"):]
    subprocess.run(["bash", "-euc", last], check=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    policy = template()["Resources"]["ServersGroup"]
    assert said.read_text().splitlines() == ["sleep 1", "sleep 1", "sleep 30",
        "aws cloudformation signal-resource --region us-east-1 --stack-name stack --status SUCCESS --logical-resource-id ServersGroup "
        "--unique-id i-0123"]
    assert policy["CreationPolicy"]["ResourceSignal"]["Count"] == "Servers"
    assert policy["UpdatePolicy"]["AutoScalingRollingUpdate"]["WaitOnResourceSignals"] is True
    assert "cloudformation:SignalResource" in TEMPLATE.read_text()


def template():
    """!Ref X and the like are X here."""
    class Loader(yaml.SafeLoader):
        pass
    kinds = {yaml.ScalarNode: Loader.construct_scalar, yaml.SequenceNode: Loader.construct_sequence, yaml.MappingNode: Loader.construct_mapping}
    Loader.add_multi_constructor("!", lambda loader, _, node: kinds[type(node)](loader, node))
    return yaml.load(TEMPLATE.read_text(), Loader)


def found(tree, key):
    """The values of the key, wherever it is."""
    for k, v in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        if k == key:
            yield v
        yield from found(v, key)


def test_nothing_outlives_the_stack():
    resources = template()["Resources"]
    assert not [*found(resources, "DeletionPolicy"), *found(resources, "UpdateReplacePolicy")]
    assert [disk["DeleteOnTermination"] for disk in found(resources, "Ebs")] == [True]
    assert "deletion_protection" not in TEMPLATE.read_text()
    # These would stay, or refuse to go, with what was put into them.
    assert not {r["Type"] for r in resources.values()} & {"AWS::S3::Bucket", "AWS::Logs::LogGroup", "AWS::EC2::Volume", "AWS::ECR::Repository"}


def test_the_readmes_test_environment(tmp_path):
    """Its commands, with an aws that notes what it is asked."""
    chapter = (REPO / "README.md").read_text().split("\n### The same on AWS\n", 1)[1].split("\n#", 1)[0]
    script = "".join(line[4:] + "\n" for line in chapter.splitlines() if line.startswith("    "))
    (tmp_path / "scripts").mkdir()
    write_command(tmp_path / "aws", '#!/bin/sh\necho "aws $*" >>said\n[ "$2" != describe-stacks ] || echo "Balancer-$4.elb.amazonaws.com"\n')
    write_command(tmp_path / "scripts/corpus-check", '#!/bin/sh\necho "check $*" >>said\n')
    subprocess.run(["bash", "-euc", script], check=True, cwd=tmp_path, env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    said = (tmp_path / "said").read_text().splitlines()
    made = [line for line in said if "deploy --template-file" in line]
    [check] = [line for line in said if line.startswith("check ")]
    assert re.search(r"--against http://balancer-lorikeet-old\.\S+/iiif/3 http://balancer-lorikeet-new\.\S+/iiif/3$", check)
    assert said[-2:] == [f"aws cloudformation delete-stack --stack-name lorikeet-{name}" for name in ("old", "new")]
    assert len(made) == 2 and "--stack-name lorikeet-old" in made[0] and "--stack-name lorikeet-new" in made[1]
    known = template()["Parameters"]
    for line in made:
        given = dict(word.split("=") for word in line.split("--parameter-overrides ")[1].split())
        assert given.keys() <= known.keys()
        assert {name for name, parameter in known.items() if "Default" not in parameter} <= given.keys()
        for name, value in given.items():
            assert re.fullmatch(known[name].get("AllowedPattern", ".+"), value), name


def test_the_template_takes_what_the_cluster_does():
    """As many servers, and versions by the names of packages."""
    known = template()["Parameters"]
    usage = subprocess.run([REPO / "scripts/cluster", "--help"], capture_output=True, text=True, check=True).stdout
    limits = subprocess.run([REPO / "scripts/cluster", "999"], capture_output=True, text=True).stderr
    least, most = map(int, re.search(r"N, from (\d+) to (\d+)", limits).groups())
    assert known["Servers"]["MinValue"] <= least and most <= known["Servers"]["MaxValue"]
    assert "--version SHA|FILE.deb" in usage and "--images DIR" in usage
    package = known["Package"]["AllowedPattern"]
    assert re.fullmatch(package, "s3://my-deploys/lorikeet_0.1.0_amd64.deb") and not re.fullmatch(package, "s3://my-deploys/lorikeet.tar")
    rows = re.findall(r"(?m)^\| `(.+?)` \| `(\w+)`", (REPO / "README.md").read_text().split("| scripts/cluster | ")[1].split("\n\n")[0])
    assert [row[0] for row in rows] == ["N", "--version FILE.deb", "--images DIR"] and {row[1] for row in rows} <= known.keys()


def test_the_balancer_asks_what_the_site_answers():
    path = re.search(r"HealthCheckPath: (\S+)", TEMPLATE.read_text()).group(1)
    assert re.search(re.search(r"location ~ (\^/health\S+)", (REPO / "nginx-sample.conf").read_text()).group(1).replace("?<", "?P<"), path)


def test_the_container_has_what_its_programs_need():
    commands = re.findall(r"(?m)^command=(\S+)", (REPO / "scripts/container.conf").read_text())
    assert commands == ["/usr/bin/systemd-tmpfiles", "/usr/sbin/nginx"]
    assert Path(commands[1]).exists()
