# SPDX-License-Identifier: BSD-2-Clause
"""What is to be checked and what is done, in a folder: identifiers.jsonl, one a line, and journal.jsonl, whose first line are
the settings and each further one an image's outcome. A run that was killed goes on from there."""
import fcntl
import json
import os

from .identifiers import identifiers

PICTURED = 200               # so many images keep their pictures, some ten kilobytes each
END = b'{"end":true}\n'


class JournalError(Exception):
    pass


class Journal:
    """A with block. total: images in all; done: those with an outcome."""

    def __init__(self, folder, settings, fresh=False):
        self.folder, self.settings, self.fresh = folder, settings, fresh
        self.list, self.path = folder / "identifiers.jsonl", folder / "journal.jsonl"
        self.total = self.done = self.pictured = 0
        self.is_done = bytearray()

    def __enter__(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file = open(self.path, "a+b")
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.file.close()
            raise JournalError(f"another run is at work in {self.folder}") from None
        self.is_resumed = self.is_unfinished()
        if self.is_resumed:
            self.read_list()
            self.read_outcomes()
        else:
            self.file.truncate(0)
            self.write_list()
            self.append(self.settings)
        return self

    def __exit__(self, *_):
        self.file.close()

    def is_unfinished(self):
        self.file.seek(0)
        head = self.file.readline()
        if not head.endswith(b"\n") or self.fresh:
            return False
        self.file.seek(-min(len(END), os.path.getsize(self.path)), os.SEEK_END)
        if self.file.read() == END:
            return False
        before = json.loads(head)
        changed = [k for k in self.settings if before.get(k) != self.settings[k]]
        if changed:
            raise JournalError(f"{self.folder} holds an unfinished run with another --{changed[0].replace('_', '-')}: "
                               f"{before.get(changed[0])}. The same words again go on with it; --fresh begins anew")
        return True

    def write_list(self):
        new = self.list.with_suffix(".new")
        with open(new, "wb") as out:
            for identifier in identifiers(self.settings["identifiers"]):
                out.write(json.dumps(identifier).encode() + b"\n")
                self.total += 1
        new.rename(self.list)
        self.is_done = bytearray(self.total // 8 + 1)

    def read_list(self):
        with open(self.list, "rb") as lines:
            self.total = sum(1 for _ in lines)
        self.is_done = bytearray(self.total // 8 + 1)

    def read_outcomes(self):
        """A last line that the kill has cut is taken away."""
        for outcome in self.outcomes():
            self.count(outcome)
        self.file.truncate(self.sound)

    def outcomes(self):
        """All so far, one after the other."""
        with open(self.path, "rb") as lines:
            self.sound = len(lines.readline())
            for line in lines:
                if not line.endswith(b"\n"):
                    return
                self.sound += len(line)
                if line != END:
                    yield json.loads(line)

    def count(self, outcome):
        n = outcome["n"]
        self.is_done[n >> 3] |= 1 << (n & 7)
        self.done += 1
        self.pictured += "pictures" in outcome

    def jobs(self):
        """(number, identifier) of all without an outcome."""
        with open(self.list, "rb") as lines:
            for n, line in enumerate(lines):
                if not self.is_done[n >> 3] >> (n & 7) & 1:
                    yield n, json.loads(line)

    def append(self, what):
        self.file.write(json.dumps(what, separators=(",", ":")).encode() + b"\n")
        self.file.flush()

    def add(self, outcome):
        if self.pictured >= PICTURED:
            outcome.pop("pictures", None)
        self.append(outcome)
        self.count(outcome)

    def end(self):
        self.file.write(END)
        self.file.flush()
