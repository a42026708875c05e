# SPDX-License-Identifier: BSD-2-Clause
"""The options of the log, through nginx and the pool: which lines, in which form, with whose address."""
import json

import pytest

from harness import Client, boot, config_text
from stack import wait_for


@pytest.fixture(params=[
    {"format": "json", "requests": "all", "client": "full"}, {"format": "logfmt", "requests": "errors", "client": "masked"},
    {"format": "json", "requests": "slow:60000", "client": "none"}], ids=lambda p: "-".join(p.values()))
def logged(request, binary, scratch, images):
    """The options, the lines, and the replies to a good and a bad request with odd bytes."""
    name = f"log-{request.param['client']}"
    config = config_text([("", images, {})], log=request.param, server={"server_timing": request.param["format"] == "json"})
    with boot(scratch, binary, name, config) as stack:
        client = Client(stack.port)
        replies = [client.get("/iiif/3/S.jpg/full/max/0/default.jpg?secret=1"),
                   client.get('/iiif/3/no%0Asuch"\xe9/full/max/0/default.jpg')]
        replies.append(client.get("/iiif/3/cut.jpg/full/max/0/default.jpg"))

        def lines():
            text = "".join(stack.log(f"lorikeet-{g}.log") for g in "ab")
            return [line for line in text.splitlines() if "method=GET" in line or '"method":"GET"' in line]
        wait_for("the last line", 5, lambda: any("cut.jpg" in line for line in lines()))
        yield request.param, lines(), replies


def test_lines(logged):
    options, lines, replies = logged
    assert [r.status for r in replies] == [200, 400, 500]
    assert all(("Server-Timing" in r.headers) == (options["format"] == "json") for r in replies)
    mine = [line for line in lines if "S.jpg" in line or "no%0Asuch" in line or "cut.jpg" in line]
    assert len(mine) == {"all": 3, "errors": 2, "slow:60000": 1}[options["requests"]]
    for line in mine:
        assert "secret" not in line and len(line) < 4096
        if options["format"] == "json":
            fields = json.loads(line)
            assert fields["method"] == "GET" and isinstance(fields["status"], int) and fields["id"]
        address = {"full": "127.0.0.1", "masked": "127.0.0.0", "none": None}[options["client"]]
        assert ("client" in line) == (address is not None) and (not address or address in line)
    damaged = next(line for line in mine if "cut.jpg" in line)
    assert "damaged" in damaged and "why" in damaged and "read" in damaged
