"""Puts local files back after `doctor` has accepted an older state of the server."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fsclient.app import App
from fsclient.operations.doctor import Difference
from fsclient.transfer.journal import Journals
from fsclient.transfer.options import TransferOptions
from fsclient.transfer.put import Put
from fsclient.transfer.report.actions import Actions
from fsclient.transfer.report.failures import Failures
from fsclient.transfer.report.progress import Progress
from fsclient.transfer.run import TransferRun
from fsproto.names import RemotePath


def local_copy(one: Difference, place: RemotePath, local: Path) -> Path | None:
    """Return the local file or folder that can take the place of a lost or replaced one.

    `local` is the local folder of the remote folder `place`. A replaced folder has none: the files
    in it are compared by themselves.
    """
    parts = one.path.parts[len(place.parts) :]
    if one.effect not in ("lost", "replaced") or not one.below or not one.named or not parts:
        return None
    path = local.joinpath(*parts)
    is_there = path.is_file() or (one.effect == "lost" and path.is_dir())
    return path if is_there and not path.is_symlink() else None


def put_back(app: App, copies: Iterable[tuple[Path, RemotePath]]) -> None:
    """Put each local file or folder to its remote path; unchanged files are skipped.

    A failure does not stop the others; the first one is raised at the end.
    """
    failures = Failures(app.ui)
    with app.transfer() as session, Progress(app.ui, "put", "put") as progress:
        journals = Journals(app.profile.transfers, session, keep=True)
        actions = Actions(app.ui, dry_run=False, verbose=False)
        rules = TransferOptions(update=True)
        task = TransferRun(session.caching(), progress, failures, actions, rules, journals)
        for local, remote in copies:
            Put(task).run([str(local)], remote)
    progress.tell("back", failed=len(failures))
    failures.raise_if_any()
