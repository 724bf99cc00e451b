"""A hostile user: with a real account and keys they send what no honest client would send.

The server answers each attempt with an error or ends the connection. It logs no traceback, serves
the other users, and keeps everything that is stored unchanged, byte for byte.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from fsclient.session.session import Session
from fsclient.tree.nodes import TreeNode
from fsproto.errors import SecurityError
from fsproto.keys.tree import new_node
from fsproto.limits import (
    MAX_COMMIT_NODES,
    MAX_CONTROL,
    MAX_LOGIN,
    MAX_RECORD,
    MAX_UPLOADS,
    SEGMENT_SIZE,
)
from fsproto.messages import Message
from fsproto.messages.account import Enroll, GetStatus, Status, TreeRoot, Welcome
from fsproto.messages.base import Done, Failure
from fsproto.messages.files import (
    Commit,
    Download,
    Entries,
    Found,
    InlineBlob,
    List,
    Listed,
    Lookup,
    Removal,
    Sent,
    Stale,
    Upload,
    UploadAbort,
    UploadEnd,
)
from fsproto.sealed import integrity
from fsproto.sealed.folder import sign_state
from fsproto.sealed.manifest import Content
from fsproto.signed import Signed
from fsproto.types import NO_HASH, NO_NODE, Hash, NodeId, Root, Salt, Token
from fsproto.wire.connection import Control
from tests.support.hostile_server import HostileServer
from tests.support.raw_client import ANY_ROOM, Forger, RawClient
from tests.support.world import World, until

Places = dict[str, TreeNode]
NOBODYS = NodeId(bytes(15) + b"\1")
NO_SIGNATURE = Signed(b"", bytes(64))


@pytest.fixture(scope="module")
def world(first_world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """One world for all of these attacks, since none of them changes it."""
    return first_world.copy(tmp_path_factory.mktemp("hostile users"))


@pytest.fixture(scope="module")
def liar(world: World) -> Iterator[HostileServer]:
    """A server on that world; it is honest here."""
    with HostileServer(world.home) as server:
        world.meet(server.address)
        yield server


@pytest.fixture(autouse=True)
def _all_stays_as_it_is(world: World, liar: HostileServer) -> Iterator[None]:
    before = committed(world)
    yield
    assert committed(world) == before
    assert world.bob.run("cat", "notes.txt").status == 0
    until(lambda: not world.staged(), "the server has deleted the staged data")


def committed(world: World) -> list[tuple[Any, ...]]:
    """Return all rows that describe people's files."""
    tables = ["nodes", "manifests", "folder_states", "trees", "bundles"]
    with world.database() as db:
        rows = [row for table in tables for row in db.execute(f"SELECT * FROM {table}")]
        rows += db.execute("SELECT * FROM blobs WHERE node_id IS NOT NULL")
    return sorted(rows, key=repr)


@pytest.fixture
def alice(world: World, liar: HostileServer) -> Iterator[RawClient]:
    """Alice on her own connection."""
    with RawClient.of(world.alice, liar.address) as raw:
        yield raw


@pytest.fixture
def bob(world: World, liar: HostileServer) -> Iterator[RawClient]:
    """Bob on his own connection."""
    with RawClient.of(world.bob, liar.address) as raw:
        yield raw


@pytest.fixture
def forger(world: World, liar: HostileServer) -> Iterator[Forger]:
    """A maker of commits that alice signs."""
    with world.alice.session() as session:
        yield Forger(session)


@pytest.fixture
def theirs(world: World, liar: HostileServer) -> Iterator[Session]:
    """Bob's own session, for the secrets that only he should know."""
    with world.bob.session() as session:
        yield session


def named(value: object) -> str:
    """Return the name of a case: its changed fields, or the code of the refusal."""
    return "-".join(value) if isinstance(value, dict) else str(value)


