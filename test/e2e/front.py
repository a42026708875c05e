# SPDX-License-Identifier: BSD-2-Clause
"""A small nginx of a test's own, that stands in for what may be in front of Lorikeet: a balancer, a CDN."""
import os
import socket
import subprocess

from stack import NGINX_USER, end_within, free_port, wait_for
from web import Client

MAIN = """\
daemon off;
{user}
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    client_body_temp_path {folder}/body;
    fastcgi_temp_path {folder}/fastcgi;
    proxy_temp_path {folder}/proxy;
    scgi_temp_path {folder}/scgi;
    uwsgi_temp_path {folder}/uwsgi;
    access_log off;
    merge_slashes off;
    large_client_header_buffers 4 16k;
    {text}
}}
"""


class Front:
    """text: what is in nginx's http block, with {folder} and, behind listen, {listen}."""

    def __init__(self, folder, text):
        folder.mkdir()
        folder.chmod(0o755)
        self.folder, self.port = folder, free_port()
        user = f"user {NGINX_USER};" if os.geteuid() == 0 else ""
        text = text.replace("{listen}", f"127.0.0.1:{self.port}").replace("{folder}", str(folder))
        (folder / "nginx.conf").write_text(MAIN.format(folder=folder, user=user, text=text))

    def __enter__(self):
        self.nginx = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", "nginx", "-p", f"{self.folder}/", "-c",
                                       f"{self.folder}/nginx.conf"], cwd="/", start_new_session=True,
                                      stderr=open(self.folder / "console.log", "ab"))
        wait_for(f"nginx on port {self.port}", 10, self.listens)
        self.client = Client(self.port)
        return self

    def listens(self):
        assert self.nginx.poll() is None, (self.folder / "console.log").read_text()
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def __exit__(self, *_):
        self.nginx.terminate()
        end_within(self.nginx, 10)

    def get(self, target, method="GET", **headers):
        return self.client.ask(target, method, **headers)
