"""`fsclient history`."""

from __future__ import annotations

from typing import Any

import click

from fsclient.app import App
from fsclient.inbox.marks import dropped_data, mark
from fsclient.session.session import Session
from fsclient.transfer.report.failures import Failures
from fsclient.tree.history import FileHistory, Version
from fsclient.tree.removed import RemovedLookup, RemovedNode, reached
from fskit.text import time_text
from fsproto.names import RemotePath, parse_path
from fsproto.sealed.manifest import Mode


@click.command()
@click.argument("path", metavar="REMOTE")
@click.pass_obj
def command(app: App, path: str) -> None:
    """Show the versions of a file, or the files that were removed from a folder.

    For a file, also a removed one: each version that the server still has, with its time, size,
    author and changes. 'get --version N' gets a version, 'restore --version N' makes it the
    newest.

    For a folder: what was removed from it, when and by whom. 'restore' brings it back.

    Everything shown was verified: the server can keep less than it should, but it cannot change
    anything.
    """
    failures = Failures(app.ui)
    with app.session() as session:
        data, lines = _told(session, parse_path(path), failures)
    app.ui.result(data, lines)
    failures.raise_if_any()


def _told(
    session: Session, path: RemotePath, failures: Failures
) -> tuple[dict[str, Any], list[str]]:
    lookup, past = RemovedLookup(session.tree), FileHistory(session.tree)
    folder, there = reached(session.tree, path)
    if there is not None and there.is_folder:
        gone = lookup.of(there)
        for error in lookup.refused:
            failures.note(error)
        data = [_removed_data(one) for one in gone]
        return {"path": str(path), "kind": "folder", "removed": data}, _removed_lines(gone)
    if there is not None:
        session.tree.find(path)  # raises the error for a file that was named as a folder
    facts: dict[str, Any] = {"path": str(path)}
    lines = []
    if there is not None:
        found = there
    else:
        removed = lookup.named(folder, path)[0]
        found = removed.found
        facts["removed"] = _removed_data(removed)
        lines = [_removed_line(removed, str(path))]
    facts["kind"] = found.kind
    versions = [] if found.is_folder else past.of(found)
    for error in past.refused:
        failures.note(error)
    facts["versions"] = [_data(one) for one in versions]
    facts["complete"] = bool(versions) and versions[-1].number == 1
    return facts, lines + _lines(versions)


def _data(version: Version) -> dict[str, Any]:
    body, metadata = version.found.manifest.body, version.found.metadata
    return {
        "version": version.number,
        "time_ms": body.time_ms,
        "name": version.name,
        "size": metadata.size,
        "mtime_ns": metadata.mtime_ns,
        "executable": metadata.mode is Mode.EXECUTABLE,
        "author": body.author,
        "author_checked": version.placed,
        "changes": version.changes,
        "dropped": dropped_data(metadata),
    }


def _lines(versions: list[Version]) -> list[str]:
    numbers = [str(one.number) for one in versions]
    sizes = [f"{one.found.metadata.size:,}" for one in versions]
    authors = [
        one.found.manifest.body.author + ("" if one.placed else " (not checked)")
        for one in versions
    ]
    widths = [max(map(len, some), default=0) for some in (numbers, sizes, authors)]
    told = [", ".join(one.changes) + mark(one.found.metadata) for one in versions]
    lines = [
        f"{number:>{widths[0]}}  {time_text(one.found.manifest.body.time_ms)}  "
        f"{size:>{widths[1]}}  {author:<{widths[2]}}  {changes}".rstrip()
        for one, number, size, author, changes in zip(
            versions, numbers, sizes, authors, told, strict=True
        )
    ]
    if versions and versions[-1].number > 1:
        lines.append(f"The server no longer has versions before {versions[-1].number}.")
    return lines


def _removed_data(one: RemovedNode) -> dict[str, Any]:
    found, body = one.found, one.state.body
    return {
        "name": found.metadata.name,
        "path": str(found.path),
        "kind": found.kind,
        "size": found.metadata.size,
        "version": found.manifest.body.version,
        "id": one.id,
        "removed_ms": body.time_ms,
        "removed_by": body.author,
        "replaced": one.replaced,
    }


def _removed_lines(gone: list[RemovedNode]) -> list[str]:
    if not gone:
        return ["Nothing was removed from it, or the server no longer has it."]
    return [_removed_line(one, one.found.metadata.name + "/" * one.found.is_folder) for one in gone]


def _removed_line(one: RemovedNode, name: str) -> str:
    how = "replaced" if one.replaced else "removed"
    size = "-" if one.found.is_folder else f"{one.found.metadata.size:,}"
    when = time_text(one.state.body.time_ms)
    return f"{one.id}  {when}  {size:>12}  {how} by {one.state.body.author}  {name}"
