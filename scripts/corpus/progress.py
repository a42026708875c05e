# SPDX-License-Identifier: BSD-2-Clause
"""A bar on a terminal; elsewhere a plain line each ten seconds."""
import time

LINE_S, BAR_S, BAR = 10, 0.2, 24
SMOOTH_S = 60                # the rate is of about the last minute


def clock(seconds):
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


class Progress:
    def __init__(self, out, total, done, bad=0):
        self.out, self.total, self.done, self.bad = out, total, done, bad
        self.is_terminal = out.isatty()
        self.marks = [(time.monotonic(), done)]
        self.shown = self.marks[0][0]

    def add(self, is_bad):
        self.done += 1
        self.bad += is_bad

    def rate(self, now):
        if now - self.marks[-1][0] > 1:
            self.marks.append((now, self.done))
            self.marks = [m for m in self.marks if now - m[0] < SMOOTH_S or m is self.marks[-1]]
        at, done = self.marks[0]
        return (self.done - done) / max(now - at, 0.001)

    def text(self, now):
        rate = self.rate(now)
        left = f"{clock((self.total - self.done) / rate)} left" if rate > 0 else "-"
        return f"{self.done}/{self.total} images, {rate:.1f}/s, {self.bad} not good, {left}"

    def show(self, is_last=False):
        now = time.monotonic()
        if not is_last and now - self.shown < (BAR_S if self.is_terminal else LINE_S):
            return
        self.shown = now
        if self.is_terminal:
            filled = BAR * self.done // max(self.total, 1)
            self.out.write(f"\r\x1b[K[{'#' * filled}{'.' * (BAR - filled)}] {self.text(now)}" + ("\n" if is_last else ""))
        else:
            self.out.write(self.text(now) + "\n")
        self.out.flush()
