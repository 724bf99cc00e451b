"""Kinds of values of settings about the object store."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from fsd.policies import LOCAL_BLOBS
from fsd.settings.kinds import OfText, text

BUCKET_URL = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])((?:/[A-Za-z0-9._-]+)*)/?")
"""A bucket and a prefix, which may be empty."""
_LONGEST = 250
_REGION = re.compile(r"[a-z0-9-]{0,40}")


@dataclass(frozen=True)
class BucketUrl(OfText):
    """A bucket and a prefix in it; empty for a folder."""

    allowed: str = 'empty, or a bucket and a prefix like "s3://backups/fs"'

    def read(self, raw: object) -> str:
        """Take a URL."""
        word = text(raw)
        if word and not (BUCKET_URL.fullmatch(word) and len(word) <= _LONGEST):
            raise ValueError("no bucket")
        return word


@dataclass(frozen=True)
class FallbackStore(BucketUrl):
    """A second store: a bucket, or the folder in the data directory."""

    allowed: str = 'empty, "local", or a bucket and a prefix like "s3://backups/fs"'

    def read(self, raw: object) -> str:
        """Take a URL or a word."""
        return LOCAL_BLOBS if raw == LOCAL_BLOBS else super().read(raw)


@dataclass(frozen=True)
class EndpointUrl(OfText):
    """The URL of an object store; empty for Amazon's."""

    allowed: str = 'empty, or a URL like "https://s3.example.org" without a path and a user name'

    def read(self, raw: object) -> str:
        """Take a URL."""
        word = text(raw)
        if not word:
            return word
        parts = urlsplit(word)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0:
            raise ValueError("no URL")
        if "@" in parts.netloc or parts.path not in {"", "/"} or parts.query or parts.fragment:
            raise ValueError("no URL of a store")
        return word


@dataclass(frozen=True)
class Region(OfText):
    """The name of a region; empty for the default."""

    allowed: str = 'empty, or a region like "eu-central-1"'

    def read(self, raw: object) -> str:
        """Take a name."""
        word = text(raw)
        if not _REGION.fullmatch(word):
            raise ValueError("no region")
        return word
