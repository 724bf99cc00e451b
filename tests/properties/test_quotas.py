"""After any sequence of file operations, the counted bytes match the stored bytes."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from fsd.blobs.janitor import Janitor
from fsd.policies import KeepPolicy
from fsd.services.accounts.terms import AccountTerms, NewValue
from fsd.services.files.commits import FileService
from fsd.store.engine import Database
from fsd.store.repos import quotas as rows
from fsd.store.repos.quotas import Held
from fsproto.errors import ConflictError, NotFoundError, QuotaError, RemoteProtocolError
from tests.conftest import TIER
from tests.support.services import Clock, Services
from tests.support.writers import Writer

MOST = 400_000
STEPS = 60
SEEDS = 20 if TIER == "soak" else 2
NAMES = ("a", "b", "c", "d", "e", "f")


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("keep", [KeepPolicy(0, 0), KeepPolicy(2, 1)], ids=["nothing", "some"])
def test_what_is_counted_is_what_is_there(
    database: Database, tmp_path: Path, seed: int, keep: KeepPolicy
) -> None:
    chance, clock = random.Random(seed), Clock()
    office = Services(database, tmp_path / "blobs", clock)
    person = office.add("alice")
    person.enrol(office, clock())
    files = FileService(database, office.blobs, now_ms=clock, keep=keep)
    alice, janitor = Writer(office, person, files), Janitor(database, office.blobs, clock, keep)
    office.people.change("alice", AccountTerms(quota_bytes=NewValue(MOST), quota_files=NewValue(4)))
    there: dict[str, int] = {}
    for _ in range(STEPS):
        name = chance.choice(NAMES)
        known = alice.chains.get(name, [])
        try:
            match chance.choice(("write", "write", "write", "remove", "old", "rename", "later")):
                case "write":
                    if known and name not in there:
                        continue  # it was removed: the name would get a new node
                    size = chance.choice((0, 10, 50_000, 70_000, 150_000)) + chance.randrange(1, 99)
                    alice.write(name, bytes(size))
                    there[name] = size
                case "remove" if name in there:
                    alice.remove(name)
                    del there[name]
                case "old" if known:  # restore an older content or a removed file
                    content = chance.choice(known).body.content
                    assert content is not None
                    alice.commit(name, content, [])
                    there[name] = content.sealed_size
                case "rename" if name in there:
                    alice.commit(name, known[-1].body.content, [])
                case "later":
                    clock.forward(chance.choice((60, 86_400)))
                    janitor.run()
        except (QuotaError, ConflictError, NotFoundError):
            pass
        except RemoteProtocolError:
            assert name not in there  # no longer kept: the next write makes a new file
            del alice.chains[name]
        with database.read() as db:
            assert rows.differing(db) == []
            held = rows.of_trees(db, person.who.user_id)
        assert held == Held(sum(there.values()), len(there))
        assert held.size <= MOST
        assert held.files <= 4
