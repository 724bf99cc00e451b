"""Compares JSON results with the fields that docs/json.md has."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import fsadmin.results
import fsclient.results.table

_RESULTS: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "fsclient": fsclient.results.table.RESULTS,
    "fsadmin": fsadmin.results.RESULTS,
}
_OF_ERRORS = {"error", "message", "hint", "details"}


def checked(program: str, words: Sequence[object], text: str) -> Any:
    """Return the value of a JSON result; `AssertionError` for an undocumented field.

    `words` are those of the command line.
    """
    value = json.loads(text)
    if isinstance(value, dict) and {"error", "message", "hint"} <= set(value) <= _OF_ERRORS:
        return value
    name = command_of(program, [str(word) for word in words])
    if name is None:
        return value
    known = _RESULTS[program][name]
    missing = {path for path in _paths(value) if not _is_known(path, known)}
    assert not missing, f"docs/json.md lacks of {program} {name}: {sorted(missing)}"
    return value


def command_of(program: str, words: Sequence[str]) -> str | None:
    """Return the documented name of the command in these words: the longest, then the first.

    None for the commands of a script.
    """
    if not words or "shell" in words:
        return None
    found = {name: at for name in _RESULTS[program] if (at := _places(words, name.split()))}
    assert found, f"docs/json.md has no command of {program} in {words}"
    first = min(at[0] for at in found.values())
    near = [name for name, at in found.items() if at[0] == first]
    return max(near, key=lambda name: (len(found[name]), [-place for place in found[name]]))


def _places(words: Sequence[str], wanted: list[str]) -> list[int]:
    """Return where the wanted words stand, in their order; nothing if one is missing."""
    places = list[int]()
    for word in wanted:
        try:
            places.append(words.index(word, places[-1] + 1 if places else 0))
        except ValueError:
            return []
    return places


def _paths(value: object, above: str = "") -> Iterator[str]:
    if isinstance(value, list):
        for one in value:
            yield from _paths(one, f"{above}[]")
    elif isinstance(value, dict):
        for key, one in value.items():
            path = f"{above}.{key}" if above else key
            # What was removed: a list of a folder, one object of a file.
            path = path.replace("removed.", "removed[].") if above == "removed" else path
            yield path
            yield from _paths(one, path)


def _is_known(path: str, known: Mapping[str, str]) -> bool:
    stem = path.removesuffix("_utc")
    if stem != path and (f"{stem}_ms" in known or f"{stem}_ns" in known):
        return True
    return path in known or any("*" in one and _matches(path, one) for one in known)


def _matches(path: str, pattern: str) -> bool:
    """Return whether the parts of a path are those of a pattern, in which `*` is any part."""
    parts, wanted = path.split("."), pattern.split(".")
    return len(parts) == len(wanted) and all(
        one in (part, "*") for part, one in zip(parts, wanted, strict=True)
    )


def fields_of(value: Mapping[str, object]) -> set[str]:
    """Return the names of an object's fields, without the texts of its times."""
    return {name for name in value if not name.endswith("_utc")}
