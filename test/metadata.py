# SPDX-License-Identifier: BSD-2-Clause
"""A metadata service on loopback that gives the keys of a role, as a machine's (IMDS) and as a container's.

    with Metadata("testkey", "testsecret", lifetime_s=3600) as service:
        environment = service.machine      # or service.container
        service.state = HANGS              # or REFUSES, WORKS
        service.puts = False               # version 1 only: PUT stays unanswered
        assert service.calls["keys"] == 1  # by kind: token, role, keys, container, denied, unanswered
"""
import collections
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORKS, HANGS, REFUSES = "works", "hangs", "refuses"
ROLES = "/latest/meta-data/iam/security-credentials/"
ROLE = "image-server"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def reply(self, status, kind="", body="", content_type="text/plain"):
        self.server.service.calls[kind or "denied"] += 1
        body = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def works(self, answered=True):
        """False if the service shall not answer: then the connection ends at once (REFUSES) or with the service."""
        service = self.server.service
        if service.state == WORKS and answered:
            return True
        service.calls["unanswered"] += 1
        if service.state != REFUSES:
            service.ended.wait()
        self.close_connection = True
        return False

    def do_PUT(self):
        service = self.server.service
        if not self.works(service.puts):
            return None
        if self.path != "/latest/api/token" or not self.headers.get("X-aws-ec2-metadata-token-ttl-seconds"):
            return self.reply(400)
        token = secrets.token_urlsafe(40)
        service.tokens.add(token)
        return self.reply(200, "token", token)

    def do_GET(self):
        service = self.server.service
        if not self.works():
            return None
        if self.path == service.container_path:
            if self.headers.get("Authorization") != service.authorization:
                return self.reply(401)
            return self.reply(200, "container", service.keys(), "application/json")
        token = self.headers.get("X-aws-ec2-metadata-token")
        if token not in service.tokens and (token or service.puts):
            return self.reply(401)
        if self.path == ROLES and service.has_role:
            return self.reply(200, "role", ROLE)
        if self.path == ROLES + ROLE and service.has_role:
            return self.reply(200, "keys", service.keys())
        return self.reply(404)


class Metadata:
    container_path = "/v2/credentials/role?of=lorikeet"

    def __init__(self, access_key, secret_key, token="", lifetime_s=3600):
        self.access_key, self.secret_key, self.token = access_key, secret_key, token
        self.lifetime_s = lifetime_s    # of the keys of each answer from then on
        self.puts = self.has_role = True
        self.authorization = "Basic " + secrets.token_hex(8)
        self.tokens, self.calls, self.ended = set(), collections.Counter(), threading.Event()
        self._state, self._server, self.port = WORKS, None, 0
        self._listen()

    def _listen(self):
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._server.service = self
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def _close(self):
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    @property
    def state(self):
        return self._state

    @state.setter
    def state(self, state):
        self._state = state
        if state == REFUSES:
            self._close()
        elif not self._server:
            self._listen()

    def keys(self):
        until = time.gmtime(time.time() + self.lifetime_s)
        return json.dumps({
            "Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": self.access_key, "SecretAccessKey": self.secret_key,
            "Token": self.token, "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", until)})

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def machine(self):
        """The environment of a process on a machine with a role."""
        return {"AWS_EC2_METADATA_SERVICE_ENDPOINT": self.url}

    @property
    def container(self):
        """The environment of a process in a container with a role."""
        return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": self.url + self.container_path,
                "AWS_CONTAINER_AUTHORIZATION_TOKEN": self.authorization}

    def stop(self):
        self.ended.set()
        self._close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stop()