def upload(raw: RawClient, blob: bytes) -> Content:
    """Upload content that is never committed; return the content entry for a manifest."""
    salt = Salt(os.urandom(32))
    request = raw.send(Upload(salt, resumable=False, room=ANY_ROOM))
    for index, at in enumerate(range(0, len(blob), SEGMENT_SIZE)):
        raw.send_segment(request, index, blob[at : at + SEGMENT_SIZE])
    root = integrity.blob_root(salt, blob)
    raw.send(UploadEnd(root, len(blob)), request)
    assert raw.receive() == Control(request, Done())
    return Content(1, salt, root, len(blob), bytes(32))


# --- other people's files and folders


def test_a_user_cannot_list_anothers_folder(alice: RawClient, theirs: Session) -> None:
    root = theirs.tree.root.keyed
    assert alice.refusal(List(root.node)) == "not-found"
    assert alice.refusal(Lookup(root.node, [root.token("notes.txt")])) == "not-found"
    # The answer is the same as for an unknown node: the server does not reveal that it exists.
    assert alice.ask(List(NOBODYS)) == alice.ask(List(root.node))


def test_a_user_cannot_download_anothers_file(
    alice: RawClient, world: World, places: Places
) -> None:
    their_file, mine = world.bob.find("draft.bin").manifest.body, places["draft.bin"].manifest.body
    assert their_file.content is not None
    assert mine.content is not None
    assert alice.refusal(Download(their_file.node, their_file.content.root, 0)) == "not-found"
    assert alice.refusal(Download(mine.node, their_file.content.root, 0)) == "conflict"
    assert alice.refusal(Download(their_file.node, mine.content.root, 0)) == "not-found"


def test_a_user_cannot_write_into_anothers_folder(
    alice: RawClient, forger: Forger, theirs: Session
) -> None:
    # Even with the secrets that only bob knows: the key of his folder, its version and its hash.
    root = theirs.tree.root.keyed
    now = theirs.tree.view(root, [root.token("notes.txt")]).state
    content, blob = forger.blob()
    manifest = forger.manifest(root, "forged", content)
    body = replace(
        now.body, author="alice", author_key=forger.key.public, lineage=now.point.next_lineage
    )
    for version in (now.body.version + 1, now.body.version + 9):
        state = sign_state(forger.key, replace(body, version=version)).signed
        assert alice.refusal(Commit([state], [manifest.signed], [], [blob], [])) == "not-found"
        removal = Removal(root.node, root.token("notes.txt"))
        assert alice.refusal(Commit([state], [], [removal], [], [])) == "not-found"


def test_a_user_cannot_move_anothers_file_into_their_folder(
    alice: RawClient, forger: Forger, world: World, places: Places
) -> None:
    their_file, home = world.bob.find("notes.txt"), places["/"].keyed
    assert alice.refusal(forger.put(home, "mine", their_file.manifest)) == "not-found"
    # As a new node its id is already taken, whoever owns it.
    assert alice.refusal(forger.put(home, "mine", node=their_file.keyed)) == "conflict"
    assert world.bob.find("notes.txt").manifest.hash == their_file.manifest.hash


def test_a_user_cannot_commit_anothers_content(
    alice: RawClient, bob: RawClient, forger: Forger, places: Places, world: World
) -> None:
    content = upload(bob, b"bob's")
    assert alice.refusal(forger.put(places["/"].keyed, uploaded=content)) == "not-found"
    kept = world.bob.find("draft.bin").manifest.body.content
    assert alice.refusal(forger.put(places["/"].keyed, uploaded=kept)) == "not-found"


def test_a_signature_with_anothers_key_is_refused(
    alice: RawClient, forger: Forger, theirs: Session, places: Places
) -> None:
    forger.key = theirs.identity.signing
    assert alice.refusal(forger.put(places["/"].keyed)) == "signature"
    forger.user = "bob"
    assert alice.refusal(forger.put(places["/"].keyed)) == "signature"


# --- versions out of order


