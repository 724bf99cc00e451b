"""Kinds of values for the settings of hooks: a command, a URL, a list of words."""

from __future__ import annotations

import json
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from fsd.settings.kinds import text


@dataclass(frozen=True)
class Command:
    """A program and its arguments, which no shell reads; empty for none."""

    allowed: str = (
        'empty, or a list like ["/usr/local/bin/notify", "--quiet"] with an absolute path'
    )

    def read(self, raw: object) -> tuple[str, ...]:
        """Take a TOML list of strings."""
        words = _list(raw)
        if words and not words[0].startswith("/"):
            raise ValueError("no absolute path")
        if not all(word.isprintable() for word in words):
            raise ValueError("control characters")
        return words

    def parse(self, word: str) -> tuple[str, ...]:
        """Take a list in JSON."""
        return self.read(_of_json(word) if word else [])

    def show(self, value: object) -> str:
        """Write the list."""
        return _shown_list(value)


@dataclass(frozen=True)
class Words:
    """A list of some of a few words."""

    words: tuple[str, ...]

    @property
    def allowed(self) -> str:
        """The allowed values, for an error sentence."""
        return f"a list of {', '.join(self.words)}"

    def read(self, raw: object) -> tuple[str, ...]:
        """Take a TOML list of strings."""
        found = tuple(dict.fromkeys(_list(raw)))
        if not set(found) <= set(self.words):
            raise ValueError("another word")
        return found

    def parse(self, word: str) -> tuple[str, ...]:
        """Take a list in JSON, or words with commas between them."""
        if word.startswith("["):
            return self.read(_of_json(word))
        return self.read([one.strip() for one in word.split(",")] if word else [])

    def show(self, value: object) -> str:
        """Write the list."""
        return _shown_list(value)


def _list(raw: object) -> tuple[str, ...]:
    if not isinstance(raw, list):
        raise ValueError("no list")
    return tuple(text(one) for one in raw)


def _of_json(word: str) -> object:
    try:
        return json.loads(word)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _shown_list(value: object) -> str:
    if not isinstance(value, tuple):
        raise TypeError("not a list")
    return json.dumps(list(value), ensure_ascii=False)


@dataclass(frozen=True)
class WebhookUrl:
    """The URL of a webhook; empty for none."""

    allowed: str = (
        'empty, or a URL like "https://example.org/hook" without a user name; "http://" only for '
        "127.0.0.1, [::1] or localhost"
    )

    def read(self, raw: object) -> str:
        """Take a URL."""
        word = text(raw)
        if not word:
            return word
        parts = urlsplit(word)
        host = parts.hostname or ""
        if not (word.isascii() and word.isprintable()) or " " in word or parts.port == 0:
            raise ValueError("no URL")
        if not host or "@" in parts.netloc or parts.fragment:
            raise ValueError("no URL of a webhook")
        if parts.scheme != "https" and not (parts.scheme == "http" and _is_here(host)):
            raise ValueError("not protected")
        return word

    parse = read

    def show(self, value: object) -> str:
        """Write it without its path, which may be a secret."""
        parts = urlsplit(str(value))
        hides = parts.path not in ("", "/") or parts.query
        return json.dumps(f"{parts.scheme}://{parts.netloc}/***" if hides else value)


def _is_here(host: str) -> bool:
    """Return whether a host is this machine, whatever a name server says."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
