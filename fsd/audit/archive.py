"""Archives: the files that an export or a rotation writes, and their strict reader.

Each line is JSON: first the base of the span, then the entries with their hashes, then the end of
the span and its proof. Anyone with SHA-256 and msgpack can verify the hashes (`chain`); the proof
requires the server's master key and database.

    {"format": "fs audit 1", "base": 0, "base_hash": "00…"}
    {"seq": 1, "at_ms": …, "event": …, "actor": …, "subject": …, "address": …, "detail": …,
     "hash": …}                                                     (on one line)
    {"last": 1, "last_hash": "…", "proof": "…"}
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from fsd.audit.chain import ChainEntry, ChainFinding, Span, faults
from fskit.files import new_file
from fskit.json_data import parsed
from fskit.os_errors import file_error
from fsproto import labels
from fsproto.errors import ExistsError, IntegrityError, NotFoundError
from fsproto.names import for_terminal

_FORMAT = "fs audit 1"


@dataclass(frozen=True)
class Archive:
    """The content of an archive file, and the findings in it."""

    path: Path
    span: Span
    entries: int
    findings: list[ChainFinding]


def as_fields(entry: ChainEntry) -> dict[str, object]:
    """Return an entry in its JSON form, without its hash."""
    return {name: getattr(entry, name) for name in entry.__struct_fields__}


def write(path: Path, span: Span, proof: bytes, entries: Iterable[tuple[ChainEntry, bytes]]) -> int:
    """Write a new file (0600), whole and on the disk, or none; return how many entries it has.

    `ExistsError` if there is one of that name.
    """
    count = 0
    with _explained(path), new_file(path) as file:
        base = {"base": span.base, "base_hash": span.base_hash.hex()}
        file.write(_line({"format": _FORMAT, **base}))
        for entry, stored in entries:
            file.write(_line({**as_fields(entry), "hash": stored.hex()}))
            count += 1
        end = {"last": span.last, "last_hash": span.last_hash.hex()}
        file.write(_line({**end, "proof": proof.hex()}))
    return count


def read(path: Path, key: bytes) -> Archive:
    """Follow the chain in a file; `IntegrityError` if it is no archive, or not a whole one."""
    first, last = _ends(path)
    try:
        base, end = int(first["base"]), int(last["last"])
        span = Span(base, bytes.fromhex(first["base_hash"]), end, bytes.fromhex(last["last_hash"]))
        proof = bytes.fromhex(last["proof"])
        proved = span.proved(key, proof, labels.SERVER_AUDIT_ARCHIVE)
    except (KeyError, ValueError, TypeError, OverflowError):
        raise _damaged(path) from None
    findings = []
    if not proved:
        findings.append(ChainFinding(span.last, "The end of the archive was altered."))
    count = 0

    def counted() -> Iterator[tuple[ChainEntry, bytes]]:
        nonlocal count
        for pair in _entries(path):
            count += 1
            yield pair

    findings += faults(span, counted())
    return Archive(path, span, count, findings)


def _ends(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    first, last = None, None
    with _explained(path), path.open("rb") as file:
        for line in file:
            first = line if first is None else first
            last = line
    if first is None or last is None or not last.endswith(b"\n"):
        raise _damaged(path)
    ends = _object(path, first), _object(path, last)
    if ends[0].get("format") != _FORMAT or "proof" not in ends[1]:
        raise _damaged(path)
    return ends


def _entries(path: Path) -> Iterator[tuple[ChainEntry, bytes]]:
    with _explained(path), path.open("rb") as file:
        next(file)
        for line in file:
            fields = _object(path, line)
            if "proof" in fields:
                return
            try:
                stored = bytes.fromhex(str(fields.pop("hash")))
                values = [fields.pop(name) for name in ChainEntry.__struct_fields__]
                entry = msgspec.convert(values, ChainEntry)
            except (KeyError, ValueError, msgspec.ValidationError):
                raise _damaged(path) from None
            if fields:
                raise _damaged(path)
            yield entry, stored


def _object(path: Path, line: bytes) -> dict[str, Any]:
    try:
        found = parsed(line)
    except ValueError:
        raise _damaged(path) from None
    if not isinstance(found, dict):
        raise _damaged(path)
    return found


def _line(fields: dict[str, object]) -> bytes:
    return json.dumps(fields, ensure_ascii=True).encode() + b"\n"


def _damaged(path: Path) -> IntegrityError:
    return IntegrityError(f"{for_terminal(str(path))} is not a whole archive of an audit log.")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    shown = for_terminal(str(path))
    try:
        yield
    except FileExistsError:
        raise ExistsError(
            f"There is already a {shown}.", hint="Give another name; nothing was changed."
        ) from None
    except FileNotFoundError:
        raise NotFoundError(f"There is no {shown}, or not the folder it would lie in.") from None
    except OSError as error:
        raise file_error(f"{shown} cannot be used", error) from None
