# SPDX-License-Identifier: BSD-2-Clause
"""Keys for S3, from the first place that has any: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN;
~/.aws/credentials (AWS_PROFILE, AWS_SHARED_CREDENTIALS_FILE); the container's role; the machine's."""
import configparser
import json
import os
import urllib.request

ROLE_S = 2
ROLE_BYTES = 1 << 20
CONTAINER, MACHINE = "http://169.254.170.2", "http://169.254.169.254"


def asked(url, headers, method="GET"):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, headers=headers, method=method), timeout=ROLE_S) as answer:
        return answer.read(ROLE_BYTES).decode()


def from_environment():
    return [os.environ.get(n, "") for n in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")]


def from_file():
    file = configparser.ConfigParser(interpolation=None)
    file.read(os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or os.path.expanduser("~/.aws/credentials"))
    profile = os.environ.get("AWS_PROFILE", "default")
    return [file.get(profile, f"aws_{name}", fallback="") for name in ("access_key_id", "secret_access_key", "session_token")]


def of_role(text):
    found = json.loads(text)
    return [found["AccessKeyId"], found["SecretAccessKey"], found.get("Token", "")]


def from_container():
    relative, full = (os.environ.get(f"AWS_CONTAINER_CREDENTIALS_{which}_URI") for which in ("RELATIVE", "FULL"))
    if not relative and not full:
        return ["", "", ""]
    token = os.environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
    if path := os.environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"):
        with open(path) as file:
            token = file.read().strip()
    return of_role(asked(CONTAINER + relative if relative else full, {"Authorization": token} if token else {}))


def from_machine():
    if os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return ["", "", ""]
    base = (os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or MACHINE).rstrip("/")
    token = asked(f"{base}/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "300"}, "PUT")
    place, headers = f"{base}/latest/meta-data/iam/security-credentials/", {"X-aws-ec2-metadata-token": token}
    return of_role(asked(place + asked(place, headers).split("\n")[0], headers))


def credentials():
    """Access key, secret key, token; all empty where there are none."""
    for find in (from_environment, from_file, from_container, from_machine):
        try:
            if (found := find())[0]:
                return found
        except (OSError, ValueError, KeyError, TypeError, configparser.Error):
            pass
    return ["", "", ""]
