"""`fsclient trash`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from fsclient.app import App
from fsclient.commands.filtering import MomentType
from fsclient.operations.listing import removed_data, removed_lines
from fsclient.operations.restore import RestoreOperation
from fsclient.operations.trash import RemoteTrash, TrashChoice, forget
from fsclient.transfer.local.trash import TrashedFile, delete, trashed
from fsclient.transfer.report.failures import Failures
from fsclient.tree.removed import RefusedRemoval, RemovedNode
from fskit.text import count_text, size_text, time_text
from fsproto.errors import UsageError
from fsproto.names import RemotePath

F = TypeVar("F", bound=Callable[..., Any])
EXAMPLES = """\b
Examples:
  fsclient trash list                        everything that can come back
  fsclient trash list --local                what 'sync' moved away here
  fsclient trash restore 'reports/*.pdf'     all that match
  fsclient trash restore --id 4f00ba11       one of several of the same name
  fsclient trash empty --older-than 7d       removed more than a week ago
"""


@click.group(epilog=EXAMPLES)
def command() -> None:
    """List, restore or delete for good the files and folders that were removed.

    The server keeps removed files and folders for a time that its administrator chooses. REMOTE
    is a folder, for everything that was removed from it and from the folders below it; or the
    former path of a removed file or folder; or a quoted pattern of such paths. What was removed
    from a folder before that folder itself was removed comes into sight again with the folder.
    """


def _choosing(command: F) -> F:
    """Add the options that choose removed files and folders."""
    for option in (
        click.option("--older-than", "before_s", type=MomentType(), metavar="WHEN",
                     help="Only what was removed before a date, or so long ago: 8h, 7d, 2w."),
        click.option("--id", "ids", multiple=True, metavar="ID",
                     help="Only the one with this id, as 'trash list' shows it; repeatable."),
        click.argument("paths", nargs=-1, metavar="[REMOTE]…"),
    ):  # fmt: skip
        command = option(command)
    return command


_local = click.option(
    "--local", is_flag=True, help="The files that 'sync' moved to the trash of this machine."
)


@command.command("list", short_help="List what was removed, the latest first.")
@_choosing
@_local
@click.pass_obj
def list_(
    app: App, paths: tuple[str, ...], ids: tuple[str, ...], before_s: float | None, *, local: bool
) -> None:
    """List what was removed from all folders: id, time, size, person and former path.

    Everything shown was verified: the server can keep less than it should, but it can neither
    invent a removal nor change its author.
    """
    if local:
        _show_local(app, _local_files(app, paths, ids, before_s))
        return
    failures = Failures(app.ui)
    with app.session() as session:
        gone, refused = RemoteTrash(session, failures).find(_choice(app, paths, ids, before_s))
    for one in refused:
        failures.note(one.error)
    lines = removed_lines(gone, [str(one.found.path) for one in gone])
    app.ui.result(
        [removed_data(one) for one in gone],
        lines or ["Nothing was removed, or the server no longer has it."],
    )
    failures.raise_if_any()


@command.command("restore", short_help="Bring removed files and folders back.")
@_choosing
@click.option("--all", "everything", is_flag=True, help="Everything that was removed.")
@click.pass_obj
def restore(
    app: App,
    paths: tuple[str, ...],
    ids: tuple[str, ...],
    before_s: float | None,
    *,
    everything: bool,
) -> None:
    """Bring removed files and folders back to where they were, with their history.

    Of several that were removed under one path, the latest comes back. Where there is something
    now, nothing is replaced: 'fsclient restore REMOTE --id ID --as NAME' gives another name. They
    are no longer shared on their own; only the people with access to their folder see them.
    """
    if everything == bool(paths or ids):
        raise UsageError("Give paths, ids, or --all.")
    failures, done = Failures(app.ui), []
    with app.session() as session:
        gone, refused = RemoteTrash(session, failures).find(_choice(app, paths, ids, before_s))
        for one in refused:
            failures.note(one.error)
        restoring = RestoreOperation(session, app.ui)
        for node in _latest(gone) if not ids else gone:
            with failures.noted():
                result = restoring.bring_back(node)
                done.append(str(result.path))
                app.ui.say(f"brought back {result.path}")
    app.ui.result_of(restored=done, failed=failures.data)
    failures.raise_if_any()


@command.command("empty", short_help="Delete for good what was removed.")
@_choosing
@_local
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.pass_obj
def empty(
    app: App,
    paths: tuple[str, ...],
    ids: tuple[str, ...],
    before_s: float | None,
    *,
    local: bool,
    yes: bool,
) -> None:
    """Delete removed files and folders for good, with all their versions.

    Only the owner of a tree can do that. What it frees no longer counts in the account. Deletes
    exactly what is there when the question is asked: a file that is restored in the meantime
    stays. Nobody can verify that the server has really deleted the sealed content.
    """
    if local:
        _empty_local(app, _local_files(app, paths, ids, before_s), yes=yes)
        return
    failures = Failures(app.ui)
    with app.session() as session:
        trash = RemoteTrash(session, failures)
        gone, refused = trash.find(_choice(app, paths, ids, before_s))
        trash.check_own()
        everything: list[RemovedNode | RefusedRemoval] = [*gone, *refused]
        if everything:
            count = count_text(len(everything), "removed file or folder", _MANY)
            app.ui.confirm(f"Delete {count} for good? They cannot come back.", yes=yes)
            forget(session, everything)
    _tell_deleted(
        app, failures, len(everything), count_text(len(everything), "file or folder", _ALL)
    )


_MANY, _ALL = "removed files and folders", "files and folders"


def _tell_deleted(app: App, failures: Failures, deleted: int, shown: str) -> None:
    app.ui.say(f"deleted {shown} for good" if deleted else "there was nothing to delete")
    app.ui.result_of(deleted=deleted, failed=failures.data)
    failures.raise_if_any()


def _choice(
    app: App, paths: tuple[str, ...], ids: tuple[str, ...], before_s: float | None
) -> TrashChoice:
    return TrashChoice(tuple(map(app.path, paths)), ids, before_s)


def _latest(gone: list[RemovedNode]) -> list[RemovedNode]:
    """Return the latest of each path."""
    found: dict[RemotePath, RemovedNode] = {}
    for one in gone:
        found.setdefault(one.found.path, one)
    return list(found.values())


# --- of this machine


def _local_files(
    app: App, paths: tuple[str, ...], ids: tuple[str, ...], before_s: float | None
) -> list[TrashedFile]:
    if paths or ids:
        raise UsageError(
            "The option --local takes no paths and no ids.",
            hint="'trash list --local' shows each file.",
        )
    app.profile.facts()  # the error of a profile that does not exist
    return trashed(app.profile.trash, before_s)


def _show_local(app: App, files: list[TrashedFile]) -> None:
    sizes = [f"{one.size:,}" for one in files]
    width = max(map(len, sizes), default=0)
    lines = [
        f"{time_text(one.moved_s * 1000)}  {size:>{width}}  {one.path}"
        for one, size in zip(files, sizes, strict=True)
    ]
    data = [
        {
            "path": str(one.path),
            "former": one.relative,
            "size": one.size,
            "moved_ms": int(one.moved_s * 1000),
        }
        for one in files
    ]
    app.ui.result(data, lines or ["No sync has moved a file to the trash."])


def _empty_local(app: App, files: list[TrashedFile], *, yes: bool) -> None:
    deleted, count = 0, count_text(len(files), "local file")
    if files:
        size = size_text(sum(one.size for one in files))
        app.ui.confirm(f"Delete {count} of {size} for good? No server has them.", yes=yes)
        deleted = delete(files, app.profile.trash)
    _tell_deleted(app, Failures(app.ui), deleted, count)
