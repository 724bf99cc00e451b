"""Data that is sealed or signed for one object opens or verifies for no other object."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fsproto import crypto, labels
from fsproto.errors import IntegrityError, RemoteProtocolError, SecurityError, SignatureError
from fsproto.keylog.head import KeyLogHead, verify_head
from fsproto.keys.grants import Role, RootGrant, open_root_grant, unwrap, wrap
from fsproto.keys.identity import Bundle, verify_bundle
from fsproto.keys.member_list import verify_members
from fsproto.keys.tree import KeyedNode
from fsproto.names import clean_name
from fsproto.packing import Record
from fsproto.sealed import stream
from fsproto.sealed.folder import FolderState, sign_state, verify_state
from fsproto.sealed.manifest import (
    Manifest,
    Metadata,
    Mode,
    open_metadata,
    pinned_manifest,
    seal_metadata,
    sign_manifest,
    verify_author,
)
from fsproto.signed import Signed, open_signed, sign
from fsproto.types import NO_HASH, FileKey, Hash, NodeId
from tests.conftest import examples
from tests.support import strategies as our
from tests.support.fixed_keys import LOG_HEAD, Seeded, keyed_node, person
from tests.vectors.makers.content import file_manifest
from tests.vectors.makers.shares import SHARED, member_list

replace = msgspec.structs.replace
MANIFEST = file_manifest()

# --- metadata


def sealed(key: bytes, node: NodeId, version: int, generation: int, metadata: Metadata) -> Manifest:
    """Return a manifest whose metadata is sealed for exactly this binding."""
    packed = seal_metadata(key, node, version, generation, metadata, random=Seeded("nonce"))
    assert MANIFEST.content is not None
    content = replace(MANIFEST.content, sealed_size=stream.sealed_size(metadata.size))
    bound_to = {"node": node, "version": version, "generation": generation}
    return replace(MANIFEST, **bound_to, metadata=packed, content=content)


bound = st.tuples(our.exactly(32), our.node_ids, our.versions, our.generations)


@given(bound=bound, metadata=our.file_metadata)
def test_metadata_opens_as_it_was_sealed(bound: tuple[bytes, NodeId, int, int], metadata: Metadata):
    assert open_metadata(bound[0], sealed(*bound, metadata)) == metadata


@given(bound=bound, other=bound, changed=st.integers(0, 3), metadata=our.file_metadata)
def test_metadata_opens_for_its_own_key_node_version_and_generation_alone(
    bound: tuple[bytes, NodeId, int, int],
    other: tuple[bytes, NodeId, int, int],
    changed: int,
    metadata: Metadata,
):
    assume(bound[changed] != other[changed])
    key = other[0] if changed == 0 else bound[0]
    node = other[1] if changed == 1 else bound[1]
    version = other[2] if changed == 2 else bound[2]
    generation = other[3] if changed == 3 else bound[3]
    manifest = sealed(*bound, metadata)
    with pytest.raises(IntegrityError):
        open_metadata(key, replace(manifest, node=node, version=version, generation=generation))


@given(metadata=our.file_metadata, data=st.data())
def test_metadata_with_any_bit_changed_or_cut_is_refused(metadata: Metadata, data: st.DataObject):
    node = keyed_node("file")
    manifest = sealed(node.metadata_key, node.node, 1, 1, metadata)
    whole = manifest.metadata
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    for damaged in (data.draw(our.flipped(whole)), cut):
        with pytest.raises(IntegrityError):
            open_metadata(node.metadata_key, replace(manifest, metadata=damaged))


@given(metadata=our.file_metadata)
def test_the_size_of_metadata_tells_little_of_a_name(metadata: Metadata):
    node = keyed_node("file")
    packed = sealed(node.metadata_key, node.node, 1, 1, metadata).metadata
    assert (len(packed) - 12 - 16) % 128 == 0


@given(name=st.text() | our.hostile_text.map(lambda text: text.replace("\ud800", "")))
def test_a_name_from_another_is_clean_or_their_fault(name: str):
    node = keyed_node("file")
    metadata = Metadata(name, 0, 0, Mode.REGULAR, file_key=FileKey(bytes(32)))
    manifest = sealed(node.metadata_key, node.node, 1, 1, metadata)
    error = our.outcome(lambda: open_metadata(node.metadata_key, manifest))
    refused = our.outcome(lambda: clean_name(name)) is not None or clean_name(name) != name
    assert type(error) is (RemoteProtocolError if refused else type(None))


# --- links


@given(parent=our.keyed_nodes, child=our.aged_nodes())
def test_a_link_opens_for_its_own_folder_and_child(parent: KeyedNode, child: KeyedNode):
    assert parent.open_link(linked(parent, child)) == child


def linked(parent: KeyedNode, child: KeyedNode) -> Manifest:
    """Return the manifest of a child in a parent folder."""
    return replace(
        MANIFEST,
        node=child.node,
        parent=parent.node,
        generation=child.generation,
        link_generation=parent.generation,
        names_since=child.names_since,
        link=parent.seal_link(child, Seeded("link")),
        former=child.seal_former(Seeded("former")),
        key_commitment=child.key_commitment,
        former_commitment=child.former_commitment,
    )


@given(parent=our.keyed_nodes, child=our.aged_nodes(), other=our.keyed_nodes, data=st.data())
def test_a_link_opens_nowhere_else(
    parent: KeyedNode, child: KeyedNode, other: KeyedNode, data: st.DataObject
):
    manifest = linked(parent, child)
    assume(other.generation not in (parent.generation, child.generation))
    assume(other.node not in (parent.node, child.node) and other.key != parent.key)
    elsewhere: dict[str, tuple[KeyedNode, Manifest]] = {
        "another child": (parent, replace(manifest, node=other.node)),
        "another generation of the child": (
            parent,
            replace(manifest, generation=other.generation),
        ),
        "another folder": (
            KeyedNode(other.node, parent.generation, parent.key),
            replace(manifest, parent=other.node),
        ),
        "another generation of the folder": (
            KeyedNode(parent.node, other.generation, parent.key),
            replace(manifest, link_generation=other.generation),
        ),
        "another key": (KeyedNode(parent.node, parent.generation, other.key), manifest),
        "a manifest that names another folder": (parent, replace(manifest, parent=other.node)),
        "a manifest that names another generation": (
            parent,
            replace(manifest, link_generation=other.generation),
        ),
        "a changed link": (parent, replace(manifest, link=data.draw(our.flipped(manifest.link)))),
        "no link": (parent, replace(manifest, link=b"")),
    }
    for folder, claimed in elsewhere.values():
        with pytest.raises(IntegrityError):
            folder.open_link(claimed)


# --- former keys


@given(node=our.aged_nodes())
def test_former_keys_open_as_they_were_sealed(node: KeyedNode):
    newest = KeyedNode(node.node, node.generation, node.key)
    manifest = linked(keyed_node("folder"), node)
    opened = newest.with_former(manifest)
    assert opened == node
    assert opened.tokens("name") == node.tokens("name")
    assert node.renewed(Seeded("next")).former == (node.key, *node.former)


@given(node=our.aged_nodes(2), other=our.keyed_nodes, data=st.data())
def test_former_keys_open_nowhere_else(node: KeyedNode, other: KeyedNode, data: st.DataObject):
    assume(other.node != node.node and other.key != node.key)
    assume(other.generation not in (1, node.generation))
    manifest = linked(keyed_node("folder"), node)
    cut = manifest.former[: data.draw(st.integers(0, len(manifest.former) - 1))]
    elsewhere: dict[str, tuple[KeyedNode, Manifest]] = {
        "another node": (KeyedNode(other.node, node.generation, node.key), manifest),
        "another generation": (KeyedNode(node.node, other.generation, node.key), manifest),
        "another key": (KeyedNode(node.node, node.generation, other.key), manifest),
        "changed": (node, replace(manifest, former=data.draw(our.flipped(manifest.former)))),
        "cut": (node, replace(manifest, former=cut)),
    }
    for holder, claimed in elsewhere.values():
        with pytest.raises(IntegrityError):
            KeyedNode(holder.node, holder.generation, holder.key).with_former(claimed)


# --- grants


@settings(max_examples=examples(20))
@given(node=our.keyed_nodes)
def test_a_grant_opens_for_whom_it_was_made(node: KeyedNode):
    bob = person("bob")
    sealed = wrap(node, bob.bundle, Role.OWNER, Seeded("grant"))
    assert unwrap(sealed, node.node, node.generation, Role.OWNER, bob) == node


GRANTED = keyed_node("granted", 3)
GRANT = wrap(GRANTED, person("bob").bundle, Role.OWNER, Seeded("grant"))


@given(node=our.node_ids, generation=our.generations)
def test_a_grant_opens_for_its_own_node_and_generation_alone(node: NodeId, generation: int):
    assume(node != GRANTED.node and generation != GRANTED.generation)
    for wrong in ((node, GRANTED.generation), (GRANTED.node, generation)):
        with pytest.raises(IntegrityError):
            unwrap(GRANT, *wrong, Role.OWNER, person("bob"))


@given(data=st.data())
def test_a_grant_with_any_bit_changed_or_cut_is_refused(data: st.DataObject):
    cut = GRANT[: data.draw(st.integers(0, len(GRANT) - 1))]
    for damaged in (data.draw(our.flipped(GRANT)), cut):
        with pytest.raises(IntegrityError):
            unwrap(damaged, GRANTED.node, GRANTED.generation, Role.OWNER, person("bob"))


@given(st.binary(max_size=100) | st.binary(min_size=1480, max_size=1600))
def test_arbitrary_bytes_are_no_grant(arbitrary: bytes):
    with pytest.raises(IntegrityError):
        unwrap(arbitrary, GRANTED.node, GRANTED.generation, Role.OWNER, person("bob"))


# --- signatures

ALICE = person("alice")
STATE = FolderState(
    format=1,
    folder=keyed_node("folder").node,
    version=1,
    lineage=NO_HASH,
    root=NO_HASH,
    generation=1,
    author="alice",
    author_key=ALICE.signing.public,
    time_ms=0,
    log_head=LOG_HEAD,
)
KINDS: dict[bytes, tuple[Record, Callable[[Signed], object]]] = {
    labels.SIGN_MANIFEST: (
        MANIFEST,
        lambda signed: verify_author(signed, "alice", ALICE.signing.public),
    ),
    labels.SIGN_STATE: (
        STATE,
        lambda signed: verify_state(signed, STATE.folder, "alice", ALICE.signing.public),
    ),
    labels.SIGN_BUNDLE: (ALICE.bundle.body, lambda signed: verify_bundle(signed, "alice")),
    labels.SIGN_ROOT_GRANT: (
        RootGrant(
            1,
            GRANTED.node,
            3,
            "alice",
            ALICE.signing.public,
            wrap(GRANTED, ALICE.bundle, Role.OWNER, Seeded("root grant")),
            0,
        ),
        lambda signed: open_root_grant(signed, ALICE),
    ),
    labels.SIGN_MEMBERS: (
        member_list(),
        lambda signed: verify_members(signed, SHARED.node, "alice", ALICE.signing.public),
    ),
    labels.SIGN_LOG_HEAD: (
        KeyLogHead(1, ALICE.signing.public, 3, Hash(bytes(32)), 0),
        lambda signed: verify_head(signed, ALICE.signing.public),
    ),
}
every_kind = pytest.mark.parametrize("label", KINDS, ids=bytes.decode)


@every_kind
@given(data=st.data())
def test_a_signed_payload_with_any_bit_changed_is_refused(label: bytes, data: st.DataObject):
    body, verify = KINDS[label]
    signed = sign(ALICE.signing, label, body)
    verify(signed)
    for damaged in (
        Signed(data.draw(our.flipped(signed.payload)), signed.signature),
        Signed(signed.payload, data.draw(our.flipped(signed.signature))),
    ):
        with pytest.raises((SignatureError, RemoteProtocolError)):
            verify(damaged)


@every_kind
def test_a_signature_under_another_label_is_refused(label: bytes):
    body, verify = KINDS[label]
    for other in [value for name, value in vars(labels).items() if name.isupper()]:
        signed = sign(ALICE.signing, other, body)
        error = our.outcome(partial(verify, signed))
        expected = error is None if other == label else type(error) is SignatureError
        assert expected, (other, error)


@every_kind
@given(seed=our.exactly(32))
def test_a_signature_by_another_key_is_refused(label: bytes, seed: bytes):
    body, verify = KINDS[label]
    with pytest.raises(SignatureError):
        verify(sign(crypto.SigningKey(seed), label, body))


@every_kind
@given(payload=st.binary(max_size=80))
def test_a_signed_payload_of_any_bytes_is_refused_as_what_it_is(label: bytes, payload: bytes):
    _, verify = KINDS[label]
    signed = Signed(payload, ALICE.signing.sign(label, payload))
    assert isinstance(our.outcome(lambda: verify(signed)), SecurityError)


@every_kind
@given(data=st.data())
def test_a_signed_record_with_anything_in_its_fields_raises_security_errors_alone(
    label: bytes, data: st.DataObject
):
    body, verify = KINDS[label]
    field = data.draw(st.sampled_from(body.__struct_fields__))
    drawn = data.draw(our.records(type(body)))
    changed = replace(body, **{field: getattr(drawn, field)})
    error = our.outcome(lambda: verify(sign(ALICE.signing, label, changed)))
    assert error is None or isinstance(error, SecurityError)


@given(drawn=our.records(Manifest), field=st.sampled_from(Manifest.__struct_fields__))
def test_a_manifest_that_verifies_opens_or_raises_security_errors_alone(
    drawn: Manifest, field: str
):
    body = replace(MANIFEST, **{field: getattr(drawn, field)})
    signed = sign_manifest(ALICE.signing, body).signed

    def read() -> None:
        verified = verify_author(signed, "alice", ALICE.signing.public).body
        keyed_node("folder").open_link(verified)
        open_metadata(keyed_node("file").metadata_key, verified)

    error = our.outcome(read)
    assert error is None or isinstance(error, SecurityError)


@given(state=our.records(FolderState), manifest=our.records(Manifest))
def test_a_hash_stands_for_one_payload_and_one_kind(state: FolderState, manifest: Manifest):
    assert sign_state(ALICE.signing, state).hash != sign_manifest(ALICE.signing, manifest).hash
    same = Signed(sign_state(ALICE.signing, state).signed.payload, b"")
    with pytest.raises(IntegrityError):
        pinned_manifest(same, sign_state(ALICE.signing, state).hash)


@given(data=st.data())
def test_a_manifest_is_read_only_where_its_hash_is_the_one_expected(data: st.DataObject):
    made = sign_manifest(ALICE.signing, MANIFEST)
    changed = Signed(data.draw(our.flipped(made.signed.payload)), made.signed.signature)
    assert pinned_manifest(made.signed, made.hash).body == MANIFEST
    with pytest.raises(IntegrityError):
        pinned_manifest(changed, made.hash)


@given(bundle=our.records(Bundle), seed=our.exactly(32))
def test_a_bundle_of_any_keys_is_refused_or_usable_in_one_way(bundle: Bundle, seed: bytes):
    signing = crypto.SigningKey(seed)
    body = replace(bundle, format=1, version=1, ed25519=signing.public, kem=bytes(1184))
    signed = sign(signing, labels.SIGN_BUNDLE, body)
    with pytest.raises(RemoteProtocolError):
        verify_bundle(signed, bundle.user)
    assert open_signed(signed, Bundle, labels.SIGN_BUNDLE, signing.public) == body
