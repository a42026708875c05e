# SPDX-License-Identifier: BSD-2-Clause
"""HEIF files of heif-enc with further properties of their picture (ISO/IEC 14496-12, 23008-12)."""
import struct


def box(name, body):
    return struct.pack(">I", 8 + len(body)) + name + body


def boxes(data):
    at = 0
    while at < len(data):
        n, name = struct.unpack_from(">I4s", data, at)
        yield name, data[at + 8:at + n]
        at += n


def mapped(data, change):
    return b"".join(box(name, change(name, body)) for name, body in boxes(data))


def with_associations(body, n, first):
    """ipma: n properties from index `first` on, all essential, for the first item."""
    version, entries, item, had = struct.unpack_from(">IIHB", body)
    assert version == 0 and entries
    more = bytes(0x80 | first + i for i in range(n))
    return struct.pack(">IIHB", version, entries, item, had + n) + body[11:11 + had] + more + body[11 + had:]


def with_offsets(body, shift):
    """iloc, of version 0 with a base for each item: all bases moved."""
    out = bytearray(body)
    version, sizes, bases, items = struct.unpack_from(">IBBH", body)
    assert (version, sizes, bases) == (0, 0x44, 0x40)
    at = 8
    for _ in range(items):
        base, extents = struct.unpack_from(">IH", body, at + 4)
        struct.pack_into(">I", out, at + 4, base + shift)
        at += 10 + 8 * extents
    return bytes(out)


def with_properties(heif, *properties):
    """Properties behind the others, in this order, of a file whose first item is the picture."""
    shift = sum(map(len, properties)) + len(properties)

    def change(name, body):
        if name == b"meta":
            return body[:4] + mapped(body[4:], change)
        if name == b"iprp":
            first = 1 + len(list(boxes(dict(boxes(body))[b"ipco"])))
            return mapped(body, lambda n, b: b + b"".join(properties) if n == b"ipco" else
                          with_associations(b, len(properties), first))
        return with_offsets(body, shift) if name == b"iloc" else body
    return mapped(heif, change)


def turned(quarters):
    """Anticlockwise."""
    return box(b"irot", bytes([quarters]))


def mirrored(axis):
    """0: top for bottom. 1: left for right. (The first edition said it the other way round, and nobody did it.)"""
    return box(b"imir", bytes([axis]))
