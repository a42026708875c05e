# SPDX-License-Identifier: BSD-2-Clause
"""What an IIIF Image API 2.1.1 / 3.0 server must answer, by exact arithmetic.

Written from the protocol's text alone, as the measure for the server: it shares no code with it.
answer() takes the raw path below the identifier and gives the acceptable statuses, the canonical
form and the size of the result. Where more than one thing is wrong with a request, any of their
statuses is right, for the order of the checks is free.
"""
import math
import re
from dataclasses import dataclass
from fractions import Fraction

FORMATS = frozenset("jpg png tif gif webp jp2 pdf".split())
QUALITIES = frozenset("default color gray bitonal".split())
CEILINGS = {"jpg": 65500, "webp": 16383}
DECIMALS = 10  # a reader keeps at least these; requests with more have no single answer


@dataclass(frozen=True)
class Image:
    width: int
    height: int
    gray: bool = False


@dataclass(frozen=True)
class Limits:
    width: int = 0
    height: int = 0
    area: int = 0
    upscale: bool = False

    def sides(self):
        """The two sides' limits; an absent height is the width's."""
        return self.width or math.inf, self.height or self.width or math.inf

    def hold(self, w, h):
        max_w, max_h = self.sides()
        return w <= max_w and h <= max_h and (not self.area or w * h <= self.area)


@dataclass(frozen=True)
class Abilities:
    """What a server offers beyond the obligatory; `refusals` is what it may say to the rest."""
    formats: frozenset = FORMATS
    qualities: frozenset = QUALITIES
    angles: bool = True
    refusals: frozenset = frozenset({400})


@dataclass
class Answer:
    statuses: set
    canonical: str = ""
    size: tuple = ()            # delivered, after rotation; fractions at odd angles
    region: tuple = ()
    scaled: tuple = ()          # before rotation
    mirror: bool = False
    angle: Fraction = Fraction(0)
    quality: str = ""
    format: str = ""
    doubtful: bool = False      # the text has no single answer here

    @property
    def good(self):
        return self.statuses == {200}


class Refused(Exception):
    def __init__(self, *statuses):
        super().__init__(statuses)
        self.statuses = set(statuses)


def half_up(value):
    return math.floor(Fraction(value) + Fraction(1, 2))


def decode(segment):
    """One percent-decoding; bytes above 127 are never syntax, so latin-1 does."""
    if re.search(r"%(?![0-9A-Fa-f]{2})", segment):
        raise Refused(400)
    return re.sub(r"%(..)", lambda m: chr(int(m[1], 16)), segment)


def integer(text):
    if not re.fullmatch(r"[0-9]+", text):
        raise Refused(400)
    return int(text)


def decimal(text):
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?|\.[0-9]+", text):
        raise Refused(400)
    whole, _, part = text.partition(".")
    part = part[:DECIMALS]
    return Fraction(int((whole or "0") + part), 10 ** len(part))


def four(text, number):
    parts = text.split(",")
    if len(parts) != 4:
        raise Refused(400)
    return [number(p) for p in parts]


def region_of(text, image):
    """The extracted region."""
    full_w, full_h = image.width, image.height
    if text == "full":
        return 0, 0, full_w, full_h
    if text == "square":
        n = min(full_w, full_h)
        return (full_w - n) // 2, (full_h - n) // 2, n, n
    if text.startswith("pct:"):
        x, y, w, h = (half_up(side * p / 100) for side, p in
                      zip((full_w, full_h, full_w, full_h), four(text[4:], decimal)))
    else:
        x, y, w, h = four(text, integer)
    if w == 0 or h == 0 or x >= full_w or y >= full_h:
        raise Refused(400)
    return x, y, min(w, full_w - x), min(h, full_h - y)


def derived(side, given, other, area):
    """The other side in ratio, half up, or floored if that bursts the area."""
    exact = Fraction(side * given, other)
    rounded = half_up(exact)
    return math.floor(exact) if area and given * rounded > area else rounded


