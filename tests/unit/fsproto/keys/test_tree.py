"""Node keys: every use has a separate derived key."""

from __future__ import annotations

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fsproto.errors import IntegrityError, NotAllowedError
from fsproto.keys.tree import KeyedNode, new_node, next_commitment
from fsproto.limits import MAX_GENERATION
from fsproto.sealed.manifest import Manifest
from fsproto.types import NodeId, NodeKey
from tests.support import reference
from tests.support.fixed_keys import Seeded, aged_node, keyed_node
from tests.vectors.makers.content import file_manifest

FOLDER = keyed_node("folder")
OLD = aged_node("old folder", 4)


def test_a_new_node_draws_its_id_and_its_key():
    draw = Seeded("nodes")
    one, two = new_node(draw), new_node(draw)
    assert (len(one.node), len(one.key), one.generation) == (16, 32, 1)
    assert one.node != two.node
    assert one.key != two.key


def test_every_purpose_has_a_key_of_its_own():
    purposes = (b"link", b"name", b"metadata", b"former")
    labels = (b"fs/2 node " + purpose + b" key" for purpose in purposes)
    keys = {reference.expand(FOLDER.key, label) for label in labels} | {FOLDER.key}
    assert len(keys) == 5
    assert FOLDER.metadata_key in keys - {FOLDER.key}


def test_a_name_has_one_token_in_one_folder_however_it_is_spelled():
    assert FOLDER.token("\u00fc") == FOLDER.token("u\u0308")
    assert FOLDER.token("a") != FOLDER.token("A")
    assert len(FOLDER.token("a")) == 32


def test_the_same_name_in_two_folders_has_tokens_that_have_nothing_to_do_with_each_other():
    assert FOLDER.token("a") != keyed_node("another").token("a")


def test_a_token_belongs_to_the_key_and_not_to_the_generation():
    renumbered = KeyedNode(FOLDER.node, 2, FOLDER.key)
    assert renumbered.token("a") == FOLDER.token("a")


def test_a_node_does_not_show_its_key():
    node = KeyedNode(NodeId(bytes(16)), 1, NodeKey(b"secret".ljust(32, b"!")))
    assert "secret" not in repr(node)


def test_the_same_link_never_looks_the_same_twice():
    draw = Seeded("links")
    one, two = (FOLDER.seal_link(keyed_node("file"), draw) for _ in range(2))
    assert one[12:] != two[12:]


# --- generations


def manifest_of(node: KeyedNode, former: bytes, parent: KeyedNode = FOLDER) -> Manifest:
    return msgspec.structs.replace(
        file_manifest(),
        node=node.node,
        parent=parent.node,
        generation=node.generation,
        names_since=node.names_since,
        former=former,
        link=parent.seal_link(node, Seeded("link")),
        link_generation=parent.generation,
        key_commitment=node.key_commitment,
        former_commitment=node.former_commitment,
    )


def newest_alone(node: KeyedNode) -> KeyedNode:
    """Return a node with its newest key only, as before its former keys are opened."""
    return KeyedNode(node.node, node.generation, node.key)


def test_a_new_key_is_drawn_and_holds_all_before_it_the_newest_first():
    second = FOLDER.renewed(Seeded("second"))
    third = second.renewed(Seeded("third"))
    assert (second.generation, third.generation) == (2, 3)
    assert third.former == (second.key, FOLDER.key)
    assert len({FOLDER.key, second.key, third.key}) == 3
    assert third.key == Seeded("third")(32)
    assert third.node == FOLDER.node


def test_a_new_key_leaves_names_where_they_are():
    assert aged_node("folder", 4, names_since=3).renewed(Seeded("x")).names_since == 3


def test_each_generation_has_its_own_key_again():
    keys = [OLD.at(age).key for age in (4, 3, 2, 1)]
    assert keys == [OLD.key, *OLD.former]
    assert [OLD.at(age).generation for age in (1, 4)] == [1, 4]


@pytest.mark.parametrize("age", [0, -1, 5, 1 << 40])
def test_a_generation_that_never_was_has_no_key(age: int):
    with pytest.raises(IntegrityError, match="never had"):
        OLD.at(age)


def test_a_generation_whose_key_is_not_held_has_none():
    with pytest.raises(IntegrityError):
        newest_alone(OLD).at(3)


