# SPDX-License-Identifier: BSD-2-Clause
"""Random requests against the exact reference: status, canonical form, size, and where things are.

LORIKEET_SEED repeats a run or tries another. Most requests are HEAD, which is answered undecoded.
"""
import pytest

import draw
from conftest import CLASSES
from exact import answer
from harness import VERSIONS, check_board, dice

HEADS, PICTURES, LARGEST = 3000, 200, 700 * 700
LOOSE = {200, 400, 404, 413, 501}  # where the text has no single answer


def drawn(r, version, sizes):
    """(limits, raw identifier, image, path below it)"""
    name = r.choice(list(sizes))
    n = r.randrange(len(CLASSES))
    identifier = f"k{n}%2F{name}"
    if r.random() < 0.1:
        identifier = draw.escaped(r, f"k{n}") + r.choice(("%2F", "%2f")) + draw.escaped(r, name)
    return CLASSES[n], identifier, sizes[name], draw.request(r, version, sizes[name], CLASSES[n])


def fault(reply, want, base):
    """What is wrong with the reply's head, or None."""
    if want.doubtful:
        return None if reply.status in LOOSE else f"{reply.status}"
    if reply.status not in want.statuses:
        return f"{reply.status} instead of {sorted(want.statuses)}"
    if reply["Access-Control-Allow-Origin"] != "*":
        return "no CORS header"
    if want.good and reply.canonical() != f"{base}/{want.canonical}":
        return f"{reply.canonical()} instead of {want.canonical}"
    return None


@pytest.mark.parametrize("version", VERSIONS)
def test_heads(server, board_sizes, can, version):
    r, wrong, good = dice(f"heads {version}"), [], 0
    for _ in range(HEADS):
        limits, identifier, image, path = drawn(r, version, board_sizes)
        base = f"/iiif/{version}/{identifier}"
        want = answer(version, image, limits, path, can)
        found = fault(server.head(f"{base}/{path}"), want, server.url + base)
        if not found and want.good and not want.doubtful:
            good += 1
            again = answer(version, image, limits, want.canonical, can)
            assert again.canonical == want.canonical and again.size == want.size, "the reference itself"
            found = fault(server.head(f"{base}/{want.canonical}"), want, server.url + base)
            found = found and f"canonical form asked again: {found}"
        if found:
            wrong.append(f"v{version} {image.width}x{image.height} {limits} {base}/{path}: {found}")
    assert not wrong, f"{len(wrong)} of {HEADS}:\n" + "\n".join(wrong[:25])
    assert good > HEADS // 4, "the draw has become too poor"


@pytest.mark.parametrize("version", VERSIONS)
def test_pictures(server, board_sizes, can, version):
    r, wrong, done, points = dice(f"pictures {version}"), [], 0, 0
    while done < PICTURES:
        limits, identifier, image, path = drawn(r, version, board_sizes)
        want = answer(version, image, limits, path, can)
        if not want.good or want.doubtful or want.angle % 90 or want.quality == "bitonal" or \
                want.format not in ("jpg", "png") or want.size[0] * want.size[1] > LARGEST:
            continue
        done += 1
        uri = f"/iiif/{version}/{identifier}/{path}"
        reply = server.get(uri)
        try:
            assert reply.status == 200, reply.status
            picture = reply.picture()
            assert picture.size == want.size, f"{picture.size} instead of {want.size}"
            assert picture.format == {"jpg": "JPEG", "png": "PNG"}[want.format]
            if want.quality == "gray" or image.gray:
                assert picture.mode == "L", f"gray comes as {picture.mode}"
            points += check_board(picture, want, image)
        except AssertionError as error:
            wrong.append(f"{uri}: {str(error).splitlines()[0]}")
    assert not wrong, f"{len(wrong)} of {PICTURES}:\n" + "\n".join(wrong[:25])
    assert points > 3 * PICTURES, "hardly any flat points: the draw has become too poor"
