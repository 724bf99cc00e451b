"""Receiving from a public link: open it, show what is in it, get its files.

The ticket of a download is kept in the target's folder until the download is complete, so that the
same command resumes it and the server counts it once.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from fsclient import ui
from fsclient.connection.retry import NoRetry, Reconnecting, Timeouts
from fsclient.links.download import LinkDownloader
from fsclient.links.http import LinkServer, may_be_gone
from fsclient.local_errors import local_errors
from fsclient.transfer.filters import Filters
from fsclient.transfer.local.files import (
    LocalStat,
    OutputFile,
    facts_of,
    is_folder_there,
    make_folder,
)
from fsclient.transfer.local.folder_names import DiskNames, LocalFolder, local_folder
from fsclient.transfer.report import actions as what
from fsclient.transfer.report.actions import Actions
from fsclient.transfer.report.failures import Failures
from fsclient.transfer.report.progress import Progress
from fskit.files import make_folders
from fsproto.errors import ConflictError, NotFoundError, UsageError
from fsproto.limits import MAX_PUBLIC_LINK_TICKET, PUBLIC_LINK_TICKET_S
from fsproto.links.description import Description, LinkedFile, open_description
from fsproto.links.secret import LinkKeys
from fsproto.links.url import LinkUrl
from fsproto.names import RemotePath
from fsproto.sealed.manifest import Mode, NodeKind

STDOUT = "-"
_ID_DIGITS = 16


class OpenLink:
    """A link whose description was opened and verified."""

    def __init__(
        self, url: LinkUrl, password: str, screen: ui.Ui, patience: Timeouts, *, resume: bool = True
    ) -> None:
        """Take the URL, and the password if the link has one."""
        self._keys: LinkKeys = url.secret.keys(password)
        self.server = LinkServer(
            url.base, self._keys, guarded=url.secret.guarded, timeout_s=patience.silence_s
        )
        self.retry: NoRetry = NoRetry()
        if resume:
            self.retry = Reconnecting(self.server.reconnect, self.server.host, screen, patience)
        if not self.server.is_protected:
            screen.warn(
                "The connection is not encrypted: others on the network can use up the link, "
                "though they cannot open it."
            )

    def describe(self) -> Description:
        """Return what is in the link; `SecurityError` if the server sent anything else."""
        return open_description(self._keys, self.server.description()).body

    def start(self) -> None:
        """Start a download, which the server counts, unless there is a ticket already."""
        if not self.server.ticket:
            self.server.start()  # once: the server counts each

    @property
    def id(self) -> str:
        """The start of the link's id, for the names of local files."""
        return self._keys.link.hex()[:_ID_DIGITS]


