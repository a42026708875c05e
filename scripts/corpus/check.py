# SPDX-License-Identifier: BSD-2-Clause
"""One image, checked: asked for in several ways, decoded, measured, compared. The outcome is a dict, ready for JSON:

    id, faults (of how many of its answers, 0 is good), changes (likewise, from the other version), pictures: a list of (reason or
    changed, what that belongs to; caption; data: address), asked: a list of
        kind, url, status, ms, bytes, size, reason, psnr, retried, fallback, changed (how), other_psnr
    and, of the kind original, uncompared: why there was none to compare with

What is empty is left out."""
import json
from math import isinf

from . import info, originals, picture
from .ask import Asker
from .info import Wrong
from .picture import Undecodable
from .s3 import quote

WORDS = 400
INFO_BYTES = 4 << 20
PICTURES = 6                 # of an image, at most: of what is wrong with it, and of what has changed


def plain(text, most=WORDS):
    """Bounded, and harmless to terminals."""
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text)[:most + 1])
    return text if len(text) <= most else text[:most] + "..."


def rounded(decibels):
    return 999 if isinf(decibels) else round(decibels, 1)


class Checker:
    """settings: see main.py's command line."""

    def __init__(self, settings):
        self.settings = settings
        self.asker = Asker(settings.timeout, settings.max_bytes)
        self.originals = settings.originals and originals.place(settings.originals, settings.max_bytes, settings.timeout)
        picture.bound(settings.max_pixels)

    def check(self, number, identifier):
        base = self.settings.bases[number % len(self.settings.bases)]
        return Image(self, base, identifier).check()


