# SPDX-License-Identifier: BSD-2-Clause
"""What an info.json must be (Image API 2.1 and 3.0, section 5), and which pictures are asked for after it."""
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, isqrt

CONTEXT = "http://iiif.io/api/image/{}/context.json"
SIDE_MOST = 1 << 31
SAMPLE = 400


class Wrong(Exception):
    """An answer that is not what it should be: the reason, in words for the report."""


@dataclass
class Ask:
    """A picture to ask for: region (x, y, w, h) in full pixels, the sizes that are right for the answer, and of a tile the
    factor that it is reduced by."""
    kind: str
    path: str
    region: tuple
    low: tuple
    high: tuple
    format: str = "jpg"
    factor: int = 0


def is_count(value):
    return type(value) is int and 0 < value < SIDE_MOST


def texts(value):
    return isinstance(value, list) and all(isinstance(v, str) for v in value)


def more_of(info, api):
    """What version 3 has at the top and 2 in its profile: limits, formats, qualities, features; by 3's names."""
    if api == 3:
        return info
    names = {"formats": "extraFormats", "qualities": "extraQualities", "supports": "extraFeatures"}
    profile = info.get("profile")
    found = {}
    for part in profile[1:] if isinstance(profile, list) else []:
        if isinstance(part, dict):
            found.update({names.get(k, k): v for k, v in part.items()})
    return found


def faults_of_names(info, api, uri):
    context, key = CONTEXT.format(api), "id" if api == 3 else "@id"
    given = info.get("@context")
    if (given[-1:] if isinstance(given, list) else [given]) != [context]:
        yield f"@context is {given!r}, not {context}"
    if info.get(key) != uri:
        yield f"{key} is {info.get(key)!r}, not what was asked for, {uri}"
    if info.get("protocol") != "http://iiif.io/api/image":
        yield f"protocol is {info.get('protocol')!r}"
    if api == 3 and info.get("type") != "ImageService3":
        yield f"type is {info.get('type')!r}"
    profile = info.get("profile")
    if api == 3 and profile not in ("level0", "level1", "level2"):
        yield f"profile is {profile!r}"
    levels = [f"http://iiif.io/api/image/2/level{n}.json" for n in range(3)]
    if api == 2 and not (isinstance(profile, list) and profile and profile[0] in levels):
        yield f"profile is {profile!r}"


def faults_of_limits(more):
    for name in ("maxWidth", "maxHeight", "maxArea"):
        if name in more and not is_count(more[name]):
            yield f"{name} is {more[name]!r}"
    if "maxHeight" in more and "maxWidth" not in more:
        yield "maxHeight without maxWidth"
    for name in ("extraFormats", "extraQualities", "extraFeatures"):
        if name in more and not texts(more[name]):
            yield f"{name} is {more[name]!r}"


def is_within(more, w, h):
    most_w = more.get("maxWidth", SIDE_MOST)
    return w <= most_w and h <= more.get("maxHeight", most_w) and w * h <= more.get("maxArea", SIDE_MOST ** 2)


def faults_of_sizes(info, more):
    full_w, full_h, sizes = info["width"], info["height"], info.get("sizes", [])
    if not isinstance(sizes, list):
        yield f"sizes is {sizes!r}"
        return
    for size in sizes:
        w, h = (size.get("width"), size.get("height")) if isinstance(size, dict) else (None, None)
        if not (is_count(w) and is_count(h)):
            yield f"sizes has {size!r}"
        elif w > full_w or h > full_h or abs(w * full_h - h * full_w) > max(full_w, full_h):
            yield f"sizes has {w} x {h}, which is no size of {full_w} x {full_h}"
        elif not is_within(more, w, h):
            yield f"sizes has {w} x {h}, beyond its limits"


def faults_of_tiles(info, more):
    tiles = info.get("tiles", [])
    if not isinstance(tiles, list):
        yield f"tiles is {tiles!r}"
        return
    for tile in tiles:
        w = tile.get("width") if isinstance(tile, dict) else None
        h = tile.get("height", w) if isinstance(tile, dict) else None
        factors = tile.get("scaleFactors") if isinstance(tile, dict) else None
        if not (is_count(w) and is_count(h) and isinstance(factors, list) and factors and all(map(is_count, factors))):
            yield f"tiles has {tile!r}"
        elif len(set(factors)) != len(factors):
            yield f"tiles has a scale factor twice: {factors!r}"
        elif not all(is_within(more, min(w, ceil(info["width"] / f)), min(h, ceil(info["height"] / f))) for f in factors):
            yield f"tiles has {w} x {h}, beyond its limits"


