"""A hostile server chooses the sizes: of listings, of histories, of every answer in parts.

However much it sends, the client stays within 64 MiB of what an honest answer takes, and ends with
one sentence.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice, repeat
from pathlib import Path

import pytest
from msgspec.structs import replace

from fsproto.drop import Drop, DropContent
from fsproto.keys.grants import Role
from fsproto.keys.member_list import FORMAT, Member, MemberList
from fsproto.keys.tree import KeyedNode, new_node
from fsproto.messages import MESSAGES, Message
from fsproto.messages.account import Notice, Welcome
from fsproto.messages.base import Failure
from fsproto.messages.drops import Drops, GetDrops
from fsproto.messages.files import Entries, Found, List, Listed
from fsproto.messages.history import GetHistory, GetRemoved, Gone, History, Lineage, Removed
from fsproto.messages.links import GetLinks, Links, OwnLink
from fsproto.messages.requests import GetRequests, OwnRequest, Requests
from fsproto.messages.shares import GetShared, GetShares, Members, Own, Share, Shared, Shares
from fsproto.packing import pack, unpack
from fsproto.sealed.manifest import Manifest, seal_metadata, sign_manifest
from fsproto.sealed.stream import sealed_size
from fsproto.signed import Signed
from fsproto.types import DropId, Hash, LinkId, NodeId, RequestId, Root, Salt
from fsproto.wire.connection import Control, Data
from tests.support.hostile_server import (
    Floods,
    HostileServer,
    Lie,
    Rewrites,
    RewritesSegments,
    Said,
)
from tests.support.peaks import measured
from tests.support.raw_client import Forger
from tests.support.team import Accomplice
from tests.support.world import Person, Ran, World

MOST_MIB = 64
"""How much more memory an attack may take than an honest answer."""
FLOOD = 96 << 20
"""Bytes of an answer that stands for one without end."""
PART = 256 * 1024


def forged(world: World) -> Signed:
    """Return a manifest of a right form; alice has signed it."""
    with world.alice.session() as session:
        forger = Forger(session)
        return forger.manifest(session.tree.root.keyed, "forged", forger.blob()[0]).signed


def others(like: Signed) -> Iterator[Signed]:
    """Yield manifests of the same form with other tokens."""
    head, token, tail = like.payload.partition(unpack(like.payload, Manifest).token)
    while True:
        yield Signed(head + os.urandom(len(token)) + tail, like.signature)


def in_parts(size: int, part: Callable[[int], Message], flood: int = FLOOD) -> Iterator[Message]:
    """Yield messages that `part` makes with as many items of `size` bytes as fit."""
    count = max(1, PART // size)
    return (part(count) for _ in range(flood // (count * size)))


def bounded(person: Person, liar: HostileServer, lie: Lie, *command: str | Path) -> Ran:
    """Check the memory of a command under an attack; return the result of the command."""
    liar.lie = Lie()
    honest = measured(person, *command)
    liar.lie = lie
    attacked = measured(person, *command)
    assert attacked.mib - honest.mib < MOST_MIB, (honest.mib, attacked)
    return attacked.ran


def test_a_long_listing_that_no_state_proves(world: World, liar: HostileServer) -> None:
    like = forged(world)
    some = others(like)
    # A manifest that was read takes three times its bytes.
    listing = partial(
        in_parts, len(like.payload), lambda count: Entries(list(islice(some, count))), FLOOD // 3
    )
    told = bounded(world.alice, liar, Floods(List, listing), "ls").fails(7)
    assert "hid, added or changed" in told


class SpeaksBefore(Lie):
    """A lie that sends segments of an earlier request before each answer of one kind."""

    def __init__(self, kind: type[Message]) -> None:
        self._kind = kind
        self.told = 0

    def says(self, said: Said) -> Iterable[Said]:
        """Yield the segments, then the honest answer."""
        if isinstance(said, Control) and isinstance(said.message, self._kind):
            self.told += 1
            yield from (Data(1, at, memoryview(bytes(1 << 20))) for at in range(FLOOD >> 20))
        yield said


def test_answers_that_come_before_the_one_that_is_awaited(
    team: World, server: HostileServer
) -> None:
    new = team.bob.write("new", b"bob's")
    team.bob.run("put", new, "alice:reports/new").succeeds()
    lie = SpeaksBefore(Members)
    assert b"new" in bounded(team.alice, server, lie, "ls", "reports").succeeds()
    assert lie.told


def test_a_listing_whose_parts_are_empty(world: World, liar: HostileServer) -> None:
    lie = Floods(List, lambda: (Entries([]) for _ in range(10_000_000)))
    assert "nothing in it" in bounded(world.alice, liar, lie, "ls").fails(7)


def test_a_file_whose_announced_size_no_disk_has(world: World, liar: HostileServer) -> None:
    plan = world.alice.find("plan.bin")
    content, size = plan.manifest.body.content, 1 << 60
    assert content is not None
    metadata = replace(plan.metadata, size=size)
    body = replace(
        plan.manifest.body,
        version=2,
        lineage=plan.manifest.point.next_lineage,
        content=replace(content, sealed_size=sealed_size(size)),
        metadata=seal_metadata(
            plan.keyed.metadata_key, plan.keyed.node, 2, 1, metadata, random=os.urandom
        ),
    )
    accomplice = Accomplice(world, world.alice)
    with world.alice.session() as session:
        root = session.tree.root.keyed
    accomplice.writes(root, sign_manifest(accomplice.key, body))
    got = world.alice.folder / "got"
    got.mkdir()
    for how in (lambda true: true, lambda true: [true[0], true[1][:-1], *true[1:] * 20]):
        liar.lie = RewritesSegments(how)
        for command in (("get", "plan.bin", "notes.txt", got), ("cat", "plan.bin")):
            ran = measured(world.alice, *command)
            assert (ran.ran.status, ran.ran.err.count("'plan.bin'")) == (7, 1)
            assert ran.mib < 64 + MOST_MIB
        assert [one.name for one in got.iterdir()] == ["notes.txt"]


# --- answers in parts


def member_lists() -> Iterator[Signed]:
    """Yield member lists of a right form, each of another node, that nobody has signed."""
    h32 = Hash(bytes(32))
    body = MemberList(
        format=FORMAT,
        node=NodeId(bytes(16)),
        version=1,
        lineage=h32,
        generation=1,
        owner="bob",
        owner_key=h32,
        members=[Member(f"user{number}", Role.READER, h32, h32, h32) for number in range(30)],
        above=[],
        former=[],
        time_ms=1,
        log_head=b"",
    )
    while True:
        yield Signed(pack(replace(body, node=NodeId(os.urandom(16)))), bytes(64))


def junk_shares(flood: int = FLOOD) -> Iterator[Message]:
    """Yield shares that do not verify."""
    lists, manifest = member_lists(), Signed(bytes(600), bytes(64))
    return in_parts(
        8192,
        lambda count: Shares(
            [Share("bob", next(lists), bytes(1488), manifest) for _ in range(count)], more=True
        ),
        flood,
    )


def junk_own() -> Iterator[Message]:
    """Yield own shares that are at no place."""
    lists = member_lists()
    return in_parts(
        4096, lambda count: Shared([Own(next(lists), [], []) for _ in range(count)], more=True)
    )


def junk_drops() -> Iterator[Message]:
    """Yield drops that are sealed to nobody."""
    h32 = Hash(bytes(32))
    content = DropContent(Salt(h32), Root(h32), 100)

    def part(count: int) -> Message:
        drops = [
            Drop(DropId(os.urandom(16)), h32, bytes(1500), bytes(500), content, None)
            for _ in range(count)
        ]
        return Drops(drops, more=True)

    return in_parts(2100, part)


def junk_links() -> Iterator[Message]:
    """Yield links whose records do not open."""

    def link() -> OwnLink:
        ids = LinkId(os.urandom(16)), NodeId(os.urandom(16))
        return OwnLink(*ids, bytes(60_000), 1, False, 1, None, None, 0, 0, 1, False)

    def part(count: int) -> Message:
        return Links([link() for _ in range(count)], more=True)

    return in_parts(60_200, part)


def junk_requests() -> Iterator[Message]:
    """Yield request links whose records do not open."""

    def request() -> OwnRequest:
        numbers = None, None, None, 0, 0, 0, 0
        return OwnRequest(
            RequestId(os.urandom(16)),
            Hash(bytes(32)),
            bytes(8000),
            1,
            False,
            1,
            *numbers,
            False,
            False,
        )

    def part(count: int) -> Message:
        return Requests([request() for _ in range(count)], more=True)

    return in_parts(8200, part)


def junk_history() -> Iterator[Message]:
    """Yield older manifests of nothing."""
    return in_parts(
        600, lambda count: History([Signed(bytes(500), bytes(64)) for _ in range(count)], more=True)
    )


@pytest.mark.cases(3)
@pytest.mark.parametrize(
    ("asked", "parts", "command"),
    [
        (GetShares, junk_shares, ["shares"]),
        (GetShares, junk_shares, ["ls", "bob:"]),
        (GetShared, junk_own, ["shares"]),
        (GetDrops, junk_drops, ["inbox"]),
        (GetLinks, junk_links, ["links"]),
        (GetRequests, junk_requests, ["requests"]),
        (GetRequests, junk_requests, ["inbox"]),
        (GetHistory, junk_history, ["history", "notes.txt"]),
        (GetShares, lambda: repeat(Shares([], more=True)), ["shares"]),
        (GetDrops, lambda: repeat(Drops([], more=True)), ["inbox"]),
        (GetHistory, lambda: repeat(History([], more=True)), ["history", "notes.txt"]),
    ],
)
def test_an_answer_in_parts_without_end(
    world: World,
    liar: HostileServer,
    asked: type[Message],
    parts: Callable[[], Iterator[Message]],
    command: list[str],
) -> None:
    ran = bounded(world.alice, liar, Floods(asked, parts), *command)
    notice = "fsclient: The keys of bob are used for the first time"
    told = [line for line in ran.err.splitlines() if not line.startswith((" ", notice))]
    assert (ran.status, len(told)) == (7, 1), ran


class AsksForMore(Lie):
    """A lie that repeats a page of removed nodes, or shows junk, whatever page is asked for."""

    def __init__(self, junk: list[Gone] | None = None) -> None:
        self._junk = junk

    def answer(self, ask: Message, honestly: Callable[[Message], Message]) -> Message:
        """Answer as if there was always one more page."""
        if not isinstance(ask, GetRemoved):
            return honestly(ask)
        if self._junk is not None:
            return Removed(self._junk, more=True)
        honest = honestly(replace(ask, skip=0))
        assert isinstance(honest, Removed)
        assert honest.gone
        return replace(honest, more=True)


def test_pages_of_removed_nodes_without_end(world: World, liar: HostileServer) -> None:
    world.alice.run("rm", "reports/q1.txt").succeeds()
    state = Signed(bytes(200), bytes(64))
    junk = [Gone(Signed(bytes(10_000), b""), state, bytes(500), state, bytes(500))] * 40
    for lie in (AsksForMore(), AsksForMore(junk)):
        bounded(world.alice, liar, lie, "history", "reports").fails(7)


def test_a_page_that_removals_in_the_meantime_have_moved(world: World, liar: HostileServer) -> None:
    # As many nodes were removed between two questions as one page has.
    class Moved(AsksForMore):
        def answer(self, ask: Message, honestly: Callable[[Message], Message]) -> Message:
            if isinstance(ask, GetRemoved) and ask.skip > 1:
                return honestly(ask)
            return super().answer(ask, honestly)

    world.alice.run("rm", "reports/q1.txt").succeeds()
    liar.lie = Moved()
    assert b"q1.txt" in world.alice.run("history", "reports").succeeds()


def test_one_true_share_that_is_named_again_and_again(team: World, server: HostileServer) -> None:
    # Each was signed by its owner, so nothing but their number is wrong.
    class Again(Lie):
        def says(self, said: Said) -> Iterable[Said]:
            if isinstance(said, Control) and isinstance(said.message, Shared | Shares):
                yield from [Control(said.request, replace(said.message, more=True))] * 40_000
            yield said

    bounded(team.alice, server, Again(), "shares").fails(7)
    bounded(team.bob, server, Again(), "shares").fails(7)


# --- folders


class EndlessChain(Lie):
    """A lie of the server and an accomplice: each folder that is listed has another one in it."""

    def __init__(self, accomplice: Accomplice, first: KeyedNode) -> None:
        """Take the existing folder; those below it are made at the first request."""
        self._accomplice = accomplice
        self._known = {first.node: first}
        self._made: dict[NodeId, list[Message]] = {}
        self.deepest = 0

    def answers(
        self, ask: Message, honestly: Callable[[Message], Message | Iterator[Message]]
    ) -> Message | Iterator[Message]:
        """List a folder of the chain."""
        if not isinstance(ask, List) or ask.folder not in self._known:
            return honestly(ask)
        if ask.folder not in self._made:
            self.deepest += 1
            below = new_node(os.urandom)
            self._known[below.node] = below
            above = self._known[ask.folder]
            child = self._accomplice.manifest(above, "deeper", None, None, node=below)
            state = self._accomplice.first_state(above, child)
            self._made[ask.folder] = [Entries([child.signed]), Listed(state)]
        return iter(self._made[ask.folder])


def test_a_chain_of_folders_without_end(world: World, liar: HostileServer) -> None:
    carol, bob = world.carol, world.bob
    carol.run("mkdir", "A").succeeds()
    carol.run("share", "A", "bob").succeeds()
    bob.run("ls", "carol:A").succeeds()
    a, first = carol.find("A").keyed, new_node(os.urandom)
    accomplice = Accomplice(world, carol)
    accomplice.writes(a, accomplice.manifest(a, "deep", None, None, node=first))
    liar.lie = chain = EndlessChain(accomplice, first)
    for command in (
        ("get", "carol:A", bob.folder / "got"),
        ("sync", "--down", "carol:A", bob.folder / "synced"),
    ):
        ran = measured(bob, *command)
        assert ran.mib < 64 + MOST_MIB, ran
        assert ran.ran.status == 7, ran
        assert "deeper than 128 folders" in ran.ran.err
    assert 120 < chain.deepest < 130
    assert measured(bob, "doctor", "carol:A").mib < 64 + MOST_MIB


# --- the login


def test_notices_without_end(world: World, liar: HostileServer) -> None:
    notices = [Notice("keys-rotated", at, 1, "x" * 10) for at in range(20_000)]
    lie = Rewrites(Welcome, lambda said: replace(said, notices=notices))
    assert "cannot be read" in bounded(world.alice, liar, lie, "ls").fails(7)


def test_a_ticket_that_is_none(world: World, liar: HostileServer) -> None:
    lie = Rewrites(Welcome, lambda said: replace(said, ticket=bytes(1_000_000)))
    before = (world.alice.profile / "session").read_bytes()
    assert "malformed ticket" in bounded(world.alice, liar, lie, "ls").fails(7)
    assert (world.alice.profile / "session").read_bytes() == before


def test_a_reason_that_is_a_book(world: World, liar: HostileServer) -> None:
    lie = Rewrites(Found, lambda _: Failure("security", "x" * 500_000, "x" * 500_000, 0))
    ran = bounded(world.alice, liar, lie, "cat", "notes.txt")
    assert ran.status == 7
    assert len(ran.err) < 2000


def test_every_answer_in_parts_has_an_attack_of_its_own() -> None:
    in_parts = {kind for kind in MESSAGES if "more" in kind.__struct_fields__}
    # The parts of a lineage are counted: tests/unit/fsclient/test_questions.py.
    assert in_parts == {Shares, Shared, Drops, Links, Requests, History, Removed, Lineage}
