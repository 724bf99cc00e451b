"""Architecture rules that import-linter cannot check: which modules access the outside.

`fsproto` gets randomness and time from its caller, and uses no disk, network or environment. In the
other packages, only the modules that the table names may make an access that it lists.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

READS_ENVIRONMENT = "reads the environment"
DRAWS_RANDOMNESS = "draws randomness"
READS_CLOCK = "reads the clock"
OPENS_FILES = "opens files"
OPENS_SOCKETS = "opens sockets"

REACHES = {
    "os.environ": READS_ENVIRONMENT,
    "os.environb": READS_ENVIRONMENT,
    "os.getenv": READS_ENVIRONMENT,
    "os.putenv": READS_ENVIRONMENT,
    "os.urandom": DRAWS_RANDOMNESS,
    "os.getrandom": DRAWS_RANDOMNESS,
    "random": DRAWS_RANDOMNESS,
    "secrets": DRAWS_RANDOMNESS,
    "uuid": DRAWS_RANDOMNESS,
    "time": READS_CLOCK,
    "datetime": READS_CLOCK,
    "open": OPENS_FILES,
    "io": OPENS_FILES,
    "pathlib": OPENS_FILES,
    "shutil": OPENS_FILES,
    "tempfile": OPENS_FILES,
    "os.open": OPENS_FILES,
    "socket": OPENS_SOCKETS,
    "ssl": OPENS_SOCKETS,
    "asyncio": OPENS_SOCKETS,
}
"""Names that access the outside: a module, a name in it, or a built-in function."""

MAY: dict[str, dict[str, set[str]]] = {
    "fsproto": {reach: set() for reach in set(REACHES.values())},
}
"""For each package and each restricted access: the modules that may make it. Accesses that a
package does not list are allowed everywhere in it."""


def reaches(source: str) -> Iterator[str]:
    """Yield every access in `source` that `REACHES` names, also under an import alias."""
    tree = ast.parse(source)
    names: dict[str, str] = {"open": "open"}
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=imported):
                for alias in imported:
                    names[alias.asname or alias.name.split(".")[0]] = (
                        alias.name if alias.asname else alias.name.split(".")[0]
                    )
            case ast.ImportFrom(module=str(module), names=imported, level=0):
                for alias in imported:
                    names[alias.asname or alias.name] = f"{module}.{alias.name}"
    for full in names.values():
        yield from _named(full) if full != "open" else ()
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=owner), attr=attribute) if owner in names:
                yield from _named(f"{names[owner]}.{attribute}")
            case ast.Call(func=ast.Name(id="open")) if names["open"] == "open":
                yield REACHES["open"]


def _named(full: str) -> Iterator[str]:
    """Yield the access of a dotted name, if the name or its module is in the table."""
    parts = full.split(".")
    for end in range(1, len(parts) + 1):
        if (name := ".".join(parts[:end])) in REACHES:
            yield REACHES[name]


def _modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("package", MAY)
def test_a_module_reaches_outside_only_where_the_table_allows_it(package: str):
    assert _modules(package)
    forbidden = {
        f"{_name(path)} {reach}"
        for path in _modules(package)
        for reach in reaches(path.read_text("utf-8"))
        if _name(path) not in MAY[package].get(reach, {_name(path)})
    }
    assert forbidden == set()


@pytest.mark.parametrize("package", MAY)
def test_the_table_names_only_what_is_there_and_needs_it(package: str):
    done = {
        (_name(path), reach)
        for path in _modules(package)
        for reach in reaches(path.read_text("utf-8"))
    }
    allowed = {(module, reach) for reach, modules in MAY[package].items() for module in modules}
    assert allowed - done == set()


@pytest.mark.parametrize(
    ("source", "reach"),
    [
        ("import os\nos.environ['A']", READS_ENVIRONMENT),
        ("import os as o\no.getenv('A')", READS_ENVIRONMENT),
        ("from os import environ as e", READS_ENVIRONMENT),
        ("import os\ndraw = os.urandom", DRAWS_RANDOMNESS),
        ("def f():\n    from secrets import token_bytes", DRAWS_RANDOMNESS),
        ("import time", READS_CLOCK),
        ("from datetime import datetime", READS_CLOCK),
        ("with open('a') as f: pass", OPENS_FILES),
        ("import os.path\nos.open('a', 0)", OPENS_FILES),
        ("from pathlib import Path", OPENS_FILES),
        ("from socket import socket as s", OPENS_SOCKETS),
    ],
)
def test_every_way_to_reach_outside_is_seen(source: str, reach: str):
    assert reach in set(reaches(source))


@pytest.mark.parametrize(
    "source",
    [
        "aead.open(nonce, sealed)",
        "import os\nos.fspath('a')",
        "def open(x): ...",
        "from fsproto.keys.tree import random",
        "random(32)",
        "self.time = time_ms",
    ],
)
def test_nothing_else_is_taken_for_it(source: str):
    assert list(reaches(source)) == []


def test_what_is_named_in_the_table_exists():
    builtin = {"open"}
    assert {name.split(".")[0] for name in REACHES} - builtin <= set(sys.stdlib_module_names)
