"""The local files and links that downloads write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from fsclient.local_errors import local_errors
from fsclient.transfer.down.write_behind import Writable
from fsclient.transfer.local.files import (
    LocalStat,
    OutputFile,
    give_name,
    passing_name,
    written_whole,
)
from fsclient.transfer.local.symlinks import link_made
from fsproto.sealed.manifest import Metadata, Mode


@contextmanager
def written(place: Path | str, metadata: Metadata, *, follow: bool = False) -> Iterator[Writable]:
    """Yield a target for a file or link; the file exists only if the block succeeds."""
    path = Path(place)
    if metadata.mode is Mode.SYMLINK:
        with link_made(path, metadata.mtime_ns) as link:
            yield link
        return
    with written_whole(path, facts_of(metadata), follow=follow) as file:
        yield OutputFile(file, path)


@contextmanager
def in_place_of_folder(path: Path, metadata: Metadata, remove: partial[bool]) -> Iterator[Writable]:
    """As `written`, but replace a folder; it is removed after the file is verified."""
    beside = path.with_name(passing_name())
    try:
        with written(beside, metadata) as target:
            yield target
        remove()
        with local_errors(path):
            give_name(beside, path)
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def facts_of(metadata: Metadata) -> LocalStat:
    """Return size, time and mode of a remote file as those of a local one."""
    return LocalStat(metadata.size, metadata.mtime_ns, metadata.mode)
