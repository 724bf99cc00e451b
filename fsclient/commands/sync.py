"""`fsclient sync`."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import click

from fsclient.app import App
from fsclient.commands.options import Choices, choosing, jobs_option, progress_option, resuming
from fsclient.transfer.journal import Journals
from fsclient.transfer.local.trash import KEPT_S, Trash, delete, trashed
from fsclient.transfer.options import TransferOptions
from fsclient.transfer.pairs.guard import SyncGuard
from fsclient.transfer.pairs.store import PairStore
from fsclient.transfer.report.failures import Failures
from fsclient.transfer.report.progress import Progress
from fsclient.transfer.run import TransferRun
from fsclient.transfer.sync import G, Sync, SyncPair, guarded, which_way
from fsclient.transfer.twoway.guard import TwoWayGuard
from fsclient.transfer.twoway.limits import parse_max_delete
from fsclient.transfer.twoway.plan import Resolve
from fsclient.transfer.twoway.run import TwoWaySync
from fskit.text import count_text
from fsproto.errors import FsError, UsageError
from fsproto.names import for_terminal
from fsproto.types import NodeId

EXAMPLES = """\b
Examples:
  fsclient sync photos safe/photos               the remote like the local one
  fsclient sync -n --delete photos safe/photos   what would that do?
  fsclient sync --down photos safe/photos        the local like the remote one
  fsclient sync alice:safe/photos photos         the same, if you are alice
  fsclient sync --two-way notes notes            changes of both sides to both
  fsclient sync --two-way --watch notes notes    the same, from now on