@pytest.mark.cases(6)
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"version": 3}, "conflict"),
        ({"version": 99}, "conflict"),
        ({"version": 1}, "protocol"),
        ({"lineage": Hash(bytes(31) + b"1")}, "conflict"),
        ({"kind": 2, "content": None}, "protocol"),
        ({"version": 0}, "protocol"),
        ({"version": 1 << 63}, "protocol"),
        ({"format": 2}, "protocol"),
        ({"author": "bob"}, "signature"),
        ({"author_key": bytes(32)}, "signature"),
        ({"parent": NO_NODE}, "protocol"),
        ({"parent": NOBODYS}, "protocol"),
        ({"token": Token(b"short")}, "protocol"),
        ({"metadata": bytes(20_000)}, "protocol"),
    ],
    ids=named,
)
def test_a_manifest_must_follow_the_one_before_it(
    alice: RawClient, forger: Forger, places: Places, changes: dict[str, Any], code: str
) -> None:
    home, before = places["/"].keyed, places["notes.txt"].manifest
    assert alice.refusal(forger.put(home, "notes.txt", before, **changes)) == code


@pytest.mark.cases(4)
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"version": 1 << 63}, "protocol"),
        ({"version": 0}, "protocol"),
        ({"root": NO_HASH}, "protocol"),
        ({"root": Hash(bytes(31) + b"1")}, "protocol"),
        ({"root": Hash(b"short")}, "protocol"),
        ({"author": "bob"}, "signature"),
        ({"format": 2}, "protocol"),
    ],
    ids=named,
)
def test_a_folders_state_must_follow_from_the_change(
    alice: RawClient, forger: Forger, places: Places, changes: dict[str, Any], code: str
) -> None:
    home = places["/"].keyed
    content, blob = forger.blob()
    manifest = forger.manifest(home, "forged", content)
    state = forger.state(home, manifest, **changes)
    assert alice.refusal(Commit([state], [manifest.signed], [], [blob], [])) == code


@pytest.mark.parametrize(
    "changes", [{"version": 2}, {"version": 99}, {"lineage": Hash(bytes(31) + b"1")}], ids=named
)
def test_a_state_on_top_of_another_is_answered_with_the_true_one(
    alice: RawClient, forger: Forger, places: Places, changes: dict[str, Any]
) -> None:
    home = places["/"].keyed
    manifest = forger.manifest(home, "forged", forger.blob()[0])
    state = forger.state(home, manifest, **changes)
    assert isinstance(alice.ask(Commit([state], [manifest.signed], [], [], [])), Stale)


def test_the_parts_of_a_commit_must_belong_together(
    alice: RawClient, forger: Forger, places: Places
) -> None:
    home, whole = places["/"].keyed, forger.put(places["/"].keyed)
    twin = forger.manifest(home, "forged", forger.blob()[0])
    folder = forger.manifest(home, "folder", None)
    elsewhere = Removal(places["archive"].keyed.node, home.token("old.txt"))
    for commit in (
        replace(whole, states=[]),
        replace(whole, states=whole.states * 2),
        replace(whole, manifests=[]),
        replace(whole, manifests=whole.manifests * 2),
        replace(whole, manifests=[*whole.manifests, twin.signed]),
        replace(whole, removals=[elsewhere]),
        replace(whole, removals=[Removal(home.node, Token(b"short"))]),
        replace(whole, states=[NO_SIGNATURE]),
        replace(whole, states=whole.manifests),
        replace(whole, manifests=whole.states),
        Commit(
            [forger.state(home, folder)], [folder.signed], [], [], []
        ),  # a folder without a state
    ):
        assert alice.refusal(commit) in ("protocol", "signature")


def test_one_name_is_not_given_to_two(alice: RawClient, forger: Forger, places: Places) -> None:
    home = places["/"].keyed
    made = [forger.blob() for _ in range(2)]
    two = [forger.manifest(home, "forged", content) for content, _ in made]
    commit = Commit(
        [forger.state(home, *two)], [m.signed for m in two], [], [b for _, b in made], []
    )
    assert alice.refusal(commit) == "protocol"


