"""Clients move to a new host key only if the old, trusted key vouches for it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from itertools import pairwise

import pytest

from fsproto import crypto, host_key_moves
from fsproto.host_key_moves import Move, Moves, sign_move
from fsproto.limits import MAX_HOST_KEY_MOVES
from fsproto.packing import pack
from fsproto.wire.connection import Connection
from fsproto.wire.handshake import ServerHandshake
from tests.attacks.test_on_the_wire import between
from tests.support.fixed_keys import TIME_MS, rsa_key, turned
from tests.support.hostile_server import HostileServer
from tests.support.proxy import InTheMiddle, To
from tests.support.world import NOTES, Person, World

NEW, NEXT, THIEF = rsa_key("other-host"), rsa_key("alice"), rsa_key("bob")
START = host_key_moves.question(bytes(32))[:6]


@pytest.fixture
def old(world: World) -> crypto.RsaKey:
    """The host key that everybody in the world trusts."""
    return crypto.RsaKey((world.home / "host.key").read_bytes())


def step(old: crypto.RsaKey, new: crypto.RsaKey) -> Move:
    return sign_move(old, new.public, TIME_MS)


def expects(person: Person) -> str:
    found: str = json.loads((person.profile / "profile.json").read_text())["host_key"]
    return found


def shows(liar: HostileServer, key: crypto.RsaKey, *moves: Move) -> None:
    """Have the server show a key and vouch for it as an honest server would."""
    liar.door.host_key, liar.door.moves = key, moves


class _Answers(ServerHandshake):
    def __init__(self, key: crypto.RsaKey, answer: bytes) -> None:
        super().__init__(key, os.urandom)
        self._says = answer

    def receive_question(self, question: bytes) -> bytes:
        return self._says


def says(liar: HostileServer, key: crypto.RsaKey, answer: bytes) -> None:
    """Have the server show a key, and answer any bytes to the question who vouches for it."""
    liar.door.connection = lambda: Connection(_Answers(key, answer))  # type: ignore[method-assign]


def answer(*moves: Move) -> bytes:
    return START + pack(Moves(list(moves)))


def is_alarmed(person: Person, before: str) -> None:
    told = person.run("cat", "notes.txt").fails(7)
    assert "HOST KEY HAS CHANGED" in told
    assert "vouches" not in told
    assert expects(person) == before


def test_a_client_moves_to_the_next_key_and_says_so_once(world, liar, old):
    shows(liar, NEW, step(old, NEW))
    ran = world.alice.run("cat", "notes.txt")
    assert ran.succeeds() == NOTES
    (line,) = ran.err.splitlines()
    assert "vouches for it" in line
    assert crypto.fingerprint(NEW.public) in line
    assert expects(world.alice) == crypto.fingerprint(NEW.public)
    assert world.alice.run("cat", "notes.txt").err == ""


def test_a_client_that_was_away_for_several_changes_follows_them_all(world, liar, old):
    shows(liar, NEXT, step(THIEF, old), step(old, NEW), step(NEW, NEXT))
    assert world.alice.cat("notes.txt") == NOTES
    assert expects(world.alice) == crypto.fingerprint(NEXT.public)


def test_a_link_with_an_older_key_still_enrols(world, liar, old):
    shows(liar, NEW, step(old, NEW))
    fresh = world.alice.home / "fresh"
    link = world.alice.added["enroll_link"].partition("?")
    there = f"fs://alice@{liar.address}/?{link[2]}"
    code = world.alice.app.fresh()
    # Her keys are already registered, so the server refuses the login, which follows the new host
    # key.
    told = world.alice.run("--otp", code, "enroll", "--no-passphrase", there, client=fresh)
    assert "vouches" in told.err
    assert told.status == 4


LIES: dict[str, Callable[[crypto.RsaKey], bytes]] = {
    "nothing": lambda _: b"",
    "nobody": lambda _: answer(),
    "noise": lambda _: START + b"\x00\x01",
    "another version": lambda old: b"FSP1\0\3" + answer(step(old, NEW))[6:],
    "signed by another key": lambda old: answer(
        Move(step(old, NEW).payload, step(THIEF, NEW).signature)
    ),
    "signed by the new key itself": lambda old: answer(
        Move(step(old, NEW).payload, step(NEW, NEW).signature)
    ),
    "of another key": lambda _: answer(step(THIEF, NEW)),
    "for another key": lambda old: answer(step(old, NEXT)),
    "backwards": lambda old: answer(step(NEW, old)),
    "changed": lambda old: answer(
        Move(turned(step(old, NEW).payload), step(old, NEW).signature)
    ),
    "changed signature": lambda old: answer(
        Move(step(old, NEW).payload, turned(step(old, NEW).signature))
    ),
    "cut": lambda old: answer(step(old, NEW))[:-1],
    "cut signature": lambda old: answer(
        Move(step(old, NEW).payload, step(old, NEW).signature[:-1])
    ),
    "longer": lambda old: answer(step(old, NEW)) + b"\0",
    "with a gap": lambda old: answer(step(old, NEXT), step(THIEF, NEW)),
    "the first step missing": lambda _: answer(step(NEXT, NEW)),
    "the last step missing": lambda old: answer(step(old, NEXT), step(NEXT, THIEF)),
    "form a circle": lambda old: answer(step(old, NEXT), step(NEXT, old), step(old, NEW)),
    "signed under another label": lambda old: answer(
        Move(step(old, NEW).payload, old.sign(b"fs/2 login", step(old, NEW).payload))
    ),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_a_key_that_the_old_one_does_not_vouch_for_is_refused(world, liar, old, lie):
    before = expects(world.alice)
    says(liar, NEW, LIES[lie](old))
    is_alarmed(world.alice, before)


def test_too_many_steps_are_refused(world, liar, old):
    before = expects(world.alice)
    keys = [old, *(crypto.RsaKey.generate() for _ in range(MAX_HOST_KEY_MOVES)), NEW]
    chain = [step(one, other) for one, other in pairwise(keys)]
    shows(liar, NEW, *chain)
    is_alarmed(world.alice, before)
    shows(liar, keys[-2], *chain)
    assert world.alice.cat("notes.txt") == NOTES


def test_after_the_move_the_old_key_is_a_wrong_one(world, liar, old):
    shows(liar, NEW, step(old, NEW))
    world.alice.run("ls").succeeds()
    moved = expects(world.alice)
    shows(liar, old, step(old, NEW))
    is_alarmed(world.alice, moved)
    says(liar, old, answer(step(old, NEW)))
    is_alarmed(world.alice, moved)


def test_the_statement_is_useless_without_the_new_key(world, liar, old):
    vouched = answer(step(old, NEW))
    before = expects(world.alice)
    mine = crypto.RsaKey(THIEF.der)
    with between(world.alice, liar, lambda: InTheMiddle(mine, NEW.public, vouched)) as middle:
        assert "could not prove" in world.alice.run("cat", "notes.txt").fails(7)
    mine = crypto.RsaKey(THIEF.der)
    with between(world.alice, liar, lambda: InTheMiddle(mine, vouched=vouched)) as middle:
        world.alice.run("cat", "notes.txt").fails(7)
    assert expects(world.alice) == before
    said = b"".join(frame.data for frame in middle.frames(To.SERVER))
    assert b"alice" not in said
