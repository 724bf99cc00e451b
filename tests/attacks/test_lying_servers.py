"""The server is hostile: it speaks the protocol, has all keys of its own, and lies.

Known from the sources named in `test_tampered_homes`. Proofs that do not match: also Melara and
others, "CONIKS" (USENIX Security 2015). A commit that is confirmed and not made: Mazières and
Shasha, "Building Secure File Systems out of Byzantine Storage" (PODC 2002).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from msgspec.structs import replace

from fsclient.tree.nodes import TreeNode
from fsclient.tree.root import empty_tree
from fsproto.keys.key_file import open_identity
from fsproto.messages import Message
from fsproto.messages.account import Logout, Welcome
from fsproto.messages.base import Done, Failure
from fsproto.messages.drops import Drops
from fsproto.messages.files import (
    Commit,
    Entries,
    Fetched,
    Found,
    Listed,
    Lookup,
    Sent,
    Stale,
)
from fsproto.messages.shares import Shared, Shares
from fsproto.packing import unpack
from fsproto.proofs.prefix_tree import PrefixTree
from fsproto.sealed.folder import FolderState, sign_state
from fsproto.sealed.manifest import Manifest
from fsproto.types import NO_HASH
from fsproto.wire.connection import Control, Data
from tests.support.hostile_server import (
    HostileServer,
    Lie,
    Repeats,
    Rewrites,
    Said,
    assert_refused,
    honest_again,
    putting,
)
from tests.support.world import World

Places = dict[str, TreeNode]
NOTHING_THERE = PrefixTree().prove([])


class InsteadOf(Lie):
    """A server that replaces an action, or passes another request to the honest server."""

    def __init__(
        self,
        kind: type[Message],
        how: Callable[..., Message],
    ) -> None:
        self._kind = kind
        self._how = how

    def answer(self, ask: Message, honestly: Callable[[Message], Message]) -> Message:
        return self._how(ask, honestly) if isinstance(ask, self._kind) else honestly(ask)


# --- looking names up


def test_a_file_cannot_be_hidden_by_leaving_its_manifest_out(
    world: World, liar: HostileServer
) -> None:
    liar.lie = Rewrites(Found, lambda found: replace(found, manifests=[]))
    assert_refused(world.alice)
    honest_again(world, liar)


def test_a_file_cannot_be_proved_absent_while_it_is_there(
    world: World, liar: HostileServer
) -> None:
    liar.lie = Rewrites(Found, lambda found: replace(found, manifests=[], proof=NOTHING_THERE))
    assert_refused(world.alice)
    assert_refused(world.alice, *putting(world.alice))
    honest_again(world, liar)


def test_absence_cannot_be_claimed_without_a_proof(world: World, liar: HostileServer) -> None:
    denied = Failure("not-found", "There is no such folder.", "", 0)
    liar.lie = Rewrites(Found, lambda _: denied)
    assert_refused(world.alice, status=8)
    # A command that treats "not found" as "removed" must not be fooled.
    assert_refused(world.alice, "rm", "-f", "notes.txt", status=8)
    liar.lie = Rewrites(Entries, lambda _: denied)
    assert_refused(world.alice, "ls", status=8)
    for answer, path in ((Fetched, "notes.txt"), (Sent, "plan.bin")):
        liar.lie = Rewrites(answer, lambda _: denied)
        assert_refused(world.alice, path=path, status=8)
    honest_again(world, liar)


def test_an_older_proof_is_refused(world: World, liar: HostileServer) -> None:
    old = liar.lie = Repeats(Found)
    world.alice.cat("notes.txt")
    liar.lie = Lie()
    world.alice.put("notes.txt", b"newer").succeeds()
    liar.lie = old
    assert "OLDER STATE" in assert_refused(world.alice)


def test_an_older_proof_under_the_state_of_now_is_refused(
    world: World, liar: HostileServer
) -> None:
    old = liar.lie = Repeats(Found)
    world.alice.cat("notes.txt")
    liar.lie = Lie()
    world.alice.put("notes.txt", b"newer").succeeds()
    liar.lie = Rewrites(Found, lambda found: replace(old.first[Found], state=found.state))
    assert_refused(world.alice)


def test_an_older_manifest_is_refused_even_by_a_client_that_has_seen_nothing(
    world: World, liar: HostileServer
) -> None:
    # Mix-and-match: alice signed each part, but not together with the others.
    old = liar.lie = Repeats(Found)
    world.alice.cat("notes.txt")
    liar.lie = Lie()
    world.alice.put("notes.txt", b"newer").succeeds()
    world.alice.forget()
    liar.lie = Rewrites(Found, lambda f: replace(f, manifests=old.first[Found].manifests))
    assert_refused(world.alice)


def test_the_proof_of_another_folder_is_refused(
    world: World, liar: HostileServer, places: Places
) -> None:
    elsewhere = places["archive"].keyed.node
    liar.lie = InsteadOf(Lookup, lambda ask, honestly: honestly(replace(ask, folder=elsewhere)))
    assert_refused(world.alice, path="reports/q1.txt")


def test_the_proof_for_another_name_is_refused(
    world: World, liar: HostileServer, places: Places
) -> None:
    other = places["draft.bin"].manifest.body.token
    liar.lie = InsteadOf(Lookup, lambda ask, honestly: honestly(replace(ask, tokens=[other])))
    assert_refused(world.alice)


def test_manifests_in_another_order_are_refused(world: World, liar: HostileServer) -> None:
    liar.lie = Rewrites(Found, lambda found: replace(found, manifests=found.manifests[::-1]))
    # Two names in one request, as when a folder is put a second time.
    assert_refused(world.alice, "put", str(world.alice.folder / "reports"), "/")


def test_the_manifest_of_another_file_is_refused(
    world: World, liar: HostileServer, places: Places
) -> None:
    other = places["draft.bin"].manifest.signed
    liar.lie = Rewrites(Found, lambda found: replace(found, manifests=[other]))
    assert_refused(world.alice)


def test_the_manifest_of_another_persons_file_is_refused(world: World, liar: HostileServer) -> None:
    theirs = world.bob.find("notes.txt").manifest.signed
    liar.lie = Rewrites(Found, lambda found: replace(found, manifests=[theirs]))
    assert_refused(world.alice)


def test_a_state_signed_by_another_person_is_refused(world: World, liar: HostileServer) -> None:
    bob = open_identity((world.bob.profile / "identity.key").read_bytes(), None)

    def emptied(found: Found) -> Found:
        body = unpack(found.state.payload, FolderState)
        forged = sign_state(bob.signing, replace(body, version=body.version + 1, root=NO_HASH))
        return Found(forged.signed, NOTHING_THERE, [])

    liar.lie = Rewrites(Found, emptied)
    assert "signature" in assert_refused(world.alice)


def test_a_malformed_proof_is_refused(world: World, liar: HostileServer) -> None:
    for proof in (b"", b"\x03", b"\x03" * 300, b"\x09", b"\x01" + bytes(79), bytes(1_000_000)):
        liar.lie = Rewrites(Found, lambda found, proof=proof: replace(found, proof=proof))  # type: ignore[misc]
        assert_refused(world.alice)
    honest_again(world, liar)


# --- listings


def test_entries_cannot_be_left_out_of_a_listing(world: World, liar: HostileServer) -> None:
    liar.lie = Rewrites(Entries, lambda entries: replace(entries, manifests=entries.manifests[1:]))
    assert_refused(world.alice, "ls")
    liar.lie = Rewrites(Entries, lambda _: None)
    assert_refused(world.alice, "ls")
    honest_again(world, liar)


def test_entries_cannot_be_added_to_a_listing(world: World, liar: HostileServer) -> None:
    gift = world.bob.find("notes.txt").manifest.signed
    liar.lie = Rewrites(Entries, lambda entries: Entries([*entries.manifests, gift]))
    assert_refused(world.alice, "ls")


def test_entries_cannot_be_listed_twice(world: World, liar: HostileServer) -> None:
    liar.lie = Rewrites(Entries, lambda entries: Entries(entries.manifests * 2))
    assert_refused(world.alice, "ls")


@pytest.mark.parametrize(
    "kinds", [[Listed], [Entries], [Entries, Listed]], ids=["state", "entries", "all"]
)
def test_an_older_listing_is_refused(
    world: World, liar: HostileServer, kinds: list[type[Message]]
) -> None:
    old = liar.lie = Repeats(*kinds)
    world.alice.run("ls").succeeds()
    liar.lie = Lie()
    world.alice.put("notes.txt", b"newer").succeeds()
    liar.lie = old
    assert_refused(world.alice, "ls")


# --- commits


def test_a_commit_that_is_answered_and_not_made_shows_at_the_next_look(
    world: World, liar: HostileServer
) -> None:
    liar.lie = InsteadOf(Commit, lambda *_: Done())
    world.alice.run(*putting(world.alice)).succeeds()
    assert "OLDER STATE" in assert_refused(world.alice)


def test_an_unchanged_folder_cannot_be_reported_as_changed(
    world: World, liar: HostileServer
) -> None:
    # The client would sign and send the same commit again and again.
    def unchanged(ask: Commit, honestly: Callable[[Message], Message]) -> Message:
        folder = unpack(ask.states[0].payload, FolderState).folder
        tokens = [unpack(one.payload, Manifest).token for one in ask.manifests]
        found = honestly(Lookup(folder, tokens))
        assert isinstance(found, Found)
        return Stale([found])

    liar.lie = InsteadOf(Commit, unchanged)
    assert "have not changed" in assert_refused(world.alice, *putting(world.alice))
    honest_again(world, liar)


def test_an_older_state_cannot_be_shown_as_a_change(world: World, liar: HostileServer) -> None:
    old = liar.lie = Repeats(Found)
    world.alice.cat("notes.txt")
    liar.lie = Lie()
    world.alice.put("notes.txt", b"newer").succeeds()
    liar.lie = InsteadOf(Commit, lambda *_: Stale([old.first[Found]]))
    assert "OLDER STATE" in assert_refused(world.alice, *putting(world.alice))


def test_a_change_of_another_folder_is_refused(
    world: World, liar: HostileServer, places: Places
) -> None:
    other = Lookup(places["archive"].keyed.node, [])
    liar.lie = InsteadOf(Commit, lambda _, honestly: Stale([honestly(other)]))
    assert_refused(world.alice, *putting(world.alice))


def test_a_folder_cannot_be_called_removed_without_a_proof(
    world: World, liar: HostileServer
) -> None:
    liar.lie = InsteadOf(Commit, lambda *_: Stale([]))
    assert "have not changed" in assert_refused(world.alice, *putting(world.alice))
    honest_again(world, liar)


# --- logging in


def test_the_tree_of_somebody_else_is_refused(world: World, liar: HostileServer) -> None:
    kept = liar.lie = Repeats(Welcome)
    world.bob.run("ls").succeeds()
    theirs = kept.first[Welcome].tree
    for part in ("grant", "manifest", "state"):
        liar.lie = Rewrites(  # one part of it
            Welcome,
            lambda mine, part=part: replace(  # type: ignore[misc]
                mine, tree=replace(mine.tree, **{part: getattr(theirs, part)})
            ),
        )
        assert_refused(world.alice)
    liar.lie = Rewrites(Welcome, lambda mine: replace(mine, tree=theirs))
    assert_refused(world.alice)
    honest_again(world, liar)


def test_another_root_signed_by_the_user_is_refused(world: World, liar: HostileServer) -> None:
    # If a person has started the enrolment twice, there are two signed roots; the server has both.
    alice = open_identity((world.alice.profile / "identity.key").read_bytes(), None)
    other = empty_tree(alice)
    liar.lie = Rewrites(Welcome, lambda welcome: replace(welcome, tree=other))
    assert "ANOTHER TREE" in assert_refused(world.alice)
    honest_again(world, liar)


def test_an_older_root_is_refused_at_the_login(world: World, liar: HostileServer) -> None:
    old = liar.lie = Repeats(Welcome)
    world.alice.run("ls").succeeds()
    liar.lie = Lie()
    world.alice.put("notes.txt", b"newer").succeeds()
    liar.lie = old
    assert "OLDER STATE" in assert_refused(world.alice)


def test_the_tree_of_another_person_is_refused_while_enrolling(
    world: World, liar: HostileServer
) -> None:
    kept = liar.lie = Repeats(Welcome)
    world.bob.run("ls").succeeds()
    liar.lie = Rewrites(Welcome, lambda mine: replace(mine, tree=kept.first[Welcome].tree))
    with world.database() as db:
        db.execute("DELETE FROM bundles WHERE user_id = 1")
        db.execute("DELETE FROM trees WHERE user_id = 1")
    alice, fresh = world.alice, world.alice.home / "fresh"
    link = f"fs://alice@{liar.address}/?{alice.added['enroll_link'].partition('?')[2]}"
    code = alice.app.fresh()
    alice.run("--otp", code, "enroll", "--no-passphrase", link, client=fresh).fails(7)
    assert not (fresh / "profiles" / "default").exists()


# --- answers that match no request


@pytest.mark.cases(3)
@pytest.mark.parametrize(
    ("kind", "command"),
    [
        (Welcome, "ls"),
        (Entries, "ls"),
        (Found, "get"),
        (Fetched, "get"),
        (Sent, "get large"),
        (Done, "put"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_answers_of_the_wrong_kind_and_to_questions_never_asked_are_refused(
    world: World, liar: HostileServer, kind: type[Message], command: str
) -> None:
    class Adds(Lie):
        def __init__(self, added: Callable[[int], Said]) -> None:
            self._added = added

        def says(self, said: Said) -> Iterable[Said]:
            if isinstance(said, Control) and isinstance(said.message, kind):
                yield self._added(said.request)
            yield said

    commands = {"ls": ("ls",), "get": (), "put": putting(world.alice, "another")}
    path = "plan.bin" if command == "get large" else "notes.txt"
    unasked: list[Callable[[int], Said]] = [
        lambda request: Control(request + 1, Done()),
        lambda _: Control(0, Failure("integrity", "Of nothing.", "", 0)),
        lambda request: Data(request + 7, 0, memoryview(b"unasked")),
        lambda request: Control(request, Logout()),
        lambda _: b"",
        lambda _: b"\x09 a record of no kind",
        # The start of a list of about two thousand million entries.
        lambda request: b"\x01" + request.to_bytes(4, "big") + b"\x92\xa7entries\xdd\x80\0\0\0",
    ]
    for added in unasked:
        liar.lie = Adds(added)
        assert_refused(world.alice, *commands.get(command, ()), path=path)
    honest_again(world, liar)


def test_the_words_of_a_server_cannot_take_over_the_terminal(
    world: World, liar: HostileServer
) -> None:
    words = "\x1b[2J\r\nfsclient: all is well\n" + "x" * 500_000 + "."
    liar.lie = Rewrites(Found, lambda _: Failure("conflict", words, words, 0))
    target = world.alice.write("here", b"what is here")
    ran = world.alice.run("get", "notes.txt", target)
    assert ran.status == 8
    assert "\x1b" not in ran.err
    assert "\nfsclient" not in ran.err
    assert len(ran.err) < 2000


@pytest.mark.cases(1)
@pytest.mark.parametrize(
    ("nothing", "person", "command"),
    [
        (Shares([], more=True), "bob", ["shares"]),
        (Shared([], more=True), "alice", ["shares"]),
        (Drops([], more=True), "alice", ["inbox"]),
    ],
    ids=["shared with the user", "shared by the user", "drops"],
)
def test_an_answer_in_parts_cannot_continue_without_content(
    team: World, server: HostileServer, nothing: Message, person: str, command: list[str]
) -> None:
    server.lie = lie = Rewrites(type(nothing), lambda _: nothing)
    complaint = getattr(team, person).run(*command).fails(7)
    assert "an empty part of an answer" in complaint
    assert lie.told == 1
