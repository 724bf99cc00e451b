"""A user is hostile: with an account and keys of their own they try what no client would send.

The server answers each with an error or ends the connection, logs no traceback, serves the others,
and everything that is stored stays as it is, byte for byte.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from fsclient.session import Session
from fsclient.tree import Located
from fsd import app
from fsd.doors import native
from fsd.home import Home
from fsproto import crypto, labels
from fsproto.errors import ConnectionLost
from fsproto.keys.keyfile import open_identity
from fsproto.keys.tree import KeyedNode, new_node
from fsproto.limits import MAX_COMMIT_NODES, MAX_CONTROL, MAX_RECORD, MAX_UPLOADS, SEGMENT_SIZE
from fsproto.messages import Message
from fsproto.messages.account import Enroll, GetStatus, Login, Logout, Status, TreeRoot, Welcome
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
from fsproto.sealed.manifest import Kind, sign_manifest
from fsproto.sealed.signed import Signed
from fsproto.types import NO_HASH, NO_NODE, Hash, NodeId, Root, Salt, Token
from fsproto.wire.connection import Control, Data
from tests.attacks.lying import LyingServer
from tests.attacks.raw import Forger, Raw
from tests.attacks.world import DRAFT, World, until

Places = dict[str, Located]
NOBODYS = NodeId(bytes(15) + b"\1")


@pytest.fixture(autouse=True)
def stored(world: World, liar: LyingServer) -> Iterator[None]:
    """Everything that was committed is the same afterwards, and people are still served."""
    before = committed(world)
    yield
    assert committed(world) == before
    assert world.bob.run("cat", "draft.bin", "notes.txt").status == 0
    until(lambda: not world.staged(), "what was begun was forgotten")


def committed(world: World) -> list[tuple[Any, ...]]:
    """Return all rows that people's files consist of."""
    tables = ["nodes", "manifests", "folder_states", "trees", "bundles"]
    with world.database() as db:
        rows = [row for table in tables for row in db.execute(f"SELECT * FROM {table}")]
        rows += db.execute("SELECT * FROM blobs WHERE node_id IS NOT NULL")
    return sorted(rows, key=repr)


@pytest.fixture
def alice(world: World, liar: LyingServer) -> Iterator[Raw]:
    """Alice at a connection of her own."""
    with Raw.of(world.alice, liar.address) as raw:
        yield raw


@pytest.fixture
def bob(world: World, liar: LyingServer) -> Iterator[Raw]:
    """Bob at a connection of his own."""
    with Raw.of(world.bob, liar.address) as raw:
        yield raw


@pytest.fixture
def forger(world: World, liar: LyingServer) -> Iterator[Forger]:
    """What makes commits that alice signs."""
    with world.alice.session() as session:
        yield Forger(session)


@pytest.fixture
def theirs(world: World, liar: LyingServer) -> Iterator[Session]:
    """Bob's own session, to know what only he should."""
    with world.bob.session() as session:
        yield session


# --- what is somebody else's


def test_nobody_looks_into_anothers_folder(alice: Raw, theirs: Session) -> None:
    root = theirs.tree.root.keyed
    assert alice.refusal(List(root.node)) == "not-found"
    assert alice.refusal(Lookup(root.node, [root.token("notes.txt")])) == "not-found"
    # The same as for what is nowhere: that it exists is not told either.
    assert alice.ask(List(NOBODYS)) == alice.ask(List(root.node))


def test_nobody_downloads_anothers_file(
    alice: Raw, theirs: Session, world: World, places: Places
) -> None:
    their_file = world.bob.find("draft.bin").manifest.body
    mine = places["draft.bin"].manifest.body
    assert their_file.content is not None
    assert mine.content is not None
    assert alice.refusal(Download(their_file.node, their_file.content.root)) == "not-found"
    assert alice.refusal(Download(mine.node, their_file.content.root)) == "conflict"
    assert alice.refusal(Download(their_file.node, mine.content.root)) == "not-found"


def test_nobody_writes_into_anothers_folder(
    alice: Raw, forger: Forger, theirs: Session, bob: Raw
) -> None:
    root = theirs.tree.root.keyed
    view = theirs.tree.view(root, [root.token("forged")])
    content, blob = forger.blob()
    manifest = forger.manifest(root, "forged", content)
    # Even with all that only bob knows: the key of his folder, its version and its hash.
    body = replace(
        view.state.body,
        version=view.state.body.version + 1,
        previous=view.state.hash,
        author="alice",
        author_key=forger.key.public,
    )
    state = sign(forger, body)
    assert alice.refusal(Commit([state], [manifest.signed], [], [blob])) == "not-found"
    stale = sign(forger, replace(body, version=9))
    assert alice.refusal(Commit([stale], [manifest.signed], [], [blob])) == "not-found"


def test_nobody_takes_anothers_file_into_their_own_folder(
    alice: Raw, forger: Forger, world: World, places: Places
) -> None:
    their_file = world.bob.find("notes.txt").manifest
    home = places["/"].keyed
    assert alice.refusal(forger.put(home, "mine", their_file)) == "not-found"
    own_node = forger.put(home, "mine", node=KeyedNode(their_file.body.node, 1, home.key))
    assert alice.refusal(own_node) == "not-found"


def test_nobody_removes_from_anothers_folder(
    alice: Raw, forger: Forger, theirs: Session, places: Places
) -> None:
    root = theirs.tree.root.keyed
    removal = Removal(root.node, root.token("notes.txt"))
    assert alice.refusal(Commit([forger.state(places["/"].keyed)], [], [removal], [])) == "protocol"


def test_nobody_names_content_that_another_has_uploaded(
    alice: Raw, bob: Raw, forger: Forger, places: Places, world: World
) -> None:
    content = upload(bob, b"bob's")
    assert alice.refusal(forger.put(places["/"].keyed, content=content)) == "not-found"
    kept = world.bob.find("draft.bin").manifest.body.content
    assert alice.refusal(forger.put(places["/"].keyed, content=kept)) == "not-found"


def test_nobody_speaks_under_anothers_signature(
    alice: Raw, forger: Forger, theirs: Session, places: Places
) -> None:
    forger.key = theirs.identity.signing
    assert alice.refusal(forger.put(places["/"].keyed)) == "signature"


def sign(forger: Forger, body: Any) -> Signed:
    """Sign a folder's state as the forger."""
    from fsproto.sealed.folder import sign_state

    return sign_state(forger.key, body).signed
