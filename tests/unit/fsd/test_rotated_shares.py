"""A key rotation at the server renews the owner's shares in the same transaction, or nothing."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from fsproto.errors import (
    ConflictError,
    FsError,
    LoginRefused,
    NotAllowedError,
    RemoteProtocolError,
    SignatureError,
)
from fsproto.keylog.entries import KeyEvent
from fsproto.keys.grants import Role
from fsproto.keys.identity import Identity
from fsproto.keys.member_list import stated_members
from fsproto.messages.account import TreeRoot
from fsproto.messages.keylog import Rotate, RotatePart
from fsproto.messages.shares import GetShares
from fsproto.packing import unpack
from fsproto.sealed.folder import FolderState, sign_state, verify_state
from fsproto.signed import Signed
from tests.support import fixed_keys
from tests.support.key_logs import key_log
from tests.support.services import Clock, Services, identity, next_rotation
from tests.support.shared_folder import make_folder

replace = msgspec.structs.replace
pytestmark = pytest.mark.both_databases

NEW = identity("alice", "second", 2)


class Shared:
    """Alice's folder, shared with bob, and the rotation of her keys that renews it."""

    def __init__(self, office: Services, clock: Clock) -> None:
        self.office, self.clock = office, clock
        self.alice, self.bob = office.add("alice"), office.add("bob")
        for one in (self.alice, self.bob):
            one.enrol(office, clock())
        clock.forward(60)
        self.folder = make_folder(office, self.alice)
        self.folder.share((self.bob, Role.WRITER))

    def ask(self) -> Rotate:
        """Return the last message of the rotation, on top of the root as it is."""
        alice, tree = self.alice, self.alice.empty_tree
        state = self.office.files.lookup(alice.who, alice.root.node, []).state
        now, code = TreeRoot(tree.grant, tree.manifest, state), alice.code(self.clock())
        return next_rotation(alice.identity, NEW, now, code, self.office.log_head())

    def part(self, ask: Rotate, by: Identity = NEW, **changes: Any) -> RotatePart:
        """Return the part that renews the folder, with `changes` of its manifest."""
        folder, owner = copy.copy(self.folder), copy.copy(self.alice)
        root = unpack(ask.tree.state.payload, FolderState)
        top = verify_state(ask.tree.state, root.folder, "alice", NEW.signing.public)
        owner.identity, folder.owner = by, owner
        owner.version, owner.next_lineage = top.body.version, top.point.next_lineage
        new = folder.keyed.renewed(fixed_keys.Seeded("renewed"))
        fields = {"link_generation": 2, "author_key": by.signing.public} | changes
        made = folder.renewal(new, (self.bob, Role.WRITER), **fields)
        first, *others = made.states
        state = replace(unpack(first.payload, FolderState), generation=2)
        states = [sign_state(by.signing, state).signed, *others]
        return RotatePart(states, made.manifests, made.removals, made.members)

    def stored_list(self) -> Signed:
        """Return the member list as bob gets it."""
        ((share,),) = [one.shares for one in self.office.sharing.with_me(self.bob.who, ALL)]
        return share.members

    def events(self) -> list[KeyEvent]:
        """Return the events of alice in the key log."""
        log = key_log()
        entries = map(log.append, self.office.key_log.entries(0).entries)
        return [one.event for one in entries if one.user == "alice"]


ALL = GetShares("", 0)


@pytest.fixture
def shared(office: Services, clock: Clock) -> Shared:
    return Shared(office, clock)


@pytest.mark.one_database
def test_a_rotation_renews_the_shares_with_the_keys(shared: Shared) -> None:
    ask = shared.ask()
    shared.office.rotate(shared.alice.who, ask, [shared.part(ask)])
    body = stated_members(shared.stored_list())
    assert (body.version, body.generation, body.owner_key) == (2, 2, NEW.signing.public)
    assert shared.events() == [KeyEvent.ENROLLED, KeyEvent.ROTATED]
    found = shared.office.files.lookup(shared.bob.who, shared.folder.node, [])
    assert unpack(found.state.payload, FolderState).author_key == NEW.signing.public


@pytest.mark.one_database
def test_a_code_does_not_expire_while_the_parts_are_checked(shared: Shared) -> None:
    ask = shared.ask()

    def slowly() -> Iterator[RotatePart]:
        shared.clock.forward(300)
        yield shared.part(ask)

    shared.office.rotate(shared.alice.who, ask, slowly())
    assert stated_members(shared.stored_list()).generation == 2


def test_the_parts_may_come_in_any_number(shared: Shared) -> None:
    ask = shared.ask()
    whole = shared.part(ask)
    empty = RotatePart([], [], [], [])
    parts = [
        replace(empty, members=whole.members),
        replace(empty, states=whole.states[:1]),
        empty,
        replace(empty, states=whole.states[1:], manifests=whole.manifests),
    ]
    shared.office.rotate(shared.alice.who, ask, parts)
    assert stated_members(shared.stored_list()).generation == 2


