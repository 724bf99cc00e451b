"""Servers that lie about drops: the client rejects every lie, and no drop leaves `inbox/`.

Nobody can distinguish a drop that the server made itself from a real one, because the server
receives the plaintext. These tests try what a server could do to drops that it received before it
lied.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from fsclient.inbox import accept
from fsproto.drop import Drop
from fsproto.limits import SEGMENT_SIZE
from fsproto.messages.base import Done, Message
from fsproto.messages.drops import Drops, GetDrops, RemoveDrops
from fsproto.types import Root, Salt
from tests.support.dropped_files import (
    LARGE,
    Swaps,
    drop,
    listed,
    names,
    refused,
    replaced,
    waiting,
)
from tests.support.fixed_keys import stretch, turned
from tests.support.hostile_server import Lie, RewritesSegments
from tests.support.world import World

# --- honest, so that the refusals below mean something


def test_an_accepted_drop_becomes_a_file_of_the_user(world, liar):
    drop(liar, world.alice, "scans/a.pdf", b"page 1")
    drop(liar, world.alice, "large.bin", LARGE)
    first = waiting(world.alice)
    assert [(one["name"], one["size"], one["label"]) for one in first] == [
        ("scans/a.pdf", 6, "scanner"),
        ("large.bin", len(LARGE), "scanner"),
    ]
    told = world.alice.run("inbox")
    assert b"scans/a.pdf  from 192.0.2.7, by key scanner" in told.succeeds()
    world.alice.run("inbox", "accept", "--all").succeeds()
    assert names(world.alice) == ["large.bin", "scans"]
    assert world.alice.cat("inbox/scans/a.pdf") == b"page 1"
    assert world.alice.cat("inbox/large.bin") == LARGE
    (made,) = listed(world.alice, "inbox/scans")
    assert made["author"] == "alice"
    assert made["dropped"]["id"] == first[0]["id"]
    assert (made["dropped"]["label"], made["dropped"]["address"]) == ("scanner", "192.0.2.7")
    assert b"(dropped by scanner from 192.0.2.7)" in world.alice.run("ls", "-l", "inbox/scans").out
    assert b"(dropped by scanner" in world.alice.run("history", "inbox/scans/a.pdf").out
    assert waiting(world.alice) == []


def test_the_mark_stays_with_the_content_and_goes_with_it(world, liar):
    drop(liar, world.alice, "a.pdf", b"page 1")
    world.alice.run("inbox", "accept", "a.pdf").succeeds()
    world.alice.run("mv", "inbox/a.pdf", "b.pdf").succeeds()
    (moved,) = (one for one in listed(world.alice, "/") if one["name"] == "b.pdf")
    assert moved["dropped"]["label"] == "scanner"
    world.alice.put("b.pdf", b"new content").succeeds()
    (changed,) = (one for one in listed(world.alice, "/") if one["name"] == "b.pdf")
    assert changed["dropped"] is None


def test_nothing_that_is_there_is_replaced(world, liar):
    for content in (b"1", b"2", b"3"):
        drop(liar, world.alice, "x/a.pdf", content)
    drop(liar, world.alice, "x/a.pdf/b", b"4")
    world.alice.run("inbox", "accept", "--all").succeeds()
    assert names(world.alice, "inbox/x") == ["a (2).pdf", "a (3).pdf", "a (4).pdf", "a.pdf"]
    assert world.alice.cat("inbox/x/a.pdf") == b"1"
    assert world.alice.cat("inbox/x/a (4).pdf/b") == b"4"


def test_what_is_rejected_is_gone(world, liar):
    drop(liar, world.alice, "a", b"1")
    drop(liar, world.alice, "b", b"2")
    assert world.alice.run("inbox", "reject", "nothing").status == 5
    world.alice.run("inbox", "reject", "a").succeeds()
    assert [one["name"] for one in waiting(world.alice)] == ["b"]
    assert names(world.alice) == []


def test_a_login_gets_a_notice_of_new_drops(world, liar):
    drop(liar, world.alice, "a", b"1")
    told = world.alice.run("ls")
    assert "1 file waits in your drop box" in told.err
    assert "192.0.2.7" in told.err
    assert "drop box" not in world.alice.run("ls").err


# --- lies


@pytest.mark.cases(2)
@pytest.mark.parametrize(
    "how",
    [
        lambda a, b: [replaced(a, drop=b.drop), replaced(b, drop=a.drop)],
        lambda a, b: [replaced(a, note=b.note), replaced(b, note=a.note)],
        lambda a, b: [replaced(a, wrapped=b.wrapped), replaced(b, wrapped=a.wrapped)],
        lambda a, b: [replaced(a, content=b.content), replaced(b, content=a.content)],
        lambda a, b: [replaced(a, wrapped=b.wrapped, note=b.note), replaced(b, drop=a.drop)],
    ],
    ids=["ids", "notes", "keys", "contents", "all but the id"],
)
def test_parts_of_two_drops_cannot_be_swapped(world, liar, how):
    drop(liar, world.alice, "a", b"content 1")
    drop(liar, world.alice, "b", b"content 2")
    liar.lie = Swaps(lambda drops: how(*drops))
    assert refused(world.alice) == 2
    liar.lie = Lie()
    world.alice.run("inbox", "accept", "--all").succeeds()
    assert world.alice.cat("inbox/a") == b"content 1"


def segments(blob: bytes) -> list[bytes]:
    return [blob[at : at + SEGMENT_SIZE] for at in range(0, len(blob), SEGMENT_SIZE)]


def stored(world: World, root: bytes) -> bytes:
    with world.database() as db:
        ((data,),) = db.execute("SELECT data FROM blobs WHERE root = ?", (root,))
    return world.blob(root).read_bytes() if data is None else data


@pytest.mark.parametrize("size", [10, SEGMENT_SIZE + 10], ids=["small", "large"])
def test_the_content_of_another_drop_is_refused(world, liar, size):
    drop(liar, world.alice, "a", stretch("1", size))
    drop(liar, world.alice, "b", stretch("2", size))
    with world.alice.session() as session:
        other = session.connection.call(GetDrops(), Drops).drops[1]
    liar.lie = RewritesSegments(lambda _: segments(stored(world, other.content.root)))
    world.alice.run("inbox", "accept", "a").fails(7)
    assert names(world.alice) == []
    liar.lie = Lie()
    world.alice.run("inbox", "accept", "a").succeeds()
    assert world.alice.cat("inbox/a") == stretch("1", size)


@pytest.mark.cases(3)
@pytest.mark.parametrize(
    "how",
    [
        pytest.param(lambda s: [s[1], s[0], s[2]], id="order"),
        pytest.param(lambda s: s[:-1], id="one less"),
        pytest.param(lambda s: [*s, s[-1]], id="one more"),
        pytest.param(lambda s: [s[0], s[1], s[2][:-1]], id="cut"),
        pytest.param(lambda s: [s[0], s[1], turned(s[2])], id="changed at its end"),
        pytest.param(lambda s: [b"?" + s[0][1:], *s[1:]], id="changed at its beginning"),
        pytest.param(lambda s: [s[0], s[1], s[2] + b"?"], id="longer"),
    ],
)
def test_changed_content_of_a_drop_is_refused(world, liar, how):
    drop(liar, world.alice, "large.bin", LARGE)
    liar.lie = RewritesSegments(how)
    refused(world.alice)
    liar.lie = Lie()
    world.alice.run("inbox", "accept", "--all").succeeds()
    assert world.alice.cat("inbox/large.bin") == LARGE


@pytest.mark.cases(3)
@pytest.mark.parametrize(
    "how",
    [
        lambda c: replaced(c, sealed_size=c.sealed_size + 1),
        lambda c: replaced(c, sealed_size=0),
        lambda c: replaced(c, sealed_size=1 << 63),
        lambda c: replaced(c, root=Root(bytes(32))),
        lambda c: replaced(c, root=Root(b"")),
        lambda c: replaced(c, salt=Salt(bytes(32))),
    ],
)
def test_size_root_and_salt_are_those_of_the_note(world, liar, how):
    drop(liar, world.alice, "a", b"content")
    liar.lie = Swaps(lambda drops: [replaced(one, content=how(one.content)) for one in drops])
    assert refused(world.alice) == 1


@pytest.mark.cases(3)
@pytest.mark.parametrize("field", ["wrapped", "note"])
@pytest.mark.parametrize("at", [0, 384, -1])
def test_a_changed_drop_is_refused(world, liar, field, at):
    drop(liar, world.alice, "a", b"content")

    def changed(one: Drop) -> Drop:
        data = bytearray(getattr(one, field))
        data[min(at, len(data) - 1)] ^= 1
        return replaced(one, **{field: bytes(data)})

    liar.lie = Swaps(lambda drops: map(changed, drops))
    assert refused(world.alice) == 1
    liar.lie = Swaps(lambda drops: [replaced(one, **{field: b""}) for one in drops])
    assert refused(world.alice) == 1


def test_a_drop_for_another_person_is_refused(world, liar):
    drop(liar, world.bob, "a", b"for bob")
    with world.bob.session() as session:
        (his,) = session.connection.call(GetDrops(), Drops).drops
    with world.alice.session() as session:
        hers = session.identity.bundle.hash
    liar.lie = Swaps(lambda _: [his, replaced(his, bundle=hers)])
    assert refused(world.alice) == 2
    liar.lie = Lie()
    world.bob.run("inbox", "accept", "--all").succeeds()
    assert world.bob.cat("inbox/a") == b"for bob"


def test_one_bad_drop_does_not_hide_the_others_and_can_be_rejected(world, liar):
    drop(liar, world.alice, "a", b"1")
    drop(liar, world.alice, "b", b"2")
    with world.database() as db:
        db.execute("UPDATE drops SET note = ? WHERE created_ms IN (SELECT min(created_ms) "
                   "FROM drops)", (bytes(200),))  # fmt: skip
        db.commit()
    shown = world.alice.run("--json", "inbox")
    assert shown.status == 7
    (bad,) = (one for one in json.loads(shown.out) if one["refused"])
    ran = world.alice.run("inbox", "accept", "--all")
    assert ran.status == 7
    assert bad["id"][:8] in ran.err
    assert names(world.alice) == ["b"]
    world.alice.run("inbox", "reject", bad["id"][:8]).succeeds()
    assert waiting(world.alice) == []


class Replays(Lie):
    """A server that shows a drop again and again, and confirms its deletion."""

    def __init__(self) -> None:
        self.shown: list[Drop] = []
        self.blobs: dict[bytes, bytes] = {}

    def answer(self, ask: Message, honestly: Callable[[Message], Message]) -> Message:
        return Done() if isinstance(ask, RemoveDrops) else honestly(ask)


def test_a_drop_that_was_accepted_is_known_when_it_is_shown_again(world, liar):
    drop(liar, world.alice, "a", b"content")
    liar.lie = Replays()
    for _ in range(3):
        world.alice.run("inbox", "accept", "--all").succeeds()
    assert names(world.alice) == ["a"]
    (shown,) = waiting(world.alice)
    assert shown["accepted_before"]
    # A removed file stays removed: to accept the same drop again does not bring it back.
    world.alice.run("rm", "inbox/a").succeeds()
    ran = world.alice.run("--json", "inbox", "accept", "a")
    (told,) = json.loads(ran.succeeds())["accepted"]
    assert told["path"] is None
    assert names(world.alice) == []


def test_a_drop_that_is_listed_twice_is_accepted_once(world, liar):
    drop(liar, world.alice, "a", b"content")
    liar.lie = Swaps(lambda drops: [*drops, *drops])
    world.alice.run("inbox", "accept", "--all").succeeds()
    assert names(world.alice) == ["a"]


def test_a_drop_that_is_shown_again_on_another_machine_is_known_by_its_file(world, liar):
    drop(liar, world.alice, "x/a", b"content")
    liar.lie = Replays()
    world.alice.run("inbox", "accept", "--all").succeeds()
    world.alice.forget()
    assert not waiting(world.alice)[0]["accepted_before"]
    world.alice.run("inbox", "accept", "--all").succeeds()
    assert names(world.alice, "inbox/x") == ["a"]


def test_an_accept_killed_before_the_removal_makes_no_duplicate(world, liar, monkeypatch):
    class Killed(BaseException):
        pass

    def kill(*_: object) -> None:
        raise Killed

    drop(liar, world.alice, "a", b"content")
    for step in ("sighting", "remove"):
        with monkeypatch.context() as patch:
            patch.setattr(accept, step, kill)
            with pytest.raises(Killed):
                world.alice.run("inbox", "accept", "--all")
        assert names(world.alice) == ["a"]
    assert len(waiting(world.alice)) == 1
    world.alice.run("inbox", "accept", "--all").succeeds()
    assert names(world.alice) == ["a"]
    assert waiting(world.alice) == []
