"""Kinds of values for the settings of the web listener: the start of links, files, addresses."""

from __future__ import annotations

import json
from dataclasses import dataclass
from ipaddress import ip_address

from fsd.settings.kinds import OfText, text
from fsproto.errors import UsageError
from fsproto.links.url_grammar import check_base


@dataclass(frozen=True)
class LinkStart(OfText):
    """What the URLs of public links begin with; empty for none."""

    allowed: str = 'empty, or a URL like "https://files.example.org", without "?" and "#"'

    def read(self, raw: object) -> str:
        """Take a URL."""
        word = text(raw)
        if not word:
            return word
        if not (word.isascii() and word.isprintable()):
            raise ValueError("no URL")
        try:
            return check_base(word)
        except UsageError:
            raise ValueError("no URL that a link can begin with") from None


@dataclass(frozen=True)
class FilePath(OfText):
    """The absolute path of a file; empty for none."""

    allowed: str = "empty, or the absolute path of a file"

    def read(self, raw: object) -> str:
        """Take a path."""
        word = text(raw)
        if word and (not word.startswith("/") or "\0" in word):
            raise ValueError("no absolute path")
        return word


@dataclass(frozen=True)
class Addresses:
    """A list of IP addresses."""

    allowed: str = 'a list of IP addresses like ["127.0.0.1", "::1"]'

    def read(self, raw: object) -> tuple[str, ...]:
        """Take a TOML list of strings."""
        if not isinstance(raw, list):
            raise ValueError("no list")
        return tuple(dict.fromkeys(str(ip_address(text(one))) for one in raw))

    def parse(self, word: str) -> tuple[str, ...]:
        """Take a list in JSON, or addresses with commas between them."""
        if word.startswith("["):
            return self.read(json.loads(word))
        return self.read([one.strip() for one in word.split(",")] if word else [])

    def show(self, value: object) -> str:
        """Write the list."""
        if not isinstance(value, tuple):
            raise TypeError("not a list")
        return json.dumps(list(value))
