"""Node keys: everything they are used for has a key of its own."""

from __future__ import annotations

from fsproto.keys.tree import KeyedNode, new_node
from fsproto.types import NodeId, NodeKey
from tests import reference
from tests.known import Seeded, keyed_node

FOLDER = keyed_node("folder")


def test_a_new_node_draws_its_id_and_its_key():
    draw = Seeded("nodes")
    one, two = new_node(draw), new_node(draw)
    assert (len(one.node), len(one.key), one.generation) == (16, 32, 1)
    assert one.node != two.node
    assert one.key != two.key


def test_every_purpose_has_a_key_of_its_own():
    labels = (b"fs/1 node link key", b"fs/1 node name key", b"fs/1 node metadata key")
    keys = {reference.expand(FOLDER.key, label) for label in labels} | {FOLDER.key}
    assert len(keys) == 4
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