"""


@click.command(epilog=EXAMPLES)
@click.argument("local", metavar="LOCAL")
@click.argument("remote", metavar="REMOTE")
@click.option("--down", is_flag=True, help="Make LOCAL like REMOTE.")
@click.option("--two-way", is_flag=True, help="Carry the changes of each side to the other.")
@click.option("--watch", is_flag=True, help="Go on, and repeat the sync after each change.")
@click.option("--delete", is_flag=True, help="Remove what the source does not have.")
@click.option(
    "--checksum", is_flag=True, help="Compare contents even where size and time are the same."
)
@click.option(
    "--force", is_flag=True, help="Replace also what changed in the target since the last sync."
)
@click.option(
    "--conflict",
    type=click.Choice([one.value for one in Resolve]),
    help="With --two-way: the version that keeps the name where both sides changed; default both.",
)
@click.option(
    "--max-delete",
    metavar="LIMIT",
    help="With --two-way: files to remove from one side without a question, as 200 or 80%; "
    "default 100 files and 50%.",
)
@choosing
@resuming
@jobs_option
@progress_option
@click.pass_obj
def command(app: App, /, local: str, remote: str, **given: Any) -> None:  # noqa: ANN401 - of click
    """Make the remote folder REMOTE equal to the local folder LOCAL, sending only differences.

    REMOTE is created if missing. With --down, or if the first path names an owner
    ('alice:docs') and the second does not, LOCAL is made equal to REMOTE. Write a local name
    that contains ':' as './a:b'.

    Files of the same size, time and mode are skipped. If only time or mode differ, the content
    is compared on this machine by its salted hash; equal content is not sent. Times of folders,
    the execute bit and symbolic links are kept.

    --delete removes what the source does not have, after everything else has succeeded; if
    anything failed, nothing is removed. Only then does a file replace a folder, or a folder a
    file. What a filter leaves out, on either side, is never removed.

    The profile remembers the files that both folders had after a sync. A file that has changed
    in the target since, or was never part of a sync, is a conflict: it stays, the other files
    continue, and the exit status is 8. --force replaces it, and so does --delete in the first
    sync of two folders. The server keeps the old version in the history. A local file moves to
    'trash' in the profile, also if --delete removes a file that was never part of a sync. Each
    sync deletes what has been in there for 30 days.

    --two-way carries creations, changes, removals and moves since the last sync in both
    directions. A moved file or folder is moved on the other side, and not sent again; a change or
    a move beats a removal. Where both sides changed a file, the local version is renamed to
    'NAME (conflict 2026-11-28 14.03 alice).EXT', and both sides get both versions. With
    --conflict newer, local or remote, one version replaces the other; the history or the trash
    keeps the other one. Nothing is removed before one sync of the two folders was complete, or
    if anything failed. Nothing is changed if one side has lost all its files, or if more files
    than --max-delete would be removed: then a terminal asks, and a script fails with status 8.
    Names that one side cannot hold are reported and left alone.

    --watch, with --two-way or towards the server, goes on until Ctrl-C: it repeats the sync when a
    file changes here or on the server, and every five minutes. It prints what was done, and each
    problem once. It waits for a server that cannot be reached, and for a new session ('fsclient
    login', or by itself with --otp-secret-file). 'fsclient print-unit' prints a systemd unit.

    After a lost connection, the command reconnects. Run an interrupted sync again to resume it:
    large files continue where they stopped, as with 'put' and 'get'. '--no-resume' turns both
    off.
    """
    way = which_way(local, remote, down=given["down"], base=app.base)
    if given["watch"]:
        _watch(app, given, way)
    else:
        _Job(app, given).run(way)


def _watch(app: App, given: dict[str, Any], way: SyncPair) -> None:
    """Run the command again whenever something may have changed."""
    from fsclient.operations.watch.start import watching

    choices: Choices = given["choices"]
    if way.down or choices.dry_run:
        other = "a sync from the server" if way.down else "--dry-run"
        raise UsageError(f"The option --watch does not go with {other}.")
    known: set[str] = set()

    def once() -> NodeId | None:
        job = _Job(app, given, known=known)
        job.run(way)
        known.clear()
        known.update(job.failures.sentences)
        return job.folder

    with watching(app, way, choices.filters, once, both=given["two_way"]) as loop:
        app.ui.say(f"watching {for_terminal(way.local)} and {way.remote}/; Ctrl-C ends it")
        with suppress(KeyboardInterrupt):  # the documented end
            loop()


class _Job:
    """One run of the command with its options."""

    def __init__(
        self, app: App, given: dict[str, Any], *, known: Collection[str] | None = None
    ) -> None:
        """Take the options by name; `UsageError` for those that do not go together.

        `known` is for a run of a watch: what the run before has printed already.
        """
        self._app = app
        self._given = given
        self._choices: Choices = given["choices"]
        self._watched = known is not None
        self.failures = Failures(app.ui, known or ())
        self.folder: NodeId | None = None
        """The remote folder, after a complete sync."""
        self._trash = Trash(app.profile.trash)
        two_way = given["two_way"]
        self._actions = self._choices.actions(app.ui, both_sides=two_way)
        clash = ("down", "delete", "checksum", "force") if two_way else ("conflict", "max_delete")
        for name in clash:
            if given[name]:
                option = name.replace("_", "-")
                only = "does not go with --two-way" if two_way else "needs --two-way"
                raise UsageError(f"The option --{option} {only}.")

    def run(self, way: SyncPair) -> None:
        """Synchronise the two folders."""
        if self._given["two_way"]:
            self._two_way(way)
        else:
            self._one_way(way)

    def _one_way(self, way: SyncPair) -> None:
        """Make one side like the other."""
        delete, rules = self._given["delete"], self._rules(delete=self._given["delete"])
        make = partial(SyncGuard, trash=self._trash, force=self._given["force"], mirror=delete)
        verb, done = ("get", "got") if way.down else ("put", "put")
        with self._running(way, rules, (verb, done), make, caching=not way.down) as (task, guard):
            job = Sync(task, guard)
            where = job.down(way) if way.down else job.up(way)
        self._tell(task.progress, where, direction="down" if way.down else "up")

    def _two_way(self, way: SyncPair) -> None:
        """Carry the changes of each side to the other."""
        resolve = Resolve(self._given["conflict"] or "both")
        most = parse_max_delete(self._given["max_delete"])
        make = partial(TwoWayGuard, trash=self._trash)
        words, rules = ("sync", "synchronised"), self._rules(delete=False)
        with self._running(way, rules, words, make, caching=True) as (task, guard):
            job = TwoWaySync(task, guard, self._app.ui, resolve=resolve, most=most)
            where = job.run(way)
        top = guard.state.folders.get("")
        self.folder = None if top is None else top.node
        self._tell(task.progress, where, direction="both", conflicts=job.conflicts)

    def _rules(self, *, delete: bool) -> TransferOptions:
        checksum = self._given["checksum"]
        filters = self._choices.filters
        return TransferOptions(filters, mirror=True, delete=delete, checksum=checksum)

    @contextmanager
    def _running(
        self,
        way: SyncPair,
        rules: TransferOptions,
        words: tuple[str, str],
        make: Callable[..., G],
        *,
        caching: bool,
    ) -> Iterator[tuple[TransferRun, G]]:
        """Yield the parts of a sync, and its guard."""
        app, keep = self._app, not self._given["no_resume"]
        with (
            app.transfer(resume=keep, bandwidth=self._choices.bandwidth) as session,
            app.movers(self._given["jobs"]) as movers,
            Progress(app.ui, *words, self._given["progress_wanted"]) as progress,
        ):
            profile = app.profile
            journals = Journals(profile.transfers, session, keep=keep)
            used = session.caching() if caching else session
            used = used.following()
            store = PairStore(profile.pairs, session, Path(way.local), way.remote)
            with guarded(store, make, dry_run=self._choices.dry_run) as guard:
                reports = progress, self.failures, self._actions
                task = TransferRun(used, *reports, rules, journals, guard=guard, movers=movers)
                yield task, guard

    def _tell(self, progress: Progress, where: str, **result: object) -> None:
        """Print the totals and the result; exit with the status of the worst failure."""
        app, failures, trash = self._app, self.failures, self._trash
        if self._watched:
            failures.raise_alarm()
            if not self._actions.changed:
                return
        if not self._choices.dry_run:
            progress.tell(where, failed=len(failures))
        self._actions.tell()
        if trash.folder is not None:
            app.ui.say(f"moved {count_text(trash.kept, 'local file')} to {trash.shown()}")
        expired = 0 if self._choices.dry_run else self._expire_trash()
        app.ui.result_of(
            **result,
            **progress.totals(),
            **self._actions.result(),
            trash=None if trash.folder is None else str(trash.folder),
            trash_expired=expired,
            left_out=failures.left_out,
            failed=failures.data,
        )
        if not self._watched:
            failures.raise_if_any()

    def _expire_trash(self) -> int:
        """Delete what has been in the trash for too long; return how many files.

        The sync itself is done, so that a failure is only a warning.
        """
        folder = self._app.profile.trash
        try:
            deleted = delete(trashed(folder, time.time() - KEPT_S), folder)
        except FsError as error:
            self._app.ui.complain(error)
            return 0
        if deleted:
            files, days = count_text(deleted, "local file"), KEPT_S // 86_400
            self._app.ui.say(f"deleted {files} that had been in the trash for {days} days")
        return deleted