def check_info(info, api, uri):
    """Raises Wrong with all that is wrong."""
    if not isinstance(info, dict):
        raise Wrong("info.json is no object")
    more = more_of(info, api)
    faults, basic = list(faults_of_names(info, api, uri)), list(faults_of_limits(more))
    if not (is_count(info.get("width")) and is_count(info.get("height"))):
        basic.append(f"width and height are {info.get('width')!r}, {info.get('height')!r}")
    faults += basic or [*faults_of_sizes(info, more), *faults_of_tiles(info, more)]
    if faults:
        raise Wrong("info.json: " + "; ".join(faults[:5]))


def normal(info, base):
    """For comparing with another version: where it is served, and the order of its lists, do not matter."""
    def walk(value):
        if isinstance(value, dict):
            return {k: walk(v) for k, v in value.items()}
        if isinstance(value, list):
            walked = list(map(walk, value))
            return sorted(walked, key=repr) if all(isinstance(v, (str, int)) for v in value) else walked
        return value.replace(base, "") if isinstance(value, str) else value
    return walk(info)


def differences(one, other):
    """The keys that differ, in words."""
    keys = [k for k in {**one, **other} if one.get(k) != other.get(k)]
    return "; ".join(f"{k}: {other.get(k)!r} before, {one.get(k)!r} now" for k in keys)


def scaled(full, most):
    """The size of full with its longer side at most so long."""
    longer = max(full)
    return tuple(max(1, round(Fraction(side * min(most, longer), longer))) for side in full)


def max_size(info, more):
    """The least and the most that `max` may give: a pixel of freedom where limits count."""
    full = info["width"], info["height"]
    if is_within(more, *full):
        return full, full
    most_w = more.get("maxWidth", SIDE_MOST)
    scale = min(Fraction(most_w, full[0]), Fraction(more.get("maxHeight", most_w), full[1]))
    if "maxArea" in more:
        scale = min(scale, Fraction(isqrt((more["maxArea"] << 40) // (full[0] * full[1])), 1 << 20))
    exact = [float(side * scale) for side in full]
    return tuple(max(1, int(e) - 1) for e in exact), tuple(max(1, ceil(e) + 1) for e in exact)


def tile_asks(info):
    """A tile from the middle at the finest level, and one at a coarser one."""
    if not info.get("tiles"):
        return
    full, tile = (info["width"], info["height"]), info["tiles"][0]
    side, factors = (tile["width"], tile.get("height", tile["width"])), sorted(tile["scaleFactors"])
    for kind, factor in dict(zip(("tile", "coarse tile"), (factors[0], factors[len(factors) // 2]))).items():
        if kind == "coarse tile" and factor == factors[0]:
            return
        at = [(f // (s * factor)) // 2 * s * factor for f, s in zip(full, side)]
        part = [min(s * factor, f - a) for s, f, a in zip(side, full, at)]
        size = tuple(ceil(p / factor) for p in part)
        region = f"{at[0]},{at[1]},{part[0]},{part[1]}"
        yield Ask(kind, f"{region}/{size[0]},{size[1]}/0/default.jpg", (*at, *part), size, size, factor=factor)


def asks(info, api):
    """The pictures to ask for, of an info.json that is right."""
    more, full = more_of(info, api), (info["width"], info["height"])
    low, high = max_size(info, more)
    whole = (0, 0, *full)
    small = scaled(full, min(SAMPLE, max(low)))
    size = f"{small[0]},{small[1]}"
    name = "full" if api == 2 and low == high else "max"
    yield Ask("full", f"full/{name}/0/default.jpg", whole, low, high)
    yield Ask("sample", f"full/{size}/0/default.jpg", whole, small, small)
    yield from tile_asks(info)
    if "webp" in more.get("extraFormats", []):
        yield Ask("webp", f"full/{size}/0/default.webp", whole, small, small, "webp")