class KeptTicket:
    """The ticket of an unfinished download, in the folder of the target."""

    def __init__(self, folder: Path, link: OpenLink) -> None:
        self._path = folder / f".link.{link.id}.fs-part"
        self._link = link

    def take(self) -> bool:
        """Give the ticket of an unfinished download to the link; return whether there is one."""
        with suppress(OSError):
            age_s = time.time() - self._path.stat().st_mtime
            ticket = self._path.read_bytes()
            if 0 <= age_s < PUBLIC_LINK_TICKET_S and 0 < len(ticket) <= MAX_PUBLIC_LINK_TICKET:
                self._link.server.ticket = ticket
                return True
        return False

    def keep(self) -> None:
        """Keep the ticket of the download that was started; a failure costs only the resuming."""
        with suppress(OSError):
            self.drop()
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(self._link.server.ticket)

    def drop(self) -> None:
        """Delete the kept ticket."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


class LinkGet:
    """One `get` of a link."""

    def __init__(
        self,
        link: OpenLink,
        progress: Progress,
        failures: Failures,
        actions: Actions,
        filters: Filters,
        *,
        update: bool,
    ) -> None:
        """`update`: skip files that are the same already."""
        self._link = link
        self._progress = progress
        self._failures = failures
        self._actions = actions
        self._filters = filters
        self._update = update
        self._names = DiskNames(may_write=not actions.dry_run)
        self._resumed = False

    def run(self, target: str) -> str:
        """Get everything, into `target` if it is a folder, else as `target`; say where."""
        if not target:
            raise UsageError("An empty path names nothing; '.' is the current folder.")
        into = target.endswith(("/", os.sep)) or Path(target).is_dir()
        folder = Path(target) if into else Path(target).parent
        ticket = KeptTicket(folder, self._link)
        body = self._opened(ticket)
        if into:
            self._make_folders(folder)
        place = Path(target)
        if into:
            names = local_folder(folder, self._names)
            place = folder / names.give(RemotePath(None, (body.name,)))
        if not self._actions.dry_run:
            self._link.start()
            if not self._resumed:
                ticket.keep()
        downloader = LinkDownloader(self._link.server, self._progress, self._link.retry)
        try:
            if body.kind is NodeKind.FILE:
                self._file(downloader, body.files[0], place, follow=True)
            else:
                self._folder(downloader, body, place)
        finally:
            downloader.close()
        if not self._failures:
            ticket.drop()
        if not into:
            return f"as {target}"
        return "" if Path(target) == Path() else f"into {target.rstrip('/')}/"

    def to_stdout(self) -> str:
        """Write the one file of the link to standard output."""
        body = self._link.describe()
        if body.kind is not NodeKind.FILE:
            raise UsageError("A folder cannot be written to standard output.")
        self._link.start()
        stdout = ui.binary_stdout()
        downloader = LinkDownloader(self._link.server, self._progress, self._link.retry)
        try:
            downloader.write_to(body.files[0], OutputFile(stdout, ui.STDOUT))
            with local_errors(ui.STDOUT):
                stdout.flush()
        finally:
            downloader.close()
        return ""

    def _opened(self, ticket: KeptTicket) -> Description:
        """Return the description, by the ticket of an unfinished download if there is one."""
        if self._link.retry.resumes and ticket.take():
            try:
                body = self._link.describe()
            except NotFoundError:  # the ticket may be too old
                self._link.server.ticket = b""
                ticket.drop()
            else:
                self._resumed = True
                return body
        return self._link.describe()

    def _make_folders(self, folder: Path) -> None:
        if not folder.is_dir() and not self._actions.dry_run:
            with local_errors(folder):
                make_folders(folder)

    def _folder(self, downloader: LinkDownloader, body: Description, top: Path) -> None:
        made: dict[tuple[str, ...], LocalFolder] = {}
        self._local(made, (), top)
        for path in body.folders:
            with self._failures.noted():
                self._local(made, tuple(path.split("/")), top)
        for file in body.files:
            if self._filters.leave_out(file.path, lambda file=file: _facts(file)):  # type: ignore[misc]
                self._actions.excluded += 1
                continue
            with self._failures.noted():
                above = self._local(made, file.parts[:-1], top)
                name = above.give(RemotePath(None, (body.name, *file.parts)))
                self._file(downloader, file, above.path / name, follow=False)

    def _local(
        self, made: dict[tuple[str, ...], LocalFolder], parts: tuple[str, ...], top: Path
    ) -> LocalFolder:
        """Return the local folder for a path, and make it if it is missing; no link is followed."""
        if parts in made:
            return made[parts]
        path = top
        if parts:
            above = self._local(made, parts[:-1], top)
            path = above.path / above.give(RemotePath(None, parts))
        if not is_folder_there(path, follow=not parts):
            self._actions.note(what.MAKE_FOLDER, f"{path}{os.sep}")
            if not self._actions.dry_run:
                make_folder(path)
                self._progress.folder_done()
        made[parts] = local_folder(path, self._names)
        return made[parts]

    def _file(
        self, downloader: LinkDownloader, file: LinkedFile, path: Path, *, follow: bool
    ) -> None:
        there = _there(path)
        if (self._update or self._resumed) and there == _facts(file):
            self._actions.note(what.SKIP, path)
            self._progress.file_spared(file.size)
            return
        if there is None and path.is_dir():
            raise ConflictError(f"The local '{path}' is a folder; a file cannot take its place.")
        self._actions.note(what.GET if there is None else what.REPLACE, path, file.size)
        if self._actions.dry_run:
            return
        self._progress.expect(file.size)
        try:
            downloader.get(file, path, follow=follow)
        except NotFoundError as error:
            raise may_be_gone(error) from None


def _facts(file: LinkedFile) -> LocalStat:
    return LocalStat(file.size, file.mtime_ns, Mode(file.mode))


def _there(path: Path) -> LocalStat | None:
    """Return size, time and mode of a regular file; None if there is none."""
    try:
        found = facts_of(path.lstat())
    except OSError:
        return None
    if path.is_dir():
        return None
    return LocalStat(found.size, found.mtime_ns, found.mode)
