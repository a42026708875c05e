# SPDX-License-Identifier: BSD-2-Clause
"""WebP files put together from chunks."""
import struct


def riff(*chunks):
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def chunk(name, body):
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) & 1)


def canvas(w, h, flags):
    return chunk(b"VP8X", struct.pack("<I", flags) + struct.pack("<I", w - 1)[:3] + struct.pack("<I", h - 1)[:3])


def image_chunks(data):
    """Those of a file that hold the picture."""
    at, out = 12, b""
    while at < len(data):
        size = struct.unpack("<I", data[at + 4:at + 8])[0]
        end = at + 8 + size + (size & 1)
        out += data[at:end] if data[at:at + 4] in (b"VP8 ", b"VP8L", b"ALPH") else b""
        at = end
    return out


def animated(w, h, flags, frames):
    """frames: (file, x, y, w, h, disposal and blending)."""
    return riff(canvas(w, h, flags | 2), chunk(b"ANIM", bytes(6)),
                *(chunk(b"ANMF", b"".join(struct.pack("<I", v)[:3] for v in (x // 2, y // 2, fw - 1, fh - 1, 100)) +
                        bytes([how]) + image_chunks(data)) for data, x, y, fw, fh, how in frames))
