# SPDX-License-Identifier: BSD-2-Clause
"""The identifiers to check: from a file, a folder of originals, an S3 listing or standard input, one at a time."""
import os
import re
import sys

from .s3 import Bucket

SUFFIXES = frozenset("jpg jpeg jpe tif tiff jp2 j2k j2c jpc jpf jpx png webp gif bmp pnm pgm ppm pam psd heic heif avif "
                     "jxl".split())
# A line of `aws s3 ls`: a folder of a listing that does not go into it, or a key behind its time and size.
LISTED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +\d+ (.*)")
FOLDER = re.compile(r" +PRE .*/")


def is_image(name):
    return name.rpartition(".")[2].lower() in SUFFIXES


def from_lines(lines):
    """One a line, as they are; bytes that are no UTF-8 are kept."""
    for line in lines:
        line = os.fsdecode(line.rstrip(b"\r\n"))
        listed = LISTED.fullmatch(line)
        if listed:
            line = listed[1]
        if line and not FOLDER.fullmatch(line) and not (listed and line.endswith("/")):
            yield line


def from_folder(root, below=""):
    with os.scandir(os.path.join(root, below)) as entries:
        for entry in entries:
            name = os.path.join(below, entry.name)
            if entry.is_dir(follow_symlinks=False):
                yield from from_folder(root, name)
            elif is_image(name):
                yield name


def identifiers(origin):
    """origin: "-", s3://bucket/prefix, a folder or a file."""
    if origin == "-":
        yield from from_lines(sys.stdin.buffer)
    elif origin.startswith("s3://"):
        yield from filter(is_image, Bucket(origin).names())
    elif os.path.isdir(origin):
        yield from from_folder(origin)
    else:
        with open(origin, "rb") as lines:
            yield from from_lines(lines)
