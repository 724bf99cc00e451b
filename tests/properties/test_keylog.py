"""The key log: every valid history is read back, and its roots follow RFC 9162."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fsproto.errors import SecurityError
from fsproto.keylog.entries import KeyEvent
from fsproto.keylog.head import pack_log_head, unpack_log_head
from fsproto.proofs import merkle
from fsproto.types import Hash
from tests.support import strategies as our
from tests.support.key_logs import key_log
from tests.support.reference import sha256, tree_hash
from tests.unit.fsproto.keylog.test_log import Scribe, public

MANY = [b"entry %d" % n for n in range(300)]


def frontier(leaves: Sequence[Hash], start: merkle.Frontier | None = None) -> merkle.Frontier:
    """Return the frontier after some further leaves."""
    found = start or merkle.Frontier()
    for leaf in leaves:
        found.append(leaf)
    return found


Steps = Sequence[tuple[str, KeyEvent]]
steps = st.lists(st.tuples(st.sampled_from(["alice", "bob", "carol"]), st.sampled_from(KeyEvent)))


@pytest.mark.parametrize("size", [*range(1, 70), 127, 128, 129, 255, 256, 257, 300])
def test_the_root_of_a_list_of_any_size_is_that_of_the_rfc(size: int):
    leaves = [merkle.leaf_hash(data) for data in MANY[:size]]
    assert frontier(leaves).root == tree_hash(MANY[:size])


def test_the_root_of_nothing_is_the_hash_of_nothing():
    assert frontier([]).root == sha256(b"")


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=40))
def test_the_root_of_any_list_is_that_of_the_rfc_and_of_its_paths(data: list[bytes]):
    leaves = [merkle.leaf_hash(one) for one in data]
    assert frontier(leaves).root == tree_hash(data) == merkle.root_and_paths(leaves)[0]


@given(st.lists(st.binary(max_size=40), max_size=40), st.data())
def test_a_frontier_that_was_packed_continues_the_list(data: list[bytes], draw: st.DataObject):
    leaves = [merkle.leaf_hash(one) for one in data]
    cut = draw.draw(st.integers(0, len(leaves)))
    packed = frontier(leaves[:cut]).pack()
    again = frontier(leaves[cut:], merkle.Frontier(cut, packed))
    assert (again.size, again.pack()) == (len(leaves), frontier(leaves).pack())
    for wrong in (packed + bytes(32), packed + b"\0", packed[:-32]):
        if wrong != packed:
            with pytest.raises(ValueError, match="frontier"):
                merkle.Frontier(cut, wrong)


def write(steps: Steps) -> tuple[Scribe, dict[str, list[list[str]]]]:
    """Write the valid steps; return the log and, for each user, the names of their sets of keys."""
    scribe, lives = Scribe(), dict[str, list[list[str]]]()
    has_keys: set[str] = set()
    for at, (user, event) in enumerate(steps):
        if (event is KeyEvent.ENROLLED) == (user in has_keys):
            continue
        match event:
            case KeyEvent.ENROLLED:
                scribe.enrol(user, f"{at}")
                lives.setdefault(user, []).append([f"{at}"])
                has_keys.add(user)
            case KeyEvent.ROTATED:
                scribe.rotate(user, f"{at}")
                lives[user][-1].append(f"{at}")
            case KeyEvent.RESET:
                scribe.reset(user)
                has_keys.remove(user)
    return scribe, lives


@given(steps)
def test_any_history_that_may_be_is_read_as_it_was(steps: Steps):
    scribe, lives = write(steps)
    log = key_log(scribe.data)
    for user, chains in lives.items():
        for chain in chains:
            keys = [public(user, name) for name in chain]
            for key in keys:
                assert [found.ed25519 for found in log.all_of(user, key)] == keys
        now = log.now(user)
        assert now is None or now.ed25519 == public(user, chains[-1][-1])


@given(steps, st.data())
def test_two_histories_that_part_are_distinguished(steps: Steps, data: st.DataObject):
    scribe, _ = write(steps)
    assume(scribe.data)
    log = key_log(scribe.data)
    parted = data.draw(st.integers(0, len(scribe.data) - 1))
    forked = Scribe()
    forked.data = list(scribe.data[:parted])
    forked.enrol("mallory", "slipped in")
    other = key_log(forked.data)
    for size in range(1, parted + 1):
        log.check_seen(size, other.root(size))
    with pytest.raises(SecurityError):
        log.check_seen(parted + 1, other.root(parted + 1))


@given(steps, st.data())
def test_a_log_with_an_entry_left_out_put_twice_or_exchanged_is_refused(
    steps: Steps, data: st.DataObject
):
    scribe, _ = write(steps)
    assume(len(scribe.data) > 1)
    at = data.draw(st.integers(0, len(scribe.data) - 2))
    whole = scribe.data
    for wrong in (
        whole[:at] + whole[at + 1 :],
        whole[: at + 1] + whole[at:],
        [*whole[:at], whole[at + 1], whole[at], *whole[at + 2 :]],
    ):
        with pytest.raises(SecurityError):
            key_log(wrong)


@given(size=st.integers(1, (1 << 63) - 1), root=our.hashes)
def test_what_people_carry_of_a_log_is_read_as_it_was_written(size: int, root: Hash):
    assert unpack_log_head(pack_log_head(size, root)) == (size, root)
