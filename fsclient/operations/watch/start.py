"""Starts the watch of two folders: its lock, its threads and its loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from fsclient.app import App
from fsclient.operations.watch.local import LocalChanges
from fsclient.operations.watch.loop import WatchLoop
from fsclient.operations.watch.news import News
from fsclient.operations.watch.server import ServerChanges
from fsclient.session.login import SessionOpener
from fsclient.transfer.filters import Filters
from fsclient.transfer.pairs.only_watch import OnlyWatch
from fsclient.transfer.pairs.store import pair_path
from fsclient.transfer.sync import SyncPair
from fsproto.types import NodeId


@contextmanager
def watching(
    app: App,
    way: SyncPair,
    filters: Filters,
    once: Callable[[], NodeId | None],
    *,
    both: bool,
) -> Iterator[Callable[[], None]]:
    """Yield what runs the watch; `ConflictError` if the two folders are watched already.

    `once` runs one sync. With `both`, changes on the server are a reason for one, too.
    """
    profile, local = app.profile, Path(way.local)
    pair = pair_path(profile.pairs, profile.facts().link.user, local, way.remote)
    with app.in_use(), closing(OnlyWatch(pair)):
        news = News()
        loop = WatchLoop(app, news, once)
        here = LocalChanges(local, filters, news, loop.unwatched)
        there = ServerChanges(_opener(app), news) if both else None
        try:
            yield partial(loop.run, here, there)
        finally:
            here.stop()


def _opener(app: App) -> SessionOpener:
    """Return an opener for another thread, with the identity that this one has opened."""
    other = App(app.patience)
    other.options = app.options
    opener = other.keeper()
    opener.take(app.keeper().identity())
    return opener
