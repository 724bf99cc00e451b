"""Unwanted shares: limited in number, refused for good, and no cost for other commands.

Known from calendar and file-sharing spam, where every user may add entries to another's list.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from fsclient.commands.shares import SHOWN_OF_ONE
from fsclient.connection.connection import ServerConnection
from fsclient.session.session import Session
from fsproto.errors import QuotaError
from fsproto.keys.grants import Role, wrap
from fsproto.keys.member_list import FORMAT, Member, MemberList, sealed_hash, sign_members
from fsproto.keys.tree import KeyedNode, new_node
from fsproto.messages.base import Done, Message
from fsproto.messages.files import Commit
from fsproto.messages.shares import NewMembers, SealedKey
from fsproto.types import NO_HASH
from tests.support.raw_client import Forger
from tests.support.servers import RunningServer
from tests.support.world import NOTES, World

OFFERS = 60


def sent(connection: ServerConnection, message: Message) -> None:
    """Send a commit that the server takes."""
    assert connection.call(message, Done) == Done()


def folders(session: Session, count: int) -> list[KeyedNode]:
    """Make folders at the top of a person's tree."""
    forger, root = Forger(session), session.tree.root.keyed
    made = [new_node(os.urandom) for _ in range(count)]
    manifests = [
        forger.manifest(root, f"offer-{node.node.hex()}", None, None, node=node) for node in made
    ]
    states = [forger.state(root, *manifests), *map(forger.first_state, made)]
    sent(session.connection, Commit(states, [m.signed for m in manifests], [], [], []))
    return made


def offer(session: Session, to: str, made: list[KeyedNode]) -> None:
    """Share folders with a user, all in one commit."""
    key, bundle = session.identity.signing, session.people.bundle(session.context.questions, to)
    lists = []
    for node in made:
        box = wrap(node, bundle, Role.READER, os.urandom)
        member = Member(to, Role.READER, bundle.body.ed25519, bundle.hash, sealed_hash(box))
        body = MemberList(
            format=FORMAT,
            node=node.node,
            version=1,
            lineage=NO_HASH,
            generation=1,
            owner=session.identity.user,
            owner_key=key.public,
            members=[member],
            above=[],
            former=[],
            time_ms=1,
            log_head=session.people.log_head,
        )
        lists.append(NewMembers(sign_members(key, body).signed, [SealedKey(to, box)], []))
    sent(session.connection, Commit([], [], [], [], lists))


@pytest.fixture
def limited(world: World) -> Iterator[RunningServer]:
    """A server that lets one person share `OFFERS` nodes with another."""
    with world.process("--set", f"quota.shares_with_one={OFFERS}") as server:
        yield server


def test_one_person_cannot_share_without_end_with_another(
    world: World, limited: RunningServer
) -> None:
    with world.carol.session() as session:
        made = folders(session, OFFERS + 1)
        offer(session, "alice", made[:OFFERS])
        with pytest.raises(QuotaError, match="60 files and folders with alice"):
            offer(session, "alice", made[OFFERS:])
        offer(session, "bob", made[OFFERS:])
    with world.database() as db:
        assert db.execute("SELECT count(*) FROM grants").fetchone() == (OFFERS + 1,)


def test_many_shares_of_one_person_hide_no_others_and_are_opened_when_asked_for(
    world: World, limited: RunningServer
) -> None:
    world.bob.run("share", "notes.txt", "alice").succeeds()
    with world.carol.session() as session:
        offer(session, "alice", folders(session, OFFERS))
    shown = world.alice.run("shares").succeeds().decode()
    assert shown.count("carol:offer-") == SHOWN_OF_ONE
    assert "carol: more;" in shown
    assert "bob:notes.txt" in shown
    everything = world.alice.run("shares", "--all").succeeds().decode()
    assert everything.count("carol:offer-") == OFFERS
    assert "more;" not in everything


def test_a_blocked_person_cannot_share_and_other_shares_stay(
    world: World, limited: RunningServer
) -> None:
    world.bob.run("share", "notes.txt", "alice").succeeds()
    with world.carol.session() as session:
        offer(session, "alice", folders(session, 5))
    world.alice.run("block", "carol").succeeds()
    assert "carol" not in world.alice.run("shares").succeeds().decode()
    assert world.alice.run("block").succeeds() == b"carol\n"
    assert "does not accept shares" in world.carol.run("share", "notes.txt", "alice").fails(6)
    world.carol.run("shares").succeeds()
    assert world.alice.cat("bob:notes.txt")
    assert world.alice.cat("notes.txt") == NOTES

    world.alice.run("block", "--undo", "carol").succeeds()
    world.carol.run("share", "notes.txt", "alice").succeeds()
    assert world.alice.cat("carol:notes.txt")


def test_a_member_who_blocks_the_owner_does_not_block_the_share_with_the_group(
    world: World, limited: RunningServer
) -> None:
    for command in (("add-group", "crew"), ("add-member", "crew", "alice", "bob")):
        assert limited.admin(*command).returncode == 0
    world.alice.run("block", "carol").succeeds()
    world.carol.run("share", "--yes", "notes.txt", "@crew").succeeds()
    assert world.bob.cat("carol:notes.txt")
    assert "carol" not in world.alice.run("shares").succeeds().decode()
    shown = world.carol.run("shares", "notes.txt").succeeds().decode()
    assert "alice" in shown
    assert "left" in shown


@pytest.mark.parametrize(
    ("command", "status"),
    [(("block", "nobody"), 5), (("block", "alice"), 5), (("block", "--undo"), 2)],
)
def test_only_another_person_can_be_blocked(
    world: World, limited: RunningServer, command: tuple[str, ...], status: int
) -> None:
    world.alice.run(*command).fails(status)