class Image:
    def __init__(self, checker, base, identifier):
        self.settings, self.asker, self.originals = checker.settings, checker.asker, checker.originals
        self.base, self.identifier = base, identifier
        self.name = quote(self.settings.prefix + identifier)
        self.asked, self.pictures = [], []
        self.reference, self.reference_name = None, "original"

    def check(self):
        about = self.check_info()
        if about:
            if self.originals:
                self.find_reference(about)
            for ask in info.asks(about, self.settings.api):
                self.check_picture(ask, about)
        faults, changes = (sum(key in entry for entry in self.asked) for key in ("reason", "changed"))
        if faults and self.originals and self.reference and not any(why == "reason" for why, *_ in self.pictures):
            self.show_original()
        found = {"id": self.identifier, "faults": faults, "changes": changes, "pictures": self.pictures, "asked": self.asked}
        return {k: v for k, v in found.items() if v or k in ("faults", "changes")}

    # --- asking ---

    def entry(self, kind, url, answer):
        entry = {"kind": kind, "url": url, "status": answer.status, "ms": round(answer.ms, 1), "bytes": len(answer.body)}
        if answer.retried:
            entry["retried"] = plain(answer.retried)
        if "x-iiif-fallback" in answer.headers:
            entry["fallback"] = 1
        self.asked.append(entry)
        return entry

    def body_of(self, answer):
        if answer.reason:
            raise Wrong(answer.reason)
        if answer.status != 200:
            more = f" to {answer.headers['location']}" if "location" in answer.headers else ""
            words = "" if more else answer.body[:WORDS].decode("utf-8", "replace").strip()
            raise Wrong(f"{answer.status}{more} {words}".strip())
        return answer.body

    def other(self, path, most_bytes=None):
        """The other version's answer."""
        return self.asker.get(f"{self.settings.against}/{self.name}/{path}", most_bytes=most_bytes)

    # --- info.json ---

    def info_of(self, answer, base, public):
        media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        body = self.body_of(answer)
        if media_type not in ("application/json", "application/ld+json"):
            raise Wrong(f"Content-Type is {media_type!r}")
        try:
            found = json.loads(body)
        except (ValueError, RecursionError) as e:
            raise Wrong(f"info.json is no JSON: {e}") from None
        info.check_info(found, self.settings.api, f"{public or base}/{self.name}")
        return found

    def check_info(self):
        """The info.json if it is right."""
        url = f"{self.base}/{self.name}/info.json"
        answer, found, reason = self.asker.get(url, most_bytes=INFO_BYTES), None, ""
        entry = self.entry("info", url, answer)
        try:
            found = self.info_of(answer, self.base, self.settings.public_url)
        except Wrong as e:
            reason = str(e)
        if self.settings.against:
            reason = self.compare_info(found, reason, entry)
        if reason:
            entry["reason"] = plain(reason)
        return found

    def compare_info(self, found, reason, entry):
        """The reason, which also tells how the other version fared."""
        public = self.settings.against_public_url
        try:
            other = self.info_of(self.other("info.json", INFO_BYTES), self.settings.against, public)
        except Wrong as e:
            if found:
                entry["changed"] = plain(f"before: {e}")
            return f"{reason} (the other version fails too: {e})" if reason else ""
        if not found:
            entry["changed"] = "only the other version answers well"
            return reason
        mine = info.normal(found, self.settings.public_url or self.base)
        theirs = info.normal(other, public or self.settings.against)
        if mine != theirs:
            entry["changed"] = plain(info.differences(mine, theirs))
        return reason

    # --- pictures ---

    def find_reference(self, about):
        try:
            self.reference = originals.reference(self.originals, self.identifier, self.settings.background)
        except Undecodable as e:
            self.asked.append({"kind": "original", "uncompared": plain(e)})
            return
        full = about["width"], about["height"]
        if (self.reference.w, self.reference.h) != full:
            self.asked[-1]["reason"] = (f"info.json: {full[0]} x {full[1]}, but the original is "
                                        f"{self.reference.w} x {self.reference.h}")
            self.show_original()
            self.reference = None

    def check_picture(self, ask, about):
        url = f"{self.base}/{self.name}/{ask.path}"
        if ask.high[0] * ask.high[1] > self.settings.max_pixels:
            words = f"{ask.high[0]} x {ask.high[1]}: more than --max-pixels"
            self.asked.append({"kind": ask.kind, "url": url, "skipped": words})
            return
        answer = self.asker.get(url)
        entry, image, reason = self.entry(ask.kind, url, answer), None, ""
        is_exact = not self.reference
        try:
            whole, entry["size"] = picture.open_answer(self.body_of(answer), ask, answer.headers, is_exact)
            image = picture.rgb(whole, self.settings.background)
            self.judge(image, whole, ask, about, entry)
        except Wrong as e:
            reason = str(e)
        if self.settings.against:
            reason = self.compare_other(image, ask, is_exact, entry, answer.body, reason)
        if reason:
            entry["reason"] = plain(reason)

    def judge(self, image, whole, ask, about, entry):
        """Without an original, the first picture is what the others are held against."""
        if not self.reference:
            self.reference = picture.Reference(whole, about["width"], about["height"], self.settings.background)
            self.reference_name = f"{ask.kind} picture"
            return
        entry_psnr, words = picture.compare(image, ask, self.reference, self.settings)
        entry["psnr"] = rounded(entry_psnr)
        if words:
            self.show("reason", (f"{self.reference_name}, for {ask.kind}", self.reference.part(ask.region)), (ask.kind, image))
            raise Wrong(f"does not look like the {self.reference_name}: {words}")

    def compare_other(self, image, ask, is_exact, entry, body, reason):
        answer = self.other(ask.path)
        try:
            theirs, size = picture.open_answer(self.body_of(answer), ask, answer.headers, is_exact)
            theirs = picture.rgb(theirs, self.settings.background)
        except Wrong as e:
            if image:
                entry["changed"] = plain(f"before: {e}")
            return f"{reason} (the other version fails too: {e})" if reason else ""
        if not image:
            entry["changed"] = "only the other version answers well"
            self.show("changed", (f"{ask.kind} before", theirs))
            return reason
        if image.size != theirs.size:
            entry["changed"] = f"was {size[0]} x {size[1]}, is {entry['size'][0]} x {entry['size'][1]}"
        elif body != answer.body:
            decibels = picture.exact_psnr(image, theirs)
            entry["other_psnr"] = rounded(decibels)
            if decibels < self.settings.against_psnr:
                entry["changed"] = f"PSNR {decibels:.1f} dB"
        if "changed" in entry:
            shown = [(f"{ask.kind} before", theirs), (f"{ask.kind} now", image)]
            if image.size == theirs.size:
                shown.append((f"{ask.kind}, difference x 8", picture.difference(image, theirs)))
            self.show("changed", *shown)
        return reason

    def show_original(self):
        self.show("reason", ("original", self.reference.part((0, 0, self.reference.w, self.reference.h))))

    def show(self, why, *shown):
        """All of what belongs together, or nothing."""
        if sum(before == why for before, *_ in self.pictures) + len(shown) <= PICTURES:
            self.pictures += [(why, caption, picture.thumb(image)) for caption, image in shown]
