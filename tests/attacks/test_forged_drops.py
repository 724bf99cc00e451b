"""Drops that a server makes itself, with only a person's public keys.

A server can do that, because no drop is signed. The tests try whether a forged drop can do more
than put a file into `inbox/`, which the person sees first and which is marked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from fsproto.drop import Drop, DropContent, DropKeys, DropNote, content_ad, seal_note, wrap_drop
from fsproto.messages.base import Done, Message
from fsproto.messages.drops import Drops, RemoveDrops
from fsproto.sealed.integrity import blob_root
from fsproto.sealed.stream import StreamSealer
from fsproto.types import DropId, Hash, NodeId, Root, Salt
from tests.support.dropped_files import names, refused, replaced
from tests.support.fixed_keys import Seeded
from tests.support.hostile_server import Lie
from tests.support.world import Person, World


def forged(
    person: Person, name: str, root: Root | None = None, **changes: Any
) -> tuple[Drop, bytes]:
    """Return a drop, and its blob, as a server can make it from a person's public keys."""
    with person.session() as session:
        bundle = session.identity.bundle
    random = Seeded(f"forged {name}")
    drop_id, secret, salt = DropId(random(16)), random(32), Salt(random(32))
    keys = DropKeys.of(secret)
    sealer = StreamSealer(keys.file_key, content_ad(drop_id), salt)
    blob = sealer.seal(0, b"forged", last=True)
    content = DropContent(salt, root or blob_root(salt, blob), len(blob))
    note = replaced(DropNote(name, 6, 0, 1, "", "", "192.0.2.9"), **changes)
    sealed = seal_note(keys.note_key, drop_id, content, note, random)
    wrapped = wrap_drop(drop_id, secret, bundle, random)
    return Drop(drop_id, Hash(bundle.hash), wrapped, sealed, content, None), blob


class Makes(Lie):
    """A server that shows drops that it made itself."""

    def __init__(self, *made: tuple[Drop, bytes]) -> None:
        self._made = [one for one, _ in made]
        self._blobs = {NodeId(one.drop): blob for one, blob in made}

    def answer(self, ask: Message, honestly: Callable[[Message], Message]) -> Message:
        return Done() if isinstance(ask, RemoveDrops) else honestly(ask)

    def says(self, said: Any) -> Iterable[Any]:
        if isinstance(getattr(said, "message", None), Drops):
            said = type(said)(said.request, Drops(self._made, more=False))
        yield said


BAD_NAMES = [
    *("..", "../up", "a/../../up", "/absolute", "a/", "a//b", ".", "", "a/./b", "\x1b[2Jgone"),
    *("line\nbreak", "zero\0", "x" * 256, "/".join(["x"] * 33), "/".join(["x" * 200] * 6)),
    "e\u0301",
]
"""The last name is not in normal form."""


@pytest.mark.cases(6)
@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_leads_out_or_drives_a_terminal_is_refused(world, liar, name):
    before = json.loads(world.alice.run("--json", "ls", "/").succeeds())
    liar.lie = Makes(forged(world.alice, name))
    assert refused(world.alice) == 1
    shown = world.alice.run("inbox")
    assert shown.status == 7
    assert "\x1b" not in shown.err + shown.out.decode()
    liar.lie = Lie()
    assert json.loads(world.alice.run("--json", "ls", "/").succeeds()) == before


@pytest.mark.cases(3)
@pytest.mark.parametrize(
    "changes",
    [
        {"size": 7},
        {"size": -1},
        {"size": 1 << 62},
        {"mtime_ns": 1 << 63},
        {"arrived_ms": -1},
        {"address": "x" * 256},
        {"label": "x" * 5000},
    ],
    ids=str,
)
def test_a_note_that_cannot_be_is_refused(world, liar, changes):
    liar.lie = Makes(forged(world.alice, "a", **changes))
    assert refused(world.alice) == 1


def stored_at(world: World, made: Drop, blob: bytes) -> None:
    """Put a drop into the server's database, as its operator could."""
    with world.database() as db:
        ((owner,),) = db.execute("SELECT id FROM users WHERE name = 'alice'")
        content = made.content
        db.execute(
            "INSERT INTO blobs (root, owner_id, node_id, salt, size, created_ms, data) "
            "VALUES (?, ?, ?, ?, ?, 1, ?)",
            (content.root, owner, made.drop, content.salt, content.sealed_size, blob),
        )
        db.execute(
            "INSERT INTO drops (id, user_id, root, bundle_hash, wrapped, note, created_ms) "
            "VALUES (?, ?, ?, ?, ?, ?, 1)",
            (made.drop, owner, content.root, made.bundle, made.wrapped, made.note),
        )
        db.commit()


def test_content_must_have_the_root_that_the_note_names(world, liar):
    honest, blob = forged(world.alice, "a")
    stored_at(world, honest, blob)
    other, blob = forged(world.alice, "b", root=Root(b"r" * 32))
    stored_at(world, other, blob)
    ran = world.alice.run("inbox", "accept", "--all")
    assert ran.status == 7
    assert "salted hash" in ran.err
    assert names(world.alice) == ["a"]


def test_words_in_a_note_cannot_take_over_the_terminal(world, liar):
    liar.lie = Makes(
        forged(world.alice, "a", address="\x1b[2J", label="\x1b]0;x\x07", key="\x1b[1m\u202e")
    )
    shown = world.alice.run("inbox")
    assert b"\\u001b" in shown.succeeds()
    assert b"\x1b" not in shown.out
