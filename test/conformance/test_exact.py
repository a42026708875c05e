# SPDX-License-Identifier: BSD-2-Clause
"""The measure measured: the reference gives the worked examples' answers."""
import pytest

import exact
from exact import Image, Limits
from worked import IMAGES, ROWS

CASES = [(version, n, letter, path, want) for n, letter, path, three, two in ROWS
         for version, want in ((3, three), (2, two))]


def test_all_are_there():
    assert [row[0] for row in ROWS] == list(range(1, 110))


@pytest.mark.parametrize("version,n,letter,path,want", CASES,
                         ids=[f"{c[1]}-v{c[0]}" for c in CASES])
def test_example(version, n, letter, path, want):
    got = exact.answer(version, *IMAGES[letter], path)
    if isinstance(want, int):
        assert got.statuses == {want}
    else:
        assert got.good and not got.doubtful and got.canonical == want[0]
        assert all(abs(a - b) < 0.006 for a, b in zip(got.size, want[1:]))


@pytest.mark.parametrize("w,h,tile,factors,sizes", [
    (6000, 4000, 512, [1, 2, 4, 8, 16], [(375, 250), (750, 500), (1500, 1000), (3000, 2000)]),
    (1001, 667, 256, [1, 2, 4], [(251, 167), (501, 334)]),
    (2411, 3372, 1024, [1, 2, 4], [(603, 843), (1206, 1686)]),
    (4097, 4096, 1024, [1, 2, 4, 8], [(513, 512), (1025, 1024), (2049, 2048)]),
    (200, 150, 512, [1], []),
])
def test_pyramid(w, h, tile, factors, sizes):
    assert exact.pyramid(w, h, tile) == (factors, sizes)


@pytest.mark.parametrize("text,want", [
    ("9", 9), (".9", "9/10"), ("0.90", "9/10"), ("007.5", "15/2"), ("0", 0)])
def test_decimal(text, want):
    assert exact.decimal(text) == exact.Fraction(want)


@pytest.mark.parametrize("text", ["", "+9", "-9", "9e1", "inf", "nan", "0x9", "9.", ".", "1.2.3", " 9",
                                  "9 ", "1,5", "\u0664"])
def test_no_decimal(text):
    with pytest.raises(exact.Refused):
        exact.decimal(text)


def test_two_faults():
    image, limits = Image(100, 100), Limits(width=50)
    got = exact.answer(2, image, limits, "full/60,/45/default.jpg",
                       exact.Abilities(angles=False, refusals=frozenset({501})))
    assert got.statuses == {404, 501}
