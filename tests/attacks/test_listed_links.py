"""A server that lies to the owner of public links: about what they open, how often, and where."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from fsproto.messages.links import LinkMade, Links, OwnLink
from fsproto.types import LinkId, NodeId
from tests.support.hostile_server import HostileServer, Rewrites
from tests.support.world import World


def changed(**changes: object) -> Callable[[OwnLink], OwnLink]:
    return lambda link: replace(link, **changes)


LIES = {
    "another_id": changed(link=LinkId(bytes(16))),
    "another_node": changed(node=NodeId(bytes(16))),
    "another_generation": changed(generation=2),
    "no_record": changed(record=b""),
    "a_record_of_its_own": changed(record=bytes(156)),
    "more_downloads_than_permitted": changed(max_downloads=1, downloads=2),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_false_link_is_named_and_the_others_are_listed(liar: HostileServer, world: World, lie):
    alice = world.alice
    alice.run("link", "plan.bin").succeeds()
    alice.run("link", "notes.txt").succeeds()
    how = LIES[lie]
    liar.lie = Rewrites(
        Links, lambda said: replace(said, links=[how(said.links[0]), said.links[1]])
    )
    ran = alice.run("links")
    ran.fails(7)
    assert b"notes.txt" in ran.out
    assert b"plan.bin" not in ran.out


def test_records_of_two_links_cannot_be_exchanged(liar: HostileServer, world: World):
    world.alice.run("link", "plan.bin").succeeds()
    world.alice.run("link", "notes.txt").succeeds()

    def exchanged(said: Links) -> Links:
        one, other = said.links
        links = [replace(one, record=other.record), replace(other, record=one.record)]
        return replace(said, links=links)

    liar.lie = Rewrites(Links, exchanged)
    ran = world.alice.run("links")
    assert ran.status == 7
    assert b"notes.txt" not in ran.out


def test_a_link_that_is_listed_twice_is_refused(liar: HostileServer, world: World):
    world.alice.run("link", "plan.bin").succeeds()
    liar.lie = Rewrites(Links, lambda said: replace(said, links=said.links * 2))
    world.alice.run("links").fails(7)


@pytest.mark.parametrize(
    "url", ["", "javascript:alert(1)", "https://a.example/#", "https://user@a.example", "https://"]
)
def test_a_url_that_no_link_can_begin_with_is_not_printed(
    liar: HostileServer, world: World, url: str
):
    liar.lie = Rewrites(LinkMade, lambda _: LinkMade(url))
    ran = world.alice.run("link", "notes.txt")
    ran.fails(7)
    assert ran.out == b""