def test_a_missing_entry_cannot_be_removed(
    alice: RawClient, forger: Forger, places: Places
) -> None:
    home = places["/"].keyed
    removal = Removal(home.node, home.token("never was"))
    assert alice.refusal(Commit([forger.state(home)], [], [removal], [], [])) == "conflict"


def test_too_many_changes_at_once_are_refused(
    alice: RawClient, forger: Forger, places: Places
) -> None:
    home = places["/"].keyed
    states = [forger.state(home)]
    removals = [Removal(home.node, Token(os.urandom(32))) for _ in range(MAX_COMMIT_NODES + 1)]
    assert alice.refusal(Commit(states, [], removals, [], [])) == "protocol"
    assert alice.refusal(Commit(states, [], removals * 15, [], [])) == "protocol"
    many = [InlineBlob(Salt(os.urandom(32)), b"") for _ in range(20_000)]
    assert alice.refusal(Commit(states, [], [], many, [])) == "protocol"


# --- content that does not match its manifest


def test_content_must_have_been_uploaded(alice: RawClient, forger: Forger, places: Places) -> None:
    content, _ = forger.blob()
    assert alice.refusal(forger.put(places["/"].keyed, uploaded=content)) == "not-found"


def test_content_belongs_to_one_file(alice: RawClient, forger: Forger, places: Places) -> None:
    home, other = places["/"].keyed, places["draft.bin"].manifest.body.content
    assert alice.refusal(forger.put(home, uploaded=other)) == "protocol"
    before = places["notes.txt"].manifest
    assert alice.refusal(forger.put(home, "notes.txt", before, uploaded=other)) == "protocol"
    content, blob = forger.blob()
    two = [forger.manifest(home, name, content) for name in ("one", "two")]
    commit = Commit([forger.state(home, *two)], [m.signed for m in two], [], [blob], [])
    assert alice.refusal(commit) == "protocol"


@pytest.mark.cases(4)
@pytest.mark.parametrize(
    "changes",
    [
        {"sealed_size": 99},
        {"sealed_size": 0},
        {"sealed_size": 1 << 63},
        {"salt": Salt(bytes(32))},
        {"salt": Salt(b"short")},
        {"commitment": b"short"},
        {"version": 2},
        {"version": 0},
    ],
    ids=named,
)
def test_a_manifest_must_describe_its_content(
    alice: RawClient, forger: Forger, places: Places, changes: dict[str, Any]
) -> None:
    content, blob = forger.blob()
    commit = forger.put(places["/"].keyed, uploaded=replace(content, **changes))
    assert alice.refusal(replace(commit, blobs=[blob])) == "protocol"


def test_a_large_blob_does_not_go_into_the_database(
    alice: RawClient, forger: Forger, places: Places
) -> None:
    salt, data = Salt(os.urandom(32)), bytes(70_000)
    root = integrity.blob_root(salt, data)
    commit = forger.put(places["/"].keyed, uploaded=Content(1, salt, root, len(data), bytes(32)))
    assert alice.refusal(replace(commit, blobs=[InlineBlob(salt, data)])) == "protocol"


# --- folders without a place in the tree


def test_a_folder_cannot_be_moved_into_itself(
    alice: RawClient, forger: Forger, places: Places
) -> None:
    home, folder = places["/"].keyed, places["reports"]
    moved = forger.manifest(folder.keyed, "inside", None, folder.manifest, folder.keyed)
    out = Removal(home.node, folder.manifest.body.token)
    view = forger.tree.view(home, [out.token])
    left = forger.state(home, root=view.tree.remove(out.token).root)
    commit = Commit([left, forger.state(folder.keyed, moved)], [moved.signed], [out], [], [])
    assert alice.refusal(commit) == "not-allowed"


