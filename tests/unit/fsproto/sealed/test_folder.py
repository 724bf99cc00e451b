"""Folder states: their author, their folder, and their lineage."""

from __future__ import annotations

import pytest

from fsproto.errors import RemoteProtocolError, SignatureError
from fsproto.sealed.folder import FolderState, sign_state, state_hash, verify_state
from fsproto.signed import Signed
from fsproto.types import NO_HASH, Hash, NodeId
from tests.support.fixed_keys import LOG_HEAD, TIME_MS, keyed_node, person
from tests.vectors.makers.content import replaced

ALICE, BOB = person("alice"), person("bob")
FOLDER = keyed_node("folder").node


def _state(**changes: object) -> FolderState:
    first = FolderState(
        format=1,
        folder=FOLDER,
        version=1,
        lineage=NO_HASH,
        root=NO_HASH,
        generation=1,
        author="alice",
        author_key=ALICE.signing.public,
        time_ms=TIME_MS,
        log_head=LOG_HEAD,
    )
    return replaced(first, **changes)


def test_a_state_verifies_for_its_folder_and_author():
    made = sign_state(ALICE.signing, _state())
    assert verify_state(made.signed, FOLDER, "alice", ALICE.signing.public) == made


def test_the_next_state_carries_the_lineage_of_the_one_before():
    first = sign_state(ALICE.signing, _state())
    second = sign_state(ALICE.signing, _state(version=2, lineage=first.point.next_lineage))
    verified = verify_state(second.signed, FOLDER, "alice", ALICE.signing.public)
    assert first.point.leads_to(verified.point, ())
    assert first.hash == state_hash(first.signed)
    assert verified.hash != first.hash


@pytest.mark.parametrize(
    ("folder", "author", "public"),
    [
        (keyed_node("another").node, "alice", ALICE.signing.public),
        (FOLDER, "bob", ALICE.signing.public),
        (FOLDER, "alice", BOB.signing.public),
        (FOLDER, "bob", BOB.signing.public),
    ],
)
def test_a_state_of_another_folder_or_author_is_refused(folder: NodeId, author: str, public: bytes):
    made = sign_state(ALICE.signing, _state())
    with pytest.raises(SignatureError):
        verify_state(made.signed, folder, author, public)


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 0},
        {"version": 0},
        {"version": -1},
        {"version": 1 << 63},
        {"root": Hash(b"")},
        {"root": Hash(bytes(33))},
        {"lineage": Hash(bytes(31))},
    ],
    ids=str,
)
def test_a_malformed_state_is_refused_with_any_signature(changes: dict[str, object]):
    made = sign_state(ALICE.signing, _state(**changes))
    with pytest.raises(RemoteProtocolError):
        verify_state(made.signed, FOLDER, "alice", ALICE.signing.public)


def test_a_folder_id_of_another_length_is_refused_even_where_it_is_asked_for():
    short = NodeId(FOLDER[:-1])
    made = sign_state(ALICE.signing, _state(folder=short))
    with pytest.raises(RemoteProtocolError):
        verify_state(made.signed, short, "alice", ALICE.signing.public)


def test_a_state_without_its_signature_is_refused():
    made = sign_state(ALICE.signing, _state())
    for signature in (b"", bytes(64), made.signed.signature[:-1]):
        with pytest.raises(SignatureError):
            verify_state(
                Signed(made.signed.payload, signature), FOLDER, "alice", ALICE.signing.public
            )
