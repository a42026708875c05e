# SPDX-License-Identifier: BSD-2-Clause
"""Draws random requests: all forms, values at every boundary, junk, needless escapes."""
from fractions import Fraction

from exact import Image, Limits, Refused, region_of

HUGE = [2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, 2 ** 63 - 1, 2 ** 63, 2 ** 64 - 1, 2 ** 64,
        2 ** 64 + 1, 10 ** 11 - 1, 10 ** 40]
JUNK = list("0123456789,.:!^pctfulmaxsqre-+~@;=[]<>\\|'\"{}`$&*()eEnN_ ") + ["", "%", "%2", "%00", "%0A", "%2F",
                                                                            "%25", "%C3%A9", "..", "/"]
UNSAFE = set(' <>"{}|\\`?#')


def whole(r, *near):
    """A number at or about one of `near`, seldom huge, seldom with leading zeros."""
    if r.random() < 0.02:
        value = r.choice(HUGE)
    else:
        value = max(0, r.choice(near) + r.choice((0, 0, 0, 0, -1, 1, -2, 2)))
    return ("0" * r.randint(1, 30) if r.random() < 0.03 else "") + str(value)


def decimal(r, value):
    """`value`, a fraction, in at most ten decimals, in one of its many spellings."""
    places = r.choice((0, 1, 2, 3, 5, 10))
    digits = f"{int(value * 10 ** places):0{places + 1}d}"
    text = digits[:-places] + "." + digits[-places:] if places else digits
    if text.startswith("0.") and r.random() < 0.3:
        text = text[1:]
    if places and r.random() < 0.2:
        text = text.rstrip("0").removesuffix(".") or "0"
    return "0" * r.randint(1, 3) + text if r.random() < 0.05 else text


def percent(r, side):
    """About whole and half pixels of a side, plain values, and too large ones."""
    kind = r.random()
    if kind < 0.4:
        return decimal(r, Fraction(r.randint(0, 2 * side) * 100, 2 * side))
    if kind < 0.7:
        return decimal(r, r.choice((0, 0, 10, 12, Fraction(25, 2), 20, 25, 33, 50, 75, 90, 99, 100, 100, 120)))
    return decimal(r, Fraction(r.randint(0, 10 ** 12), 10 ** 10)) if kind < 0.97 else str(r.choice(HUGE))


def region(r, w, h):
    kind = r.random()
    if kind < 0.25:
        return "full"
    if kind < 0.33:
        return "square"
    if kind < 0.6:
        return "pct:" + ",".join(percent(r, side) for side in (w, h, w, h))
    x, y = (whole(r, 0, 0, n // 2, n - 1, r.randrange(n)) for n in (w, h))
    tile = r.choice((128, 256, 512, 1024))
    return ",".join((x, y, whole(r, 1, w, w // 2, tile, r.randint(1, w)),
                     whole(r, 1, h, h // 2, tile, r.randint(1, h))))


def size(r, version, path, image, limits):
    try:
        _, _, rw, rh = region_of(path, image)
    except Refused:
        rw, rh = image.width, image.height
    limit_w, limit_h = limits.width or rw, limits.height or limits.width or rh
    w = whole(r, 1, 2, rw, rw // 2, limit_w, r.randint(1, rw), r.randint(1, 2 * min(rw, limit_w)))
    h = whole(r, 1, 2, rh, rh // 2, limit_h, r.randint(1, rh), r.randint(1, 2 * min(rh, limit_h)))
    form = r.choice(("max", "full", w + ",", "," + h, f"{w},{h}", f"!{w},{h}", f"!{w},{h}",
                     "pct:" + percent(r, r.choice((rw, rh)))))
    if form == "full" and version == 3 and r.random() < 0.8:
        form = "max"
    up = r.random() < (0.4 if version == 3 else 0.03)
    return "^" + form if up else form


def rotation(r):
    angle = r.choice(("0", "0", "0", "90", "180", "270", "360", "090", "0.0", "90.00", "000", ".0"))
    if r.random() < 0.08:
        angle = r.choice(("22.5", "45", ".5", "0.25", "359.9999999999", "360.0", "360.0000000001", "361",
                          "99999999999999999999", "1.2.3", "9.", "", "-90", "+90", "9e1"))
    return ("!" if r.random() < 0.25 else "") + angle


def ending(r):
    if r.random() < 0.06:
        return r.choice(("default", "default.", ".jpg", "native.jpg", "grey.jpg", "DEFAULT.jpg", "default.JPG",
                         "default.jpeg", "default.tiff", "default.jpg.png", "x.default.jpg", "default..jpg",
                         "default.webp", "default.tif", "default.gif", "default.jp2", "default.pdf",
                         "bitonal.png", "bitonal.jpg", "colour.jpg", "info.json"))
    return r.choice(("default", "default", "color", "gray")) + "." + r.choice(("jpg", "jpg", "png"))


def broken(r, path):
    """The path with one to three characters put in, taken out or replaced."""
    text = list(path)
    for _ in range(r.choice((1, 1, 1, 2, 3))):
        at = r.randrange(len(text))
        text[at:at + r.randint(0, 1)] = [r.choice(JUNK)]
        text = text or [""]
    return "".join(f"%{ord(c):02X}" if c in UNSAFE else c for c in "".join(text))


def escaped(r, path):
    """The path with some characters, not the slashes, percent-encoded; legal and without effect."""
    def one(c):
        return f"%{ord(c):02x}" if r.random() < 0.5 else f"%{ord(c):02X}"
    share = r.choice((0.05, 0.3, 1))
    return "".join(one(c) if c != "/" and r.random() < share else c for c in path)


def request(r, version, image: Image, limits: Limits):
    """Everything below the identifier, raw."""
    area = region(r, image.width, image.height)
    path = "/".join((area, size(r, version, area, image, limits), rotation(r), ending(r)))
    if r.random() < 0.12:
        return broken(r, path)
    return escaped(r, path) if r.random() < 0.15 else path
