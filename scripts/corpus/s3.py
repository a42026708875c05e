# SPDX-License-Identifier: BSD-2-Clause
"""S3 as far as listings and objects need it: requests signed by AWS Signature Version 4, or not at all without keys.

Keys: see credentials.py; the place comes from AWS_REGION or AWS_DEFAULT_REGION, and AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL."""
import hashlib
import hmac
import os
import time
import urllib.parse
import xml.etree.ElementTree as ElementTree

from .ask import Asker
from .credentials import credentials

PAGE_BYTES = 32 << 20
EXPIRED = "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"


class S3Error(Exception):
    pass


class Expired(S3Error):
    """The keys have, and there are no other ones: nothing more can be had."""


def quote(text):
    return urllib.parse.quote(os.fsencode(text), safe="")


def sign(method, host, path, query, headers, body, access_key, secret_key, region="us-east-1", at=None):
    """The headers of a request as AWS Signature Version 4 wants them; path is encoded, query a dict."""
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    headers = {**headers, "x-amz-content-sha256": hashlib.sha256(body).hexdigest(), "x-amz-date": moment}
    signed = sorted([("host", host), *((k.lower(), v.strip()) for k, v in headers.items())])
    names = ";".join(k for k, _ in signed)
    asked = "&".join(f"{k}={v}" for k, v in sorted((quote(k), quote(v)) for k, v in query.items()))
    canonical = "\n".join([method, path, asked, *(f"{k}:{v}" for k, v in signed), "", names,
                           headers["x-amz-content-sha256"]])
    text = "\n".join(["AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + secret_key).encode()
    for word in (*scope.split("/"), text):
        key = hmac.digest(key, word.encode(), "sha256")
    return {**headers, "Authorization": f"AWS4-HMAC-SHA256 Credential={access_key}/{scope},SignedHeaders={names},"
                                        f"Signature={key.hex()}"}


def is_expired(answer):
    return answer.status in (400, 401, 403) and any(f"<Code>{code}</Code>".encode() in answer.body for code in EXPIRED)


class Bucket:
    """Of s3://bucket/prefix: listed, and read, below the prefix."""

    def __init__(self, url, timeout_s=60, most_bytes=PAGE_BYTES):
        parts = urllib.parse.urlsplit(url)
        self.bucket, self.prefix = parts.netloc, url.partition("://")[2].partition("/")[2]
        if not self.bucket:
            raise S3Error(f"{url} names no bucket")
        self.region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        self.keys = credentials()
        self.asker = Asker(timeout_s, most_bytes)
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        if endpoint or "." in self.bucket:
            self.endpoint = (endpoint or f"https://s3.{self.region}.amazonaws.com").rstrip("/")
            self.path = f"/{quote(self.bucket)}"
        else:
            self.endpoint, self.path = f"https://{self.bucket}.s3.{self.region}.amazonaws.com", ""

    def ask(self, key="", query=None):
        """Of keys that have expired there may be newer ones."""
        answer = self.once(key, query)
        if is_expired(answer):
            self.keys = credentials()
            answer = self.once(key, query)
        if is_expired(answer):
            raise Expired(f"the keys for s3://{self.bucket} have expired; with new ones the same words again go on")
        return answer

    def once(self, key, query):
        path, query, headers = f"{self.path}/{quote(key).replace('%2F', '/')}", query or {}, {}
        if self.keys[0]:
            token = {"x-amz-security-token": self.keys[2]} if self.keys[2] else {}
            host = urllib.parse.urlsplit(self.endpoint).netloc
            headers = sign("GET", host, path, query, token, b"", self.keys[0], self.keys[1], self.region)
        asked = "&".join(f"{quote(k)}={quote(v)}" for k, v in query.items())
        return self.asker.get(f"{self.endpoint}{path}{'?' if asked else ''}{asked}", headers)

    def names(self):
        """All keys behind the prefix, a page of a thousand at a time."""
        token = {}
        while True:
            answer = self.ask(query={"list-type": "2", "prefix": self.prefix, "encoding-type": "url", **token})
            if answer.reason or answer.status != 200:
                raise S3Error(f"s3://{self.bucket} cannot be listed: {answer.reason or answer.status}")
            try:
                page = ElementTree.fromstring(answer.body)
            except ElementTree.ParseError as e:
                raise S3Error(f"s3://{self.bucket}: the listing is no XML: {e}") from None
            space = page.tag.partition("}")[0] + "}" if page.tag.startswith("{") else ""
            for key in page.iterfind(f"{space}Contents/{space}Key"):
                yield os.fsdecode(urllib.parse.unquote_to_bytes((key.text or "").replace("+", " ")))[len(self.prefix):]
            following = page.findtext(f"{space}NextContinuationToken")
            if not following:
                return
            token = {"continuation-token": following}

    def read(self, name):
        """The object's bytes, None where there is none. Raises S3Error."""
        answer = self.ask(self.prefix + name)
        if answer.status == 404:
            return None
        if answer.reason or answer.status != 200:
            raise S3Error(f"s3: {answer.reason or answer.status}")
        return answer.body