def test_new_folders_cannot_lie_in_one_another(alice: RawClient, forger: Forger) -> None:
    one, other = new_node(os.urandom), new_node(os.urandom)
    itself = forger.manifest(one, "itself", None, node=one)
    commit = Commit([forger.first_state(one, itself)], [itself.signed], [], [], [])
    assert alice.refusal(commit) == "not-allowed"
    pair = [
        forger.manifest(one, "a", None, node=other),
        forger.manifest(other, "b", None, node=one),
    ]
    states = [forger.first_state(one, pair[0]), forger.first_state(other, pair[1])]
    assert alice.refusal(Commit(states, [m.signed for m in pair], [], [], [])) == "not-allowed"


def test_a_moved_node_must_leave_its_old_folder(
    alice: RawClient, forger: Forger, places: Places
) -> None:
    file, archive = places["reports/q1.txt"], places["archive"].keyed
    moved = forger.manifest(
        archive, "q1.txt", file.manifest.body.content, file.manifest, file.keyed
    )
    commit = Commit([forger.state(archive, moved)], [moved.signed], [], [], [])
    assert alice.refusal(commit) == "protocol"


def test_a_file_cannot_hold_others(alice: RawClient, forger: Forger, places: Places) -> None:
    file = places["notes.txt"].keyed
    content, blob = forger.blob()
    inside = forger.manifest(file, "inside", content)
    state = forger.first_state(file, inside)
    assert alice.refusal(Commit([state], [inside.signed], [], [blob], [])) == "protocol"
    assert alice.refusal(List(file.node)) == "protocol"
    assert alice.refusal(Lookup(file.node, [])) == "protocol"


def test_the_root_cannot_be_moved(alice: RawClient, forger: Forger, places: Places) -> None:
    root, folder = places["/"], places["reports"].keyed
    moved = forger.manifest(folder, "root", None, root.manifest, root.keyed)
    commit = Commit([forger.state(folder, moved)], [moved.signed], [], [], [])
    assert alice.refusal(commit) == "protocol"


# --- uploads


def begin(raw: RawClient) -> tuple[int, Salt]:
    """Start an upload, which has no answer; return its request number and salt."""
    salt = Salt(os.urandom(32))
    return raw.send(Upload(salt, resumable=False, room=ANY_ROOM)), salt


@pytest.mark.parametrize(
    "segments",
    [
        pytest.param([(1, b"x")], id="the second first"),
        pytest.param([(0, b"x" * SEGMENT_SIZE), (0, b"x")], id="the first again"),
        pytest.param([(0, b"x" * SEGMENT_SIZE), (2, b"x")], id="one left out"),
        pytest.param([(0, b"short"), (1, b"more")], id="more after a short one"),
        pytest.param([(0, b"")], id="an empty one"),
        pytest.param([(0, b"x" * (SEGMENT_SIZE + 1))], id="one too long"),
        pytest.param([(1 << 63, b"x")], id="a number beyond all"),
    ],
)
def test_segments_must_come_as_they_are_numbered(
    alice: RawClient, segments: list[tuple[int, bytes]]
) -> None:
    request, _ = begin(alice)
    for index, segment in segments:
        alice.send_segment(request, index, segment)
    answer = alice.receive()
    assert isinstance(answer, Control)
    assert (answer.request, answer.message.code) == (request, "protocol")  # type: ignore[attr-defined]
    # The server ignores what is still in flight, the end included, and keeps the connection.
    alice.send_segment(request, 5, b"late")
    alice.send(UploadEnd(Root(bytes(32)), 9), request)
    assert isinstance(alice.ask(GetStatus()), Status)


