"""`fsclient history`."""

from __future__ import annotations

from typing import Any

import click

from fsclient.app import App
from fsclient.inbox.marks import dropped_data, mark
from fsclient.operations.listing import removed_data, removed_lines
from fsclient.operations.trash import RemoteTrash, TrashChoice
from fsclient.session.session import Session
from fsclient.transfer.report.failures import Failures
from fsclient.tree.history import FileHistory, Version
from fsclient.tree.removed import RemovedLookup, RemovedNode, reached
from fskit.text import time_column
from fsproto.names import RemotePath
from fsproto.sealed.manifest import Mode


@click.command()
@click.argument("path", metavar="REMOTE")
@click.option(
    "-r", "--recursive", is_flag=True, help="Of a folder: also from all folders below it."
)
@click.pass_obj
def command(app: App, path: str, *, recursive: bool) -> None:
    """Show the versions of a file, or the files that were removed from a folder.

    For a file, also a removed one: each version that the server still has, with its time, size,
    author and changes. 'get --version N' gets a version, 'restore --version N' makes it the
    newest.

    For a folder: what was removed from it, when and by whom. 'restore' brings it back. With -r,
    also what was removed from the folders below it, the latest first, with paths.

    Everything shown was verified: the server can keep less than it should, but it cannot change
    anything.
    """
    failures = Failures(app.ui)
    with app.session() as session:
        data, lines = _told(session, app.path(path), failures, recursive=recursive)
    app.ui.result(data, lines)
    failures.raise_if_any()


def _told(
    session: Session, path: RemotePath, failures: Failures, *, recursive: bool
) -> tuple[dict[str, Any], list[str]]:
    lookup, past = RemovedLookup(session.tree), FileHistory(session.tree)
    folder, there = reached(session.tree, path)
    if there is not None and there.is_folder:
        if recursive:
            gone, refused = RemoteTrash(session, failures).find(TrashChoice((path,)))
        else:
            gone, refused = lookup.of(there), lookup.refused
        for one in refused:
            failures.note(one.error)
        data = [removed_data(one) for one in gone]
        lines = _removed_lines(gone, with_paths=recursive)
        return {"path": str(path), "kind": "folder", "removed": data}, lines
    if there is not None:
        session.tree.find(path)  # raises the error for a file that was named as a folder
    facts: dict[str, Any] = {"path": str(path)}
    lines = []
    if there is not None:
        found = there
    else:
        removed = lookup.named(folder, path)[0]
        found = removed.found
        facts["removed"] = removed_data(removed)
        lines = removed_lines([removed], [str(path)])
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
        f"{number:>{widths[0]}}  {time_column(one.found.manifest.body.time_ms)}  "
        f"{size:>{widths[1]}}  {author:<{widths[2]}}  {changes}".rstrip()
        for one, number, size, author, changes in zip(
            versions, numbers, sizes, authors, told, strict=True
        )
    ]
    if versions and versions[-1].number > 1:
        lines.append(f"The server no longer has versions before {versions[-1].number}.")
    return lines


def _removed_lines(gone: list[RemovedNode], *, with_paths: bool) -> list[str]:
    if not gone:
        return ["Nothing was removed from it, or the server no longer has it."]
    names = [str(one.found.path) if with_paths else one.found.metadata.name for one in gone]
    return removed_lines(gone, names)