def one_key(which: str) -> Callable[[Shared, Rotate], list[RotatePart]]:
    """Return what has one kind of value signed by the former key."""

    def parts(shared: Shared, ask: Rotate) -> list[RotatePart]:
        old = getattr(shared.part(ask, by=shared.alice.identity), which)
        return [replace(shared.part(ask), **{which: old})]

    return parts


def without(which: str, least: int) -> Callable[[Shared, Rotate], list[RotatePart]]:
    """Return what lacks some values."""

    def parts(shared: Shared, ask: Rotate) -> list[RotatePart]:
        part = shared.part(ask)
        return [replace(part, **{which: getattr(part, which)[:least]})]

    return parts


def twice(shared: Shared, ask: Rotate) -> list[RotatePart]:
    return [shared.part(ask), shared.part(ask)]


def changed_folder(shared: Shared, ask: Rotate) -> list[RotatePart]:
    part = shared.part(ask)
    shared.office.files.commit(shared.bob.who, shared.folder.put(shared.bob, "new"))
    return [part]


def changed_list(shared: Shared, ask: Rotate) -> list[RotatePart]:
    part = shared.part(ask)
    shared.folder.share((shared.bob, Role.READER))
    return [part]


def changed_root(shared: Shared, ask: Rotate) -> list[RotatePart]:
    part = shared.part(ask)
    make_folder(shared.office, shared.alice, "another")
    return [part]


def other_keys_of_a_member(shared: Shared, ask: Rotate) -> list[RotatePart]:
    part, bob = shared.part(ask), shared.bob
    new = identity("bob", "second", 2)
    shared.office.rotate(bob.who, bob.rotation(bob.code(shared.clock()), new))
    return [part]


@pytest.mark.cases(6)
@pytest.mark.parametrize(
    ("made", "refusal"),
    [
        (one_key("states"), SignatureError),
        (one_key("manifests"), SignatureError),
        (one_key("members"), SignatureError),
        (without("states", 1), RemoteProtocolError),
        (without("states", 0), RemoteProtocolError),
        (without("manifests", 0), ConflictError),
        (without("members", 0), NotAllowedError),
        (twice, RemoteProtocolError),
        (changed_folder, ConflictError),
        (changed_list, ConflictError),
        (changed_root, ConflictError),
        (other_keys_of_a_member, ConflictError),
    ],
)
@pytest.mark.one_database
def test_nothing_is_made_if_one_value_does_not_fit(
    shared: Shared,
    made: Callable[[Shared, Rotate], list[RotatePart]],
    refusal: type[FsError],
) -> None:
    ask = shared.ask()
    parts = made(shared, ask)
    before = shared.stored_list()
    with pytest.raises(refusal):
        shared.office.rotate(shared.alice.who, ask, parts)
    assert shared.stored_list() == before
    assert shared.events() == [KeyEvent.ENROLLED]
    now = shared.office.files.lookup(shared.alice.who, shared.folder.node, []).state
    assert unpack(now.payload, FolderState).generation == 1


@pytest.mark.one_database
def test_a_refused_code_renews_nothing(shared: Shared) -> None:
    ask = replace(shared.ask(), otp="000000")
    before = shared.stored_list()
    with pytest.raises(LoginRefused):
        shared.office.rotate(shared.alice.who, ask, [shared.part(ask)])
    assert (shared.stored_list(), shared.events()) == (before, [KeyEvent.ENROLLED])


@pytest.mark.one_database
def test_a_conflict_does_not_use_the_code(shared: Shared) -> None:
    ask = shared.ask()
    with pytest.raises(ConflictError):
        shared.office.rotate(shared.alice.who, ask, changed_folder(shared, ask))
    shared.folder.follow(shared.bob, shared.folder.put(shared.bob, "new"))
    again = replace(shared.ask(), otp=ask.otp)
    shared.office.rotate(shared.alice.who, again, [shared.part(again)])
    assert shared.events() == [KeyEvent.ENROLLED, KeyEvent.ROTATED]


def test_the_former_key_commits_nothing_after_the_rotation(shared: Shared) -> None:
    """A commit that was on its way on another connection would be signed by an ended key."""
    late = shared.folder.put(shared.alice, "late")
    below = make_folder(shared.office, shared.alice, "due")
    too_late = below.put(shared.alice, "late")
    ask = shared.ask()
    shared.office.rotate(shared.alice.who, ask, [shared.part(ask)])
    for commit in (late, too_late):
        with pytest.raises(ConflictError):
            shared.office.files.commit(shared.alice.who, commit)
