# SPDX-License-Identifier: BSD-2-Clause
"""JPEG 2000 codestreams of kinds that no writer of Debian's has words for: out of what opj_compress writes, by moving
its segments and packets about."""
import os
import struct
import subprocess
import tempfile

import numpy as np

SIZ, COD, QCD, QCC, PLM, PPM, PPT, CRG, COM = (0xff51, 0xff52, 0xff5c, 0xff5d, 0xff57, 0xff60, 0xff61, 0xff63, 0xff64)
SOC, SOT, SOD, EOC, SOP, EPH = b"\xff\x4f", b"\xff\x90", b"\xff\x93", b"\xff\xd9", b"\xff\x91", b"\xff\x92"


def raw(planes, bits, is_signed):
    h, w = planes[0].shape
    content = b"".join(p.astype(">i2" if bits > 8 else "i1").tobytes() for p in planes)
    return "in.raw", content, ("-F", f"{w},{h},{len(planes)},{bits},{'s' if is_signed else 'u'}")


def source_file(planes, bits, is_signed):
    """Name and content of a file by which opj_compress takes planes of that many bits, and its words for it. It knows
    raw files of even depths from 4 to 16 bits. Others go as deeper signed ones, which have the same coefficients when
    they were shifted as the standard would; beyond 16 bits as PGX of one plane, where signs are likewise a matter of
    the header."""
    if bits in range(4, 17, 2):
        return raw(planes, bits, is_signed)
    half = 0 if is_signed else 1 << (bits - 1)
    if bits < 16:
        return raw([p.astype(np.int32) - half for p in planes], 8 if bits < 8 else 16, True)
    h, w = planes[0].shape
    samples = planes[0] + (1 << (bits - 1)) if is_signed else planes[0]
    return "in.pgx", f"PG ML + {bits} {w} {h}\n".encode() + samples.astype(">u4").tobytes(), ()


def compressed(samples, *words, bits=8, is_signed=False):
    """What opj_compress makes of h x w (x channels) samples of 1 to 31 bits."""
    planes = list(np.atleast_3d(samples).transpose(2, 0, 1))
    name, content, more = source_file(planes, bits, is_signed)
    with tempfile.TemporaryDirectory() as folder:
        source, target = os.path.join(folder, name), os.path.join(folder, "out.j2k")
        with open(source, "wb") as file:
            file.write(content)
        command = ["opj_compress", "-i", source, "-o", target, *words, *more]
        done = subprocess.run(command, capture_output=True, text=True)
        assert os.path.exists(target), (words, done.stderr + done.stdout)
        with open(target, "rb") as file:
            stream = bytearray(file.read())
    for i in range(len(planes)):
        stream[42 + 3 * i] = bits - 1 | is_signed << 7
    return bytes(stream)


def segment(marker, body):
    return struct.pack(">HH", marker, len(body) + 2) + body


def taken_apart(stream):
    """The main header's segments, and the tile parts as (number of the tile, header, data)."""
    segments, parts, at = [], [], 2
    while stream[at:at + 2] != SOT:
        marker, n = struct.unpack(">HH", stream[at:at + 4])
        segments.append((marker, stream[at + 4:at + 2 + n]))
        at += 2 + n
    while stream[at:at + 2] == SOT:
        tile, n = struct.unpack(">HI", stream[at + 4:at + 10])
        data = stream.index(SOD, at) + 2
        parts.append((tile, stream[at + 12:data - 2], stream[data:at + n]))
        at += n
    return segments, parts


def put_together(segments, parts):
    """One part of each tile."""
    out = SOC + b"".join(segment(*s) for s in segments)
    for tile, header, data in parts:
        out += SOT + struct.pack(">HHIBB", 10, tile, 14 + len(header) + len(data), 0, 1) + header + SOD + data
    return out + EOC


def merged(*components, w, h, x0=0, y0=0):
    """One codestream of w x h pixels out of some of one component each, (codestream, dx, dy), of one tile, one layer
    and as many levels: by component, as their packets are then just laid end to end."""
    apart = [taken_apart(stream) for stream, _, _ in components]
    size = b"".join(dict(segments)[SIZ][36:37] + bytes((dx, dy))
                    for (segments, _), (_, dx, dy) in zip(apart, components))
    head = struct.pack(">H8IH", 0, x0 + w, y0 + h, x0, y0, x0 + w, y0 + h, 0, 0, len(components))
    coding = bytearray(dict(apart[0][0])[COD])
    coding[1] = 4
    own = [(QCC, bytes((i,)) + dict(segments)[QCD]) for i, (segments, _) in enumerate(apart) if i]
    data = b"".join(parts[0][2] for _, parts in apart)
    main = [(SIZ, head + size), (COD, bytes(coding)), (QCD, dict(apart[0][0])[QCD]), *own]
    return put_together(main, [(0, b"", data)])


def split_packets(data):
    """Of a tile part with SOP and EPH: headers, and the rest."""
    headers, bodies = b"", b""
    for packet in data.split(SOP + b"\0\4")[1:]:
        end = packet.index(EPH) + 2
        headers += packet[2:end]
        bodies += packet[end:]
    return headers, bodies


def with_packed_headers(stream, where):
    """The packet headers moved into PPT segments of the tiles, or PPM ones of the main header."""
    segments, parts = taken_apart(stream)
    segments = [(m, b"\4" + body[1:] if m == COD else body) for m, body in segments]
    split = [(tile, header, *split_packets(data)) for tile, header, data in parts]
    if where == PPT:
        return put_together(segments, [
            (tile, header + segment(PPT, b"\0" + packets[:40]) + segment(PPT, b"\1" + packets[40:]), bodies)
            for tile, header, packets, bodies in split])
    packed = b"".join(struct.pack(">I", len(packets)) + packets for _, _, packets, _ in split)
    # Cut where it may be, in the middle of a tile's, and the first comes last.
    segments += [(PPM, b"\1" + packed[50:]), (PPM, b"\0" + packed[:50])]
    return put_together(segments, [(tile, header, bodies) for tile, header, _, bodies in split])
