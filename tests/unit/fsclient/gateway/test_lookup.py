"""Lookups from the cache: how fresh each part of a path must be."""

from __future__ import annotations

import pytest

from fsclient.gateway.known_folders import FolderRecord
from fsclient.gateway.lookup import FRESH_S, FRESH_TO_WRITE_S, PathLookup
from fsclient.gateway.nodes import CachedNode, GatewayNode
from fsclient.gateway.paths import GatewayPath, place_of
from fsproto.types import Hash
from tests.unit.fsclient.gateway.test_nodes import folder_in, top

STATE = Hash(bytes(32))
TOP = GatewayPath(())


class At:
    """A clock that shows the time it was set to."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> At:
    return At()


@pytest.fixture
def lookup(clock: At) -> PathLookup:
    """A lookup that has `/d`, which is empty; both folders were confirmed at 0 s."""
    lookup, root = PathLookup(clock=clock), top()
    folder = folder_in(root, "d")
    lookup._root = root
    for node, names in ((root, {"d": folder}), (folder, {})):
        assert node.found is not None
        cached = {name: CachedNode.of(one) for name, one in names.items()}
        record = FolderRecord[CachedNode | GatewayNode](
            node.found.keyed, STATE, 0.0, dict(cached), is_complete=True
        )
        lookup._known.note(node.place, record, -FRESH_S)
    return lookup


def commit(lookup: PathLookup, at_s: float) -> None:
    """Confirm `/d`, as each commit into it does; the folders above it are not confirmed."""
    lookup._known.change(place_of("d"), (STATE, STATE), {}, at_s)


def test_a_folder_that_is_written_file_by_file_needs_no_questions(
    lookup: PathLookup, clock: At
) -> None:
    new = place_of("d/new")
    for tenth in range(1, 10):
        clock.now_s = tenth / 10
        commit(lookup, clock.now_s - 0.01)
        assert lookup.known(new, follow=True, within_s=FRESH_TO_WRITE_S) == (new, None)


def test_a_file_to_write_was_confirmed_lately_and_its_folder_not_long_ago(
    lookup: PathLookup, clock: At
) -> None:
    new = place_of("d/new")
    clock.now_s = FRESH_TO_WRITE_S + 0.1
    assert lookup.known(new, follow=True, within_s=FRESH_TO_WRITE_S) is None
    assert lookup.known(place_of("d"), follow=True, within_s=FRESH_TO_WRITE_S) is None
    clock.now_s = FRESH_S + 0.1
    commit(lookup, clock.now_s)
    assert lookup.known(new, follow=True, within_s=FRESH_TO_WRITE_S) is None


def test_a_missing_folder_on_the_way_is_asked_for(lookup: PathLookup) -> None:
    assert lookup.known(place_of("e/new"), follow=True) is None
    assert lookup.known(place_of("e"), follow=True) == (place_of("e"), None)
    assert PathLookup().known(TOP, follow=True) is None
