"""The configuration file: its values by name, with the line of each."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fsproto.errors import BadSettingError

_LARGEST = 1 << 20
_HEADER = re.compile(r"\s*\[\s*([^\[\]#]+?)\s*\]\s*(?:#.*)?")
_KEY = re.compile(
    r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*="""
)


@dataclass(frozen=True)
class FileValue:
    """One value of a file."""

    name: str
    """With its section, joined by a dot."""
    value: object
    line: int


def read(path: Path) -> list[FileValue]:
    """Return the values of a file; `BadSettingError` if it cannot be read or is not TOML."""
    try:
        if path.stat().st_size > _LARGEST:
            raise BadSettingError(f"{path} is too large for a configuration file.")
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise BadSettingError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise BadSettingError(f"{path} is not UTF-8 text.") from None
    try:
        found = list(_leaves(tomllib.loads(text)))
    except tomllib.TOMLDecodeError as error:
        raise BadSettingError(
            f"{path} is not TOML: {error}.", hint='A setting is written as: name = "value"'
        ) from None
    except RecursionError:
        raise BadSettingError(f"{path} is nested too deep for a configuration file.") from None
    lines = _lines(text)
    return [FileValue(name, value, _line(lines, name)) for name, value in found]


def _leaves(tree: dict[str, object], above: str = "") -> Iterator[tuple[str, object]]:
    for key, value in tree.items():
        name = f"{above}{key}"
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{name}.")
        elif not isinstance(value, dict):  # an empty section sets nothing
            yield name, value


def _lines(text: str) -> dict[str, int]:
    """Return the line of each name; the TOML parser of Python does not report it.

    A value over several lines could contain text that looks like a name; the first line of a name
    counts.
    """
    found: dict[str, int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.fullmatch(line):
            section = _plain(header[1]) + "."
            found.setdefault(section[:-1], number)
        elif key := _KEY.match(line):
            found.setdefault(section + _plain(key[1]), number)
    return found


def _plain(name: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in name.split("."))


def _line(lines: dict[str, int], name: str) -> int:
    """Return the line of a name, or of the table that contains it, as in `a = {b = 1}`."""
    while name not in lines and "." in name:
        name = name.rpartition(".")[0]
    return lines.get(name, 1)
