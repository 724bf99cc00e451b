"""Drops for the people of a world, and the results of accepting them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from fsd.services.drops.model import DropSource
from fsproto.drop import Drop
from fsproto.limits import SEGMENT_SIZE
from fsproto.messages.drops import Drops
from tests.support.fixed_keys import stretch
from tests.support.hostile_server import HostileServer, Rewrites
from tests.support.world import Person

SCANNER = DropSource("192.0.2.7", "SHA256:" + "k" * 43, "scanner")
LARGE = stretch("large drop", 2 * SEGMENT_SIZE + 5)


def drop(server: HostileServer, person: Person, name: str, content: bytes) -> None:
    """Drop a file for a person, as the server does it for a stock client."""
    box = server.drops.enter(person.name, SCANNER)
    one = box.begin(name)
    for at in range(0, len(content), 32_768):
        one.write(at, content[at : at + 32_768])
    one.finish()
    box.close()


def listed(person: Person, folder: str = "inbox") -> list[dict[str, Any]]:
    """Return the entries of a person's folder, from `ls --json`."""
    ran = person.run("--json", "ls", folder)
    found: list[dict[str, Any]] = [] if ran.status == 5 else json.loads(ran.succeeds())
    return found


def names(person: Person, folder: str = "inbox") -> list[str]:
    return [one["name"] for one in listed(person, folder)]


def waiting(person: Person) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(person.run("--json", "inbox").succeeds())
    return found


class Swaps(Rewrites):
    """A server that changes the drops of every listing."""

    def __init__(self, how: Callable[[list[Drop]], Iterable[Drop]]) -> None:
        super().__init__(Drops, lambda said: Drops(list(how(said.drops)), said.more))


replaced = msgspec.structs.replace


def refused(person: Person) -> int:
    """Check that no waiting drop is accepted; return how many drops were refused."""
    ran = person.run("--json", "inbox", "accept", "--all")
    assert ran.status == 7, (ran.status, ran.err)
    assert "Traceback" not in ran.err
    assert names(person) == []
    said = json.loads(ran.out)
    assert not said.get("accepted")
    return len(said.get("failed", [said]))
