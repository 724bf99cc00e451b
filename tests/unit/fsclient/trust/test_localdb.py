"""The SQLite files of a profile when several commands start at the same moment."""

from __future__ import annotations

from contextlib import closing
from multiprocessing.synchronize import Barrier
from pathlib import Path

from fsclient.trust.seen import SeenVersions
from fsclient.trust.sightings import STATE, Sighting
from fsproto.types import NodeId
from tests.support.lineages import point, prove
from tests.support.races import fresh_processes

_COMMANDS = 4
_FILES = 40
SEEN = Sighting(NodeId(bytes(16)), STATE, point(1))


def _open_each(folder: Path, at_once: Barrier) -> None:
    for number in range(_FILES):
        at_once.wait()
        with closing(SeenVersions(folder / f"{number}.db")) as memory:
            memory.check([SEEN], memory.mark(), prove)


def test_commands_that_begin_the_same_file_wait_for_one_another(tmp_path: Path) -> None:
    processes = fresh_processes()
    at_once = processes.Barrier(_COMMANDS, timeout=60)
    running = [
        processes.Process(target=_open_each, args=(tmp_path, at_once)) for _ in range(_COMMANDS)
    ]
    for process in running:
        process.start()
    for process in running:
        process.join()
    assert [process.exitcode for process in running] == [0] * _COMMANDS
