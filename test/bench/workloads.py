# SPDX-License-Identifier: BSD-2-Clause
"""What scripts/bench asks. All places and sizes come from the master's sides, so that any picture will do."""
import random
from dataclasses import dataclass, field

from images import JP2_REDUCTIONS, TILE

SESSION_TILES = 500
VIEW = (1600, 900)


@dataclass(frozen=True)
class Ask:
    """One request: a region of the full picture, and the answer's size before rotation."""
    region: tuple
    size: tuple
    rotation: int = 0
    quality: str = "default"
    format: str = "jpg"

    @property
    def step(self):
        """Full pixels to one of the answer's; at the edges of tiled scales not simply the ratio."""
        (_, _, w, h), (out_w, out_h) = self.region, self.size
        for k in range(16):
            if (out_w, out_h) == (-(-w // 2 ** k), -(-h // 2 ** k)):
                return 2 ** k, 2 ** k
        return w / out_w, h / out_h

    def path(self, master, by_width=False):
        """Below the identifier; `by_width` is what servers of level 1 know."""
        region = "full" if self.region == (0, 0, master.width, master.height) else ",".join(map(str, self.region))
        size = f"{self.size[0]}," if by_width else f"{self.size[0]},{self.size[1]}"
        return f"{region}/{size}/{self.rotation}/{self.quality}.{self.format}"


@dataclass
class Workload:
    name: str
    title: str
    master: object
    kind: str                                    # of the file: flat.jpg, plain.tif ...
    asks: list = field(default_factory=list)     # none: info.json
    readers: tuple = ()                          # of the floor program, the least first

    @property
    def file(self):
        return self.master.path(self.kind)

    @property
    def ask(self):
        return self.asks[0]

    @property
    def single(self):
        return len(self.asks) == 1

    @property
    def shows_same(self):
        """Whether an answer that nothing was resampled for is the right one."""
        return self.single and self.ask.step == (2 ** self.level(self.ask),) * 2 and not self.ask.rotation

    def level(self, ask):
        """The stored level, or the reduction, with the fewest samples that are enough."""
        if not self.kind.endswith((".tif", ".jp2")):
            return 0
        deepest, k = 0, min(ask.step)
        while -(-max(self.master.width, self.master.height) // 2 ** deepest) > TILE:
            deepest += 1
        if self.kind.endswith(".jp2"):
            deepest = JP2_REDUCTIONS
        return min(deepest, max(i for i in range(16) if 2 ** i <= k))


def fitting(master, w):
    """Half up, as the protocol has it."""
    return w, (2 * master.height * w + master.width) // (2 * master.width)


def aligned_tile(master, side, scale):
    """A whole tile of that scale near the middle."""
    span = side * scale
    return master.width // 2 // span * span, master.height // 2 // span * span, span, span


def edge_tile(master, side, scale):
    """The last tile of the last row, cut off by both edges where the picture's sides allow."""
    span = side * scale
    x, y = (master.width - 1) // span * span, (master.height - 1) // span * span
    w, h = master.width - x, master.height - y
    return Ask((x, y, w, h), (-(-w // scale), -(-h // scale)))


def tile(master, side, scale, **more):
    return Ask(aligned_tile(master, side, scale), (side, side), **more)


def full(master, w, **more):
    return Ask((0, 0, master.width, master.height), fitting(master, w), **more)


def session(master, side, number=SESSION_TILES):
    """The tiles, each once, of somebody who zooms into places of the picture, looks around, and out again."""
    r, seen, asks = random.Random(1), set(), []
    deepest = 0
    while -(-max(master.width, master.height) // 2 ** deepest) > side:
        deepest += 1

    def look(x, y, k):
        """At the point x, y, by screen pixels that are 2^k full ones: what the window shows, from its middle."""
        span = side << k
        w, h = VIEW[0] << k, VIEW[1] << k
        columns = range(max(0, int(x - w / 2) // span), min(-(-master.width // span), -(-int(x + w / 2) // span)))
        rows = range(max(0, int(y - h / 2) // span), min(-(-master.height // span), -(-int(y + h / 2) // span)))
        tiles = [(c, l) for l in rows for c in columns if (k, c, l) not in seen]
        tiles.sort(key=lambda t: abs((t[0] + .5) * span - x) + abs((t[1] + .5) * span - y))
        for c, l in tiles:
            seen.add((k, c, l))
            left, top = c * span, l * span
            w_here, h_here = min(span, master.width - left), min(span, master.height - top)
            asks.append(Ask((left, top, w_here, h_here), (-(-w_here >> k), -(-h_here >> k))))

    visits = 0
    while len(asks) < number and visits < 1000:
        visits += 1
        x, y = r.uniform(0.1, 0.9) * master.width, r.uniform(0.1, 0.9) * master.height
        for k in range(deepest, -1, -1):
            look(x, y, k)
        for _ in range(4):
            x += r.uniform(-1, 1) * VIEW[0] * 0.6
            y += r.uniform(-1, 1) * VIEW[1] * 0.6
            look(min(max(x, 0), master.width), min(max(y, 0), master.height), 0)
    return asks[:number]


def basic(m):
    """W1 to W7, of every master."""
    def add(name, title, kind, ask, *readers):
        return Workload(f"{name}/{m.name}", title, m, kind, [ask], readers)
    x, y, _, _ = aligned_tile(m, 1024, 1)
    part = Ask((x, y, 1024, 1024), (512, 512))
    return [
        add("W1", "JPEG full → 200", "flat.jpg", full(m, 200), "jpeg"),
        add("W2", "JPEG full → 800", "flat.jpg", full(m, 800), "jpeg"),
        add("W3", "JPEG full → 1600", "flat.jpg", full(m, 1600), "jpeg"),
        add("W4", "JPEG 1024² → 512²", "flat.jpg", part, "jpeg"),
        add("W5", "JPEG pyramid, 512 tile, scale 1", "plain.tif", tile(m, 512, 1), "raw", "tiff"),
        add("W5x4", "JPEG pyramid, 512 tile, scale 4", "plain.tif", tile(m, 512, 4), "raw", "tiff"),
        add("W5r", "the same by lorikeet pyramid, scale 1", "restart.tif", tile(m, 512, 1), "raw", "tiff"),
        add("W5rx4", "the same by lorikeet pyramid, scale 4", "restart.tif", tile(m, 512, 4), "raw", "tiff"),
        add("W6", "deflate pyramid, 512 tile, scale 1", "deflate.tif", tile(m, 512, 1), "tiff"),
        add("W6x4", "deflate pyramid, 512 tile, scale 4", "deflate.tif", tile(m, 512, 4), "tiff"),
        add("W7", "JPEG pyramid, full → 800", "plain.tif", full(m, 800), "raw", "tiff"),
        add("W7d", "deflate pyramid, full → 800", "deflate.tif", full(m, 800), "tiff"),
    ]


def further(m):
    """W8 and the rest, of the first master."""
    def add(name, title, kind, asks, *readers):
        return Workload(f"{name}/{m.name}", title, m, kind, asks if isinstance(asks, list) else [asks], readers)
    x, y, _, _ = aligned_tile(m, 512, 1)
    unaligned = Ask((x + 77, y + 133, 700, 500), (700, 500))
    found = []
    for letter, kind, title in (("t", "tiled.jp2", "JP2 in tiles"), ("u", "untiled.jp2", "JP2 untiled")):
        found += [add(f"W8{letter}", f"{title}, 512 tile, scale 1", kind, tile(m, 512, 1), "jp2", "jp2 alone"),
                  add(f"W8{letter}x4", f"{title}, 512 tile, scale 4", kind, tile(m, 512, 4), "jp2", "jp2 alone"),
                  add(f"W8{letter}full", f"{title}, full → 800", kind, full(m, 800), "jp2", "jp2 alone")]
    return found + [
        add("T256", "JPEG pyramid, 256 tile as stored", "plain.tif", tile(m, 256, 1), "raw", "tiff"),
        add("T256r", "the same by lorikeet pyramid", "restart.tif", tile(m, 256, 1), "raw", "tiff"),
        add("edge", "JPEG pyramid, 512 tile at the corner", "plain.tif", edge_tile(m, 512, 1), "raw", "tiff"),
        add("edgex4", "JPEG pyramid, 512 tile at the corner, scale 4", "plain.tif", edge_tile(m, 512, 4), "raw", "tiff"),
        add("unaligned", "JPEG pyramid, 700 × 500 anywhere", "plain.tif", unaligned, "raw", "tiff"),
        add("session", f"JPEG pyramid, {SESSION_TILES} tiles of 256 by a viewer", "plain.tif", session(m, 256), "raw", "tiff"),
        add("sessionr", "the same by lorikeet pyramid", "restart.tif", session(m, 256), "raw", "tiff"),
        add("info", "info.json of a JPEG pyramid", "plain.tif", []),
        add("webp", "JPEG pyramid, 512 tile as WebP", "plain.tif", tile(m, 512, 1, format="webp"), "tiff"),
        add("png", "JPEG pyramid, 512 tile as PNG", "plain.tif", tile(m, 512, 1, format="png"), "tiff"),
        add("fromwebp", "WebP full → 800", "rest.webp", full(m, 800), "webp"),
        add("frompng", "PNG full → 800", "rest.png", full(m, 800), "png"),
        add("fromgif", "GIF full → 800", "rest.gif", full(m, 800), "gif"),
        add("rotate", "JPEG pyramid, 512 tile turned by 90°", "plain.tif", tile(m, 512, 1, rotation=90), "raw", "tiff"),
        add("gray", "JPEG pyramid, 512 tile in gray", "plain.tif", tile(m, 512, 1, quality="gray"), "raw", "tiff"),
    ]


def select(found, only):
    """Those that a word names, with or without the master; W5 stands for W5x4, W5r and so on too."""
    if not only:
        return found

    def wanted(name):
        short = name.split("/")[0]
        return any(word in (name, short) or (word[0] == "W" and short.startswith(word)) for word in only)
    return [w for w in found if wanted(w.name)]


def all_of(found_masters, only=()):
    found = []
    for m in found_masters:
        found += basic(m) + (further(m) if m.first else [])
    return select([w for w in found if w.file.exists()], only)