@pytest.mark.parametrize(
    ("root", "size"),
    [(None, 6), (None, 4), (None, 0), (None, 1 << 63), (bytes(32), 5), (b"short", 5)],
)
def test_an_upload_must_have_the_stated_root_and_size(
    alice: RawClient, world: World, root: bytes | None, size: int
) -> None:
    kept = world.kept()
    request, salt = begin(alice)
    alice.send_segment(request, 0, b"hello")
    true = integrity.blob_root(salt, b"hello")
    alice.send(UploadEnd(Root(root or true), size), request)
    answer = alice.receive()
    assert isinstance(answer, Control)
    assert answer.message.code == "integrity"  # type: ignore[attr-defined]
    assert world.kept() == kept


def test_an_upload_of_nothing_is_refused(alice: RawClient) -> None:
    request, salt = begin(alice)
    alice.send(UploadEnd(integrity.blob_root(salt, b""), 0), request)
    answer = alice.receive()
    assert isinstance(answer, Control)
    assert answer.message.code == "integrity"  # type: ignore[attr-defined]


def test_two_uploads_cannot_have_one_number(alice: RawClient) -> None:
    request, salt = begin(alice)
    alice.send(Upload(Salt(bytes(32)), resumable=False, room=ANY_ROOM), request)
    answer = alice.receive()
    assert isinstance(answer, Control)
    assert answer.message.code == "protocol"  # type: ignore[attr-defined]
    # The first upload is not disturbed.
    alice.send_segment(request, 0, b"hello")
    alice.send(UploadEnd(integrity.blob_root(salt, b"hello"), 5), request)
    assert alice.receive() == Control(request, Done())


def test_started_and_unfinished_uploads_are_limited(alice: RawClient, world: World) -> None:
    first, *_ = [begin(alice)[0] for _ in range(3000)]
    end = alice.send(GetStatus())
    refused = 0
    while isinstance(answer := alice.receive(), Control) and answer.request != end:
        assert isinstance(answer.message, Failure)
        refused += 1
    assert refused == 3000 - MAX_UPLOADS
    assert not world.staged()  # a file is made for the first byte
    alice.send(UploadAbort(), first)
    request, salt = begin(alice)  # one upload slot is free again
    alice.send_segment(request, 0, b"hello")
    alice.send(UploadEnd(integrity.blob_root(salt, b"hello"), 5), request)
    assert alice.receive() == Control(request, Done())


def test_the_end_of_an_upload_that_never_started_is_refused(alice: RawClient) -> None:
    assert alice.refusal(UploadEnd(Root(bytes(32)), 1)) == "protocol"
    assert alice.refusal(UploadAbort()) == "protocol"
    alice.send_segment(77, 0, b"into nothing")
    assert isinstance(alice.ask(GetStatus()), Status)


@pytest.mark.parametrize("length", [0, 31, 33, 100_000])
def test_a_salt_has_its_size(alice: RawClient, length: int) -> None:
    assert alice.refusal(Upload(Salt(bytes(length)), resumable=False, room=ANY_ROOM)) == "protocol"


# --- messages that are not valid here


def test_messages_that_only_a_server_sends_are_refused(alice: RawClient) -> None:
    tree = TreeRoot(NO_SIGNATURE, NO_SIGNATURE, NO_SIGNATURE)
    found = Found(NO_SIGNATURE, b"", [])
    messages: list[Message] = [
        Done(),
        Failure("integrity", "No.", "", 0),
        Welcome("alice", None, 0, 0, tree, NO_SIGNATURE, []),
        Status("", 0, 0, 0, 0, 0, None, None, False, 0),
        found,
        Entries([]),
        Listed(NO_SIGNATURE),
        Stale([found]),
        Sent(0),
    ]
    for message in messages:
        assert alice.refusal(message) == "protocol"


def test_a_second_login_on_a_connection_is_refused(alice: RawClient, world: World) -> None:
    assert alice.refusal(alice.login(world.bob)) == "protocol"
    tree = TreeRoot(NO_SIGNATURE, NO_SIGNATURE, NO_SIGNATURE)
    assert alice.refusal(Enroll("bob", b"", "", NO_SIGNATURE, tree, "")) == "protocol"
    assert isinstance(alice.ask(GetStatus()), Status)


