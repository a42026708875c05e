# SPDX-License-Identifier: BSD-2-Clause
"""A small HTTP client over one kept connection, that sends the target byte for byte."""
import http.client
import io
import json
import threading

import numpy as np
from PIL import Image

Image.MAX_IMAGE_PIXELS = None


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def header(self, name):
        """All values of a header, joined; None without one."""
        values = [v for k, v in self.headers if k.lower() == name.lower()]
        return ", ".join(values) if values else None

    @property
    def picture(self):
        return Image.open(io.BytesIO(self.body))

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def pixels(self):
        return np.asarray(self.picture.convert("RGB")).astype(int)

    @property
    def canonical(self):
        """The address in Link that is rel=canonical."""
        link = self.header("Link") or ""
        return link.partition(">;rel=\"canonical\"")[0].removeprefix("<")


class Client:
    def __init__(self, port, host="127.0.0.1", timeout=60):
        self.address, self.timeout, self.local = (host, port), timeout, threading.local()

    def _connection(self, anew):
        if anew or not hasattr(self.local, "connection"):
            self.local.connection = http.client.HTTPConnection(*self.address, timeout=self.timeout)
        return self.local.connection

    def ask(self, target, method="GET", **headers):
        headers = {k.replace("_", "-"): v for k, v in headers.items()}
        for anew in (False, True):
            connection = self._connection(anew)
            try:
                connection.putrequest(method, target, skip_host="Host" in headers, skip_accept_encoding=True)
                for name, value in headers.items():
                    connection.putheader(name, value)
                connection.endheaders()
                reply = connection.getresponse()
                return Reply(reply.status, reply.getheaders(), reply.read())
            except (http.client.BadStatusLine, ConnectionError, BrokenPipeError):
                connection.close()
                if anew:
                    raise
        return None