def fit(rw, rh, box_w, box_h, limits, capped):
    """The largest size of the region's ratio in box and limits; `capped`: nor above the region."""
    max_w, max_h = limits.sides()
    box_w, box_h = min(box_w, max_w), min(box_h, max_h)
    if capped:
        box_w, box_h = min(box_w, rw), min(box_h, rh)
    ratio_w = None if box_w == math.inf else Fraction(box_w, rw)
    ratio_h = None if box_h == math.inf else Fraction(box_h, rh)
    scale = min((r for r in (ratio_w, ratio_h) if r is not None), default=None)
    if limits.area and (scale is None or scale * scale * rw * rh > limits.area):
        w = math.isqrt(limits.area * rw // rh)
        return w, derived(rh, w, rw, limits.area)
    if scale == ratio_w:
        return box_w, derived(rh, box_w, rw, limits.area)
    return derived(rw, box_h, rh, limits.area), box_h


def largest(rw, rh, limits, upscaled):
    """The result of `max` or `^max`."""
    if upscaled and (limits.width or limits.height or limits.area):
        w, h = fit(rw, rh, math.inf, math.inf, limits, False)
    else:
        w, h = fit(rw, rh, rw, rh, limits, True)
    return max(w, 1), max(h, 1)


def size_syntax(text, version):
    """(form, up, values); needs no image."""
    up = text.startswith("^")
    if up:
        if version == 2:
            raise Refused(400)
        text = text[1:]
    if text == "max":
        return "max", up, ()
    if text == "full" and version == 2:
        return "full", up, ()
    if text.startswith("pct:"):
        return "pct", up, (decimal(text[4:]),)
    confined = text.startswith("!")
    sides = text[confined:].split(",")
    if len(sides) != 2 or sides == ["", ""] or confined and "" in sides:
        raise Refused(400)
    values = tuple(integer(s) if s else None for s in sides)
    if 0 in values:
        raise Refused(400)
    return "confined" if confined else "plain", up, values


def size_of(text, version, region, limits):
    """The scaled region."""
    _, _, rw, rh = region
    form, up, values = size_syntax(text, version)
    if form == "full":
        w, h = rw, rh
    elif form == "max":
        w, h = largest(rw, rh, limits, up)
    elif form == "confined":
        w, h = fit(rw, rh, *values, limits, not up)
    elif form == "pct":
        if version == 3 and not up and values[0] > 100:
            raise Refused(400)
        w, h = half_up(rw * values[0] / 100), half_up(rh * values[0] / 100)
    else:
        w, h = values
        if w is None:
            w = half_up(Fraction(rw * h, rh))
        elif h is None:
            h = half_up(Fraction(rh * w, rw))
    if w < 1 or h < 1:
        raise Refused(400)
    if w > rw or h > rh:
        if version == 3 and not up:
            raise Refused(400)
        if not limits.upscale:
            raise Refused(501)
    if form not in ("max", "confined") and not limits.hold(w, h):
        raise Refused(400 if version == 3 else 404)
    return w, h


def canonical_size(version, region, limits, w, h):
    _, _, rw, rh = region
    if version == 2:
        if (w, h) == (rw, rh):
            return "full"
        return f"{w}," if half_up(Fraction(rh * w, rw)) == h else f"{w},{h}"
    if (w, h) == largest(rw, rh, limits, False):
        return "max"
    if (w, h) == largest(rw, rh, limits, True):
        return "^max"
    return f"{'^' if w > rw or h > rh else ''}{w},{h}"


def rotation_of(text):
    mirror = text.startswith("!")
    angle = decimal(text[mirror:])
    if angle > 360:
        raise Refused(400)
    return mirror, angle % 360


def angle_text(angle):
    digits = f"{angle.numerator * 10 ** DECIMALS // angle.denominator:0{DECIMALS + 1}d}"
    return (digits[:-DECIMALS] + "." + digits[-DECIMALS:]).rstrip("0").rstrip(".")


def turned(w, h, angle):
    """The bounding box; exact at right angles."""
    if angle % 90 == 0:
        return (h, w) if angle % 180 else (w, h)
    radians = math.radians(angle)
    c, s = abs(math.cos(radians)), abs(math.sin(radians))
    return w * c + h * s, h * c + w * s


def quality_format(text, image, can):
    quality, dot, name = text.rpartition(".")
    if not dot or quality not in QUALITIES or name not in FORMATS:
        raise Refused(400)
    if name not in can.formats or quality not in can.qualities:
        raise Refused(*can.refusals)
    same = quality == "color" or quality == "gray" and image.gray
    return "default" if same else quality, name


def answer(version, image, limits, path, can=Abilities()):
    """The answer to `path`, the raw text `region/size/rotation/quality.format`."""
    wrong = set()

    def attempt(step, *words):
        try:
            return step(*words)
        except Refused as refused:
            wrong.update(refused.statuses)
            return None

    raw = path.split("/")
    if len(raw) != 4:
        return Answer({404} | ({400} if "%" in path else set()))
    parts = [attempt(decode, r) for r in raw]
    if None in parts:
        return Answer(wrong)
    attempt(size_syntax, parts[1], version)
    region = attempt(region_of, parts[0], image)
    scaled = region and attempt(size_of, parts[1], version, region, limits)
    rotation = attempt(rotation_of, parts[2])
    if rotation and rotation[1] % 90 and not can.angles:
        wrong.update(can.refusals)
    ending = attempt(quality_format, parts[3], image, can)
    doubtful = any(re.search(r"\.\d{%d}" % (DECIMALS + 1), p) for p in parts)
    if wrong:
        return Answer(wrong, doubtful=doubtful)
    (mirror, angle), (quality, name) = rotation, ending
    size = turned(*scaled, angle)
    if max(size) > CEILINGS.get(name, math.inf):
        return Answer({400, 404, 413}, doubtful=True)
    clamped = not limits.hold(*scaled)  # `max` of a sliver, held at one pixel above the area
    whole = region == (0, 0, image.width, image.height)
    canonical = "/".join(("full" if whole else ",".join(map(str, region)),
                          canonical_size(version, region, limits, *scaled),
                          ("!" if mirror else "") + angle_text(angle), f"{quality}.{name}"))
    return Answer({200}, canonical, size, region, scaled, mirror, angle, quality, name,
                  doubtful or clamped)


def pyramid(width, height, tile, limits=Limits()):
    """(scale factors, sizes) as info.json lists them for a square tile."""
    factors = [1]
    while -(-max(width, height) // factors[-1]) > tile:
        factors.append(2 * factors[-1])
    sizes = [(-(-width // s), -(-height // s)) for s in reversed(factors[1:])]
    return factors, [size for size in sizes if limits.hold(*size)]
