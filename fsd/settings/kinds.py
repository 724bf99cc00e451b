"""Kinds of settings' values: reading, allowed values, and writing.

`read` takes a TOML value, `parse` a text from the environment or the command line; both raise
`ValueError` (its text is not shown: the error sentence has `allowed`). `show` writes a TOML value.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fsd.home.home import Home
from fskit.text import ALLOWED_BYTES, parse_size
from fsproto.errors import FsError
from fsproto.link import Address, parse_address

_UNITS_S = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_TIME = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)\s*(ms|s|min|h|d)?")
NO_LIMIT_WORD = "none"
_LOOPBACK = ("localhost", "127.", "::1")


class ValueKind(Protocol):
    """The operations of a kind of values."""

    @property
    def allowed(self) -> str:
        """The allowed values, as the end of the sentence "must be …"."""

    def read(self, raw: object) -> object:
        """Return the value for the server, from a TOML value."""

    def parse(self, word: str) -> object:
        """Return the value for the server, from a text."""

    def show(self, value: object) -> str:
        """Write a value as TOML."""


def text(raw: object) -> str:
    """Take a TOML string."""
    if not isinstance(raw, str):
        raise ValueError("not a string")
    return raw


class OfText(ABC):
    """A kind whose values are one text, the same in TOML and in the environment."""

    @abstractmethod
    def read(self, raw: object) -> str:
        """Take a text."""

    def parse(self, word: str) -> str:
        """Take a text."""
        return self.read(word)

    def show(self, value: object) -> str:
        """Write the text."""
        return json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class Whole:
    """A whole number within bounds."""

    low: int
    high: int

    @property
    def allowed(self) -> str:
        """The allowed values, for an error sentence."""
        return f"a whole number from {self.low} to {self.high}"

    def read(self, raw: object) -> int:
        """Take a TOML integer."""
        if not isinstance(raw, int) or isinstance(raw, bool) or not self.low <= raw <= self.high:
            raise ValueError("not within bounds")
        return raw

    def parse(self, word: str) -> int:
        """Take decimal digits."""
        return self.read(int(word))

    def show(self, value: object) -> str:
        """Write the digits."""
        return str(value)


@dataclass(frozen=True)
class AtMost:
    """An upper limit, or `"none"` for no limit."""

    size: bool = False
    """Whether it is a number of bytes, which may have a unit: `"10G"`."""

    @property
    def allowed(self) -> str:
        """The allowed values, for an error sentence."""
        return f'"none", or {ALLOWED_BYTES if self.size else "a whole number of files"}'

    def read(self, raw: object) -> int | None:
        """Take a TOML integer or text."""
        if isinstance(raw, int) and not isinstance(raw, bool):
            raw = str(raw)
        return self.parse(text(raw))

    def parse(self, word: str) -> int | None:
        """Take a word."""
        if word == NO_LIMIT_WORD:
            return None
        if not self.size and not word.strip().isdecimal():
            raise ValueError("no number")
        return parse_size(word)

    def show(self, value: object) -> str:
        """Write the number, or the word."""
        return json.dumps(NO_LIMIT_WORD) if value is None else str(value)


@dataclass(frozen=True)
class Switch:
    """Yes or no."""

    allowed: str = "true or false"

    def read(self, raw: object) -> bool:
        """Take a TOML boolean."""
        if not isinstance(raw, bool):
            raise ValueError("not a boolean")
        return raw

    def parse(self, word: str) -> bool:
        """Take the word itself."""
        if word not in ("true", "false"):
            raise ValueError("neither")
        return word == "true"

    def show(self, value: object) -> str:
        """Write the word."""
        return "true" if value else "false"


@dataclass(frozen=True)
class Time:
    """A span of time: a number of seconds, or a text with a unit, such as `"12 h"`."""

    low_s: float
    high_s: float
    per_s: int = 0
    """Units of the value per second, as a whole number; 0: seconds, with a fraction."""

    @property
    def allowed(self) -> str:
        """The allowed values, for an error sentence."""
        return (
            f"a time from {_time_text(self.low_s)} to {_time_text(self.high_s)}, "
            'in seconds or like "90 s", "5 min", "12 h", "7 d"'
        )

    def read(self, raw: object) -> float:
        """Take a number of seconds or a text with a unit."""
        if isinstance(raw, str):
            return self.parse(raw)
        if not isinstance(raw, int | float) or isinstance(raw, bool):
            raise ValueError("no time")
        return self._within(raw)

    def parse(self, word: str) -> float:
        """Take a number, with or without a unit."""
        match = _TIME.fullmatch(word.strip())
        if match is None:
            raise ValueError("no time")
        return self._within(float(match[1]) * _UNITS_S[match[2] or "s"])

    def _within(self, seconds: float) -> float:
        if not self.low_s <= seconds <= self.high_s:  # NaN, too
            raise ValueError("not within bounds")
        return round(seconds * self.per_s) if self.per_s else float(seconds)

    def show(self, value: object) -> str:
        """Write it in the largest unit that gives a whole number."""
        if not isinstance(value, int | float):
            raise TypeError("a time is a number")
        return json.dumps(_time_text(value / self.per_s if self.per_s else value))


def _time_text(seconds: float) -> str:
    for unit, size in reversed(_UNITS_S.items()):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:g} s"


@dataclass(frozen=True)
class OneOf:
    """One of a few words."""

    words: tuple[str, ...]

    @property
    def allowed(self) -> str:
        """The allowed values, for an error sentence."""
        return " or ".join(json.dumps(word) for word in self.words)

    def read(self, raw: object) -> str:
        """Take one of them."""
        if raw not in self.words:
            raise ValueError("another word")
        return text(raw)

    parse = read

    def show(self, value: object) -> str:
        """Write the word."""
        return json.dumps(value)


@dataclass(frozen=True)
class Listening:
    """An address to listen on."""

    loopback: bool = False
    """Whether it must be a loopback address."""
    optional: bool = False
    """Whether it may be empty: no listener."""

    @property
    def allowed(self) -> str:
        """The allowed values, for an error sentence."""
        if self.loopback:
            return 'empty, or a loopback address like "127.0.0.1:9464"'
        if self.optional:
            return (
                'empty, or an address like "0.0.0.0:2022" or "[::]:2022"; port 0 picks a free one'
            )
        return 'an address like "0.0.0.0:65432" or "[::]:65432"; port 0 picks a free one'

    def read(self, raw: object) -> Address | None:
        """Take HOST, HOST:PORT or [IPv6]:PORT."""
        word = text(raw)
        if self.optional and not word:
            return None
        try:
            address = parse_address(word)
        except FsError:
            raise ValueError("no address") from None
        if self.loopback and not address.host.startswith(_LOOPBACK):
            raise ValueError("not on this machine alone")
        return address

    parse = read

    def show(self, value: object) -> str:
        """Write it."""
        return json.dumps("" if value is None else str(value))


@dataclass(frozen=True)
class DatabaseUrl:
    """The URL of a database; empty for the SQLite file in the data directory."""

    allowed: str = 'empty, or an SQLAlchemy URL like "postgresql+psycopg://fsd@/fsd"'

    def read(self, raw: object) -> str | None:
        """Take a URL; it is checked only when the database is opened."""
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError

        word = text(raw)
        try:
            if word:
                make_url(word)
        except ArgumentError:
            raise ValueError("no URL") from None
        return word or None

    parse = read

    def show(self, value: object) -> str:
        """Write it without its password."""
        from sqlalchemy.engine import make_url

        if value is None:
            return '""'
        return json.dumps(make_url(str(value)).render_as_string(hide_password=True))


@dataclass(frozen=True)
class HomeFolder:
    """The folder for keys, database and blobs."""

    allowed: str = 'the path of a folder, in which "~NAME" is a user with a home folder'

    def read(self, raw: object) -> Home:
        """Take a path; `~` is the home of the user."""
        word = text(raw)
        if not word or "\0" in word:
            raise ValueError("no path")
        try:
            return Home(Path(word).expanduser())
        except RuntimeError:
            raise ValueError("no such user, or one without a home folder") from None

    parse = read

    def show(self, value: object) -> str:
        """Write it."""
        if not isinstance(value, Home):
            raise TypeError("not a home")
        return json.dumps(str(value.path))