def test_names_of_a_wrong_length_are_refused(alice: RawClient, places: Places) -> None:
    home = places["/"].keyed.node
    for token in (b"", b"short", bytes(31), bytes(33), bytes(100_000)):
        assert alice.refusal(Lookup(home, [Token(token)])) == "protocol"
    for node in (b"", b"short", bytes(100_000)):
        assert alice.refusal(List(NodeId(node))) == "not-found"
        too_long = len(node) > MAX_LOGIN
        refused = "protocol" if too_long else "not-found"
        assert alice.refusal(Download(NodeId(node), Root(node), 0)) == refused


def test_a_record_beyond_the_limit_ends_the_connection(alice: RawClient) -> None:
    alice.socket.sendall((MAX_RECORD + 1).to_bytes(4, "big"))
    assert alice.is_ended()


@pytest.mark.cases(5)
@pytest.mark.parametrize(
    "plaintext",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x00", id="no kind"),
        pytest.param(b"\x01", id="half a header"),
        pytest.param(b"\x01\0\0\0\1", id="no message"),
        pytest.param(b"\x01\0\0\0\1\xc1", id="no msgpack"),
        pytest.param(b"\x01\0\0\0\1\x91\xa6nobody", id="an unknown message"),
        pytest.param(b"\x01\0\0\0\1" + b"\x91" * 900_000, id="a very deep one"),
        pytest.param(b"\x01\0\0\0\1" + bytes(MAX_CONTROL + 1), id="a message too long"),
        pytest.param(b"\x01\0\0\0\1\x93\xa6lookup\xc4\1x\xdd\xff\xff\xff\xff", id="4G tokens"),
        pytest.param(b"\x02\0\0\0\1", id="half a segment"),
        pytest.param(b"\x09" + bytes(100), id="another kind"),
    ],
)
def test_a_record_that_cannot_be_read_ends_the_connection(
    alice: RawClient, plaintext: bytes
) -> None:
    alice.send_plain(plaintext)
    assert alice.is_ended()


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(lambda raw: raw.send(GetStatus()), id="a question"),
        pytest.param(
            lambda raw: raw.send(Upload(Salt(bytes(32)), resumable=False, room=ANY_ROOM)),
            id="an upload",
        ),
        pytest.param(lambda raw: raw.send_segment(1, 0, b"x" * SEGMENT_SIZE), id="a segment"),
        pytest.param(lambda raw: raw.send_plain(b""), id="nothing"),
    ],
)
def test_requests_before_the_login_are_refused(
    world: World, liar: HostileServer, first: Callable[[RawClient], object]
) -> None:
    with RawClient(liar.address, world.alice.added["enroll_link"].partition("host-key=")[2]) as raw:
        first(raw)
        assert raw.is_ended()


# --- words


REFUSED: dict[str, Callable[[Forger, TreeNode], Commit]] = {
    "a state of another author": lambda forger, top: forger.put(
        top.keyed, author="bob", author_key=bytes(32)
    ),
    "an unsigned manifest": lambda forger, top: replace(
        forger.put(top.keyed), manifests=[NO_SIGNATURE]
    ),
    "an unreadable state": lambda forger, top: replace(
        forger.put(top.keyed), states=[NO_SIGNATURE]
    ),
    "a malformed manifest": lambda forger, top: forger.put(top.keyed, names_since=9),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_refused_request_is_not_called_an_answer_of_the_server(world: World, what: str) -> None:
    with world.alice.session() as session:
        commit = REFUSED[what](Forger(session), session.tree.root)
        with pytest.raises(SecurityError) as refused:
            session.connection.call(commit, Done)
    said = refused.value.sentence
    assert said.startswith("The server refused a request: ")
    assert "from the server" not in said
    assert "server sent" not in said
