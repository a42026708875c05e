# SPDX-License-Identifier: BSD-2-Clause
"""What is to be checked and what is done, in a folder: identifiers.jsonl, one a line, and journal.jsonl, whose first line are
the settings and each further one an image's outcome. A run that was killed goes on from there. Behind AGAIN, what is not
settled before it is done anew."""
import fcntl
import json
import os

from .identifiers import identifiers

PICTURED = 200               # so many images keep their pictures, some ten kilobytes each
END = b'{"end":true}\n'
AGAIN = b'{"again":true}\n'


class JournalError(Exception):
    pass


def is_bad(outcome):
    return outcome["faults"] + outcome["changes"] > 0


def is_settled(outcome):
    """Good, and compared with the original if it was to be."""
    return not is_bad(outcome) and not any("uncompared" in entry for entry in outcome["asked"])


class Journal:
    """A with block. total: images in all; done: those with an outcome; bad: those of them that are not good. again: what of a
    finished run is not settled is to be done once more."""

    def __init__(self, folder, settings, fresh=False, again=False):
        self.folder, self.settings, self.fresh, self.again = folder, settings, fresh, again
        self.list, self.path = folder / "identifiers.jsonl", folder / "journal.jsonl"
        self.total = self.done = self.bad = self.pictured = self.again_at = 0
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
            return self.nothing_again()
        self.file.seek(-min(len(END), os.path.getsize(self.path)), os.SEEK_END)
        is_ended = self.file.read() == END
        if is_ended and not self.again:
            return False
        before = json.loads(head)
        changed = [k for k in self.settings if before.get(k) != self.settings[k]]
        if changed:
            raise JournalError(f"{self.folder} holds {'a' if is_ended else 'an unfinished'} run with another "
                               f"--{changed[0].replace('_', '-')}: {before.get(changed[0])}. The same words again go on with it; "
                               "--fresh begins anew")
        if is_ended:
            self.file.write(AGAIN)
            self.file.flush()
        return True

    def nothing_again(self):
        if self.again and not self.fresh:
            raise JournalError(f"{self.folder} holds no run of which to ask anything again")
        return False

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
        self.find_end()
        for outcome in self.outcomes():
            self.count(outcome)

    def find_end(self):
        """A last line that the kill has cut is taken away."""
        end = 0
        with open(self.path, "rb") as lines:
            for line in lines:
                if line.endswith(b"\n"):
                    end += len(line)
                if line == AGAIN:
                    self.again_at = end
        self.file.truncate(end)

    def outcomes(self):
        """All so far, one after the other."""
        with open(self.path, "rb") as lines:
            at = len(lines.readline())
            for line in lines:
                at += len(line)
                if line not in (END, AGAIN):
                    outcome = json.loads(line)
                    if at > self.again_at or is_settled(outcome):
                        yield outcome

    def count(self, outcome):
        n = outcome["n"]
        self.is_done[n >> 3] |= 1 << (n & 7)
        self.done += 1
        self.bad += is_bad(outcome)
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