def test_a_name_is_looked_for_by_every_key_under_which_it_may_lie_the_newest_first():
    by_age = {age: KeyedNode(OLD.node, age, OLD.at(age).key).token("a") for age in range(1, 5)}
    assert OLD.tokens("a") == [by_age[age] for age in (4, 3, 2, 1)]
    assert aged_node("old folder", 4, names_since=3).tokens("a") == [by_age[4], by_age[3]]
    assert aged_node("old folder", 4, names_since=4).tokens("a") == [by_age[4]] == [OLD.token("a")]
    assert newest_alone(OLD).tokens("a") == [OLD.token("a")]


def test_the_first_key_seals_none_before_it():
    assert FOLDER.seal_former(Seeded("former")) == b""
    assert FOLDER.with_former(manifest_of(FOLDER, b"")) == FOLDER


def test_former_keys_are_sealed_as_the_protocol_says():
    sealed = OLD.seal_former(Seeded("former"))
    cipher = AESGCM(reference.expand(OLD.key, b"fs/2 node former key"))
    binding = b"fs/2 former keys" + OLD.node + reference.u32(4)
    assert cipher.decrypt(sealed[:12], sealed[12:], binding) == b"".join(OLD.former)
    assert sealed[:12] == Seeded("former")(12)


def test_former_keys_never_look_the_same_twice():
    draw = Seeded("former")
    assert OLD.seal_former(draw)[12:] != OLD.seal_former(draw)[12:]


@pytest.mark.parametrize("count", [0, 1, 2, 4])
def test_former_keys_are_as_many_as_there_were_generations_before(count: int):
    keys = tuple(NodeKey(bytes([n]) * 32) for n in range(count))
    sealed = KeyedNode(OLD.node, 4, OLD.key, keys).seal_former(Seeded("former"))
    with pytest.raises(IntegrityError, match=r"(?i)former keys"):
        newest_alone(OLD).with_former(manifest_of(OLD, sealed))


def test_former_keys_of_odd_length_are_refused():
    cipher = AESGCM(reference.expand(OLD.key, b"fs/2 node former key"))
    binding = b"fs/2 former keys" + OLD.node + reference.u32(4)
    for length in (95, 97):
        sealed = bytes(12) + cipher.encrypt(bytes(12), bytes(length), binding)
        with pytest.raises(IntegrityError, match="are missing"):
            newest_alone(OLD).with_former(manifest_of(OLD, sealed))


def test_a_link_from_before_a_new_key_still_opens_and_one_from_after_it_opens_for_no_old_key():
    child = keyed_node("child")
    now = FOLDER.renewed(Seeded("second"))
    before, after = (manifest_of(child, b"", parent) for parent in (FOLDER, now))
    assert now.open_link(before) == now.open_link(after) == child
    with pytest.raises(IntegrityError):
        FOLDER.open_link(after)


def test_opening_a_link_gives_all_keys_of_the_child():
    child = aged_node("child", 3, names_since=2)
    opened = FOLDER.open_link(manifest_of(child, child.seal_former(Seeded("former"))))
    assert opened == child
    assert opened.names_since == 2


def test_a_node_takes_no_more_keys_than_there_can_be():
    last = KeyedNode(FOLDER.node, MAX_GENERATION - 1, FOLDER.key).renewed(Seeded("last"))
    assert last.generation == MAX_GENERATION
    with pytest.raises(NotAllowedError) as refusal:
        last.renewed(Seeded("one more"))
    assert refusal.value.hint


def test_keys_are_committed_to_as_the_protocol_says():
    node, said = aged_node("child", 3), bytes(32)
    for age in (1, 2, 3):
        former = tuple(node.at(each).key for each in range(age - 1, 0, -1))
        assert KeyedNode(node.node, age, node.at(age).key, former).former_commitment == said
        info = b"fs/2 node key commitment" + node.node + reference.u32(age)
        one = reference.expand(node.at(age).key, info)
        assert node.at(age).key_commitment == one
        said = reference.sha256(b"fs/2 former commitment" + said + one)
    assert next_commitment(node.former_commitment, node.key_commitment) == said


@pytest.mark.parametrize("field", ["key_commitment", "former_commitment"])
def test_no_other_keys_are_taken_than_those_committed_to(field: str):
    child, other = aged_node("child", 3), aged_node("other", 3)
    good = manifest_of(child, child.seal_former(Seeded("former")))
    bad = msgspec.structs.replace(good, **{field: getattr(other, field)})
    assert FOLDER.open_link(good) == child
    with pytest.raises(IntegrityError, match="are not its keys"):
        FOLDER.open_link(bad)
