"""What changed on which side since the last sync: all combinations of three versions."""

from __future__ import annotations

from itertools import product

import pytest

from fsclient.transfer.local.files import LocalStat
from fsclient.transfer.pairs.state import (
    FORMAT,
    Change,
    Head,
    PairState,
    SyncedFile,
    SyncedFolder,
    change_at_server,
    change_here,
    synced_file,
)
from fsproto.packing import pack, unpack
from fsproto.sealed.manifest import Mode
from fsproto.signed import Signed
from fsproto.types import NodeId, Root

VERSIONS = {
    version: (LocalStat(10 + version, 1000 * version, Mode.REGULAR), Root(bytes([version]) * 32))
    for version in (1, 2, 3)
}
NODE = NodeId(b"n" * 16)
LAST = {"a/b": synced_file(*VERSIONS[1])}
STATES = list(product((1, 2, 3), (1, 2, 3, None)))
"""The versions of the target and of the source, which may have removed the file."""


def expected(target: int, source: int | None) -> Change:
    if target == 1:
        return Change.NONE
    return Change.DESTINATION if source == 1 else Change.BOTH


@pytest.mark.parametrize(("target", "source"), STATES)
def test_a_target_that_is_not_as_it_was_is_a_change(target: int, source: int | None):
    root, local = VERSIONS[target][1], VERSIONS[source][0] if source else None
    assert change_at_server(LAST, "a/b", root, local) is expected(target, source)
    there = VERSIONS[source][1] if source else None
    assert change_here(LAST, "a/b", VERSIONS[target][0], there) is expected(target, source)


@pytest.mark.parametrize(("target", "source"), STATES)
def test_what_was_in_no_sync_is_unknown(target: int, source: int | None):
    local = VERSIONS[source][0] if source else None
    assert change_at_server(LAST, "b", VERSIONS[target][1], local) is Change.UNKNOWN
    there = VERSIONS[source][1] if source else None
    assert change_here({}, "a/b", VERSIONS[target][0], there) is Change.UNKNOWN


@pytest.mark.parametrize(
    ("facts", "same"),
    [
        (LocalStat(11, 1000, Mode.EXECUTABLE), True),
        (LocalStat(11, 1999, Mode.REGULAR), True),  # file systems round times
        (LocalStat(11, 2001, Mode.REGULAR), False),
        (LocalStat(12, 1000, Mode.REGULAR), False),
        (LocalStat(11, 1000, Mode.SYMLINK), False),
    ],
)
def test_a_local_file_is_known_by_size_time_and_kind(facts: LocalStat, same: bool):
    assert LAST["a/b"].is_local(facts) is same


def test_a_state_is_packed_and_read_again():
    state = PairState(
        FORMAT,
        complete=True,
        folders={"": SyncedFolder(NODE), "ü": SyncedFolder(NODE, 7, Signed(b"m", b"s"), b"h")},
        heads={b"n" * 16: Head(3, b"l" * 32, b"h" * 32)},
        files={"ü/b": SyncedFile(1, -5, Mode.SYMLINK, Root(b"x" * 32), Mode.SYMLINK)},
    )
    assert unpack(pack(state), PairState) == state
