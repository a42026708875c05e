# SPDX-License-Identifier: BSD-2-Clause
"""All that one original is asked for as, for the tests of who owns it: with slashes escaped, in two ways, and raw ones."""

KINDS = ["/iiif/3/{esc}/info.json", "/iiif/2/{esc}/info.json", "/iiif/3/{raw}/info.json", "/iiif/2/{raw}/full/40,/0/default.jpg",
         "/iiif/3/{esc}/full/50,/0/gray.png", "/iiif/3/{esc};1/full/60,/!90/default.jpg", "/iiif/2/{raw};1/info.json",
         "/iiif/3/{low}/pct:10,10,50,50/30,/0/default.webp"]


def spell(kind, name):
    esc = name.replace(" ", "%20").replace("+", "%2B")
    return kind.format(raw=esc, esc=esc.replace("/", "%2F"), low=esc.replace("/", "%2f").replace(".", "%2e"))
