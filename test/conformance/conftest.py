# SPDX-License-Identifier: BSD-2-Clause
"""The servers of the suite. `server` has the worked examples' images behind rules with their limits."""
import os

import make_images
import pytest
from PIL import Image as Picture

from worked import IMAGES
from harness import Client, boot, config_text, limit_overrides
from exact import Abilities, Image, Limits

# Small and thin images for random requests, beside the examples'.
SMALL = {"dot": (1, 1), "few": (2, 3), "bar": (40, 1), "post": (1, 90), "mini": (17, 23), "half": (333, 501)}

# Limits for random requests: identifiers k0%2Fo and so on.
CLASSES = [
    Limits(), Limits(width=500), Limits(width=500, height=300, upscale=True), Limits(area=100000),
    Limits(area=100000, upscale=True), Limits(700, 2000, 250000, True), Limits(300, 2000),
    Limits(8000, 0, 3000000, True), Limits(1, 1), Limits(50, 40, 1000, True), Limits(64, 64, 64 * 64),
]


@pytest.fixture(scope="session")
def board_images(images, scratch):
    """A root whose files are named by the examples' letters in lower case, without suffix."""
    root = scratch / "boards"
    root.mkdir()
    for letter in {"A", "O", "G", "P", "S", "T", "V", "E", "F"}:
        os.link(images / f"{letter}.jpg", root / letter.lower())
    for name, (w, h) in SMALL.items():
        Picture.fromarray(make_images.board(w, h)).save(root / name, "JPEG", quality=95, subsampling=0)
    return root


@pytest.fixture(scope="session")
def board_sizes():
    sizes = {n: Image(w, h) for n, (w, h) in SMALL.items()}
    return sizes | {x.lower(): i for x, (i, _) in IMAGES.items() if x not in "ULRN"}


@pytest.fixture(scope="session")
def stack(binary, scratch, board_images):
    rules = [(f"{x.lower()}/", board_images, limit_overrides(IMAGES[x][1])) for x in "ULRNS"]
    rules += [(f"k{i}/", board_images, limit_overrides(limits)) for i, limits in enumerate(CLASSES)]
    rules.append(("", board_images, {}))
    config = config_text(rules, limits={"max_area": 0, "max_request_memory": 4 * 10 ** 9})
    with boot(scratch, binary, "examples", config) as running:
        yield running


@pytest.fixture(scope="session")
def server(stack):
    client = Client(stack.port)
    yield client
    client.close()


def identifier(letter):
    """An example image's identifier, as in a URI."""
    return f"{letter.lower()}%2F{'s' if letter == 'S' else 'a'}" if letter in "ULRNS" else letter.lower()


@pytest.fixture(scope="session")
def can(server):
    """What the server says it offers beyond level 2, so that the random tests follow it."""
    import json
    info = json.loads(server.get("/iiif/3/a/info.json").body)
    formats = {"jpg", "png"} | set(info.get("extraFormats", []))
    qualities = {"default"} | set(info.get("extraQualities", []))
    return Abilities(frozenset(formats), frozenset(qualities),
                     "rotationArbitrary" in info.get("extraFeatures", []), frozenset({400, 501}))
