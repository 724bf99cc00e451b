"""Concurrent uploads against a quota: exactly as many succeed as fit.

In threads and in processes, with blobs uploaded before a commit or inside it, and with aborted
uploads.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from fsd.auth.otp import OtpSetting
from fsd.blobs.local import LocalBlobs
from fsd.principal import Principal
from fsd.services.accounts.terms import AccountTerms, NewValue
from fsd.services.files.commits import FileService
from fsd.services.files.quotas import Quotas
from fsd.services.files.transfers import TransferService
from fsd.store.engine import Database
from fsd.store.models import User
from fsd.store.repos import quotas as rows
from fsd.store.repos.quotas import Held
from fsproto import crypto
from fsproto.errors import QuotaError
from fsproto.messages.base import Done
from fsproto.messages.files import Commit, InlineBlob, Room
from fsproto.proofs.prefix_tree import FolderEntry, PrefixTree
from fsproto.sealed.folder import VerifiedState, sign_state
from fsproto.sealed.integrity import blob_root
from fsproto.sealed.manifest import Content, sign_manifest
from fsproto.types import NO_HASH, Hash, NodeId, Salt, Token
from tests.support import fixed_keys
from tests.support.races import winners, winners_in_processes
from tests.support.services import Clock, Services, ServiceUser, identity

pytestmark = pytest.mark.both_databases

PUTS, ROOM_FOR = 30, 10
PROCESSES = 4
LARGE, SMALL = 70_000, 1000
NO_MANIFEST = Hash(NO_HASH)


class Server:
    """The server's file services in one process, over a shared database and blob store."""

    def __init__(self, database: Database, folder: Path) -> None:
        clock = Clock()
        room = Quotas(database, now_ms=clock)
        blobs = LocalBlobs(folder)
        self.transfers = TransferService(database, blobs, now_ms=clock, quotas=room)
        self.files = FileService(database, blobs, now_ms=clock, room=room)


class Putting:
    """Uploads by alice, each into its own folder, so that no commit is stale."""

    def __init__(self, alice: ServiceUser, size: int) -> None:
        self.alice = alice
        self.size = size

    def make_folders(self, office: Services) -> None:
        alice, manifests, states = self.alice, [], []
        for number in range(PUTS):
            token = Token(self._id(number, "folder token", 32))
            body = alice.manifest(self._folder(number), alice.root.node, token, None)
            manifests.append(sign_manifest(alice.identity.signing, body))
            states.append(self._state(number, 1, PrefixTree(), NO_MANIFEST))
            alice.entries = alice.entries.put(FolderEntry(token, body.node, manifests[-1].hash))
        top = alice.root_state(2)
        signed = [state.signed for state in (top, *states)]
        ask = Commit(signed, [made.signed for made in manifests], [], [], [])
        assert office.files.commit(alice.who, ask) == Done()

    def put(self, server: Server, number: int) -> None:
        """Upload the file of that number; raise `QuotaError` if it does not fit."""
        salt, blob = self._salt(number), bytes(self.size)
        root = blob_root(salt, blob)
        inline = [InlineBlob(salt, blob)]
        if self.size == LARGE:
            incoming = self.begin(server, number)
            incoming.add(0, memoryview(blob))
            server.transfers.finish(self.alice.who, incoming, root, self.size)
            inline = []
        node, token = NodeId(self._id(number, "file", 16)), Token(self._id(number, "token", 32))
        content = Content(1, salt, root, self.size, bytes(32))
        body = self.alice.manifest(node, self._folder(number), token, content)
        signed = sign_manifest(self.alice.identity.signing, body)
        before = self._state(number, 1, PrefixTree(), NO_MANIFEST)
        tree = PrefixTree().put(FolderEntry(token, node, signed.hash))
        state = self._state(number, 2, tree, before.point.next_lineage)
        ask = Commit([state.signed], [signed.signed], [], inline, [])
        assert server.files.commit(self.alice.who, ask) == Done()

    def begin(self, server: Server, number: int):
        salt = self._salt(number)
        wanted, line = Room(None, None, self.size), crypto.sha256(salt)
        return server.transfers.begin(self.alice.who, salt, wanted, line=line)

    def _salt(self, number: int) -> Salt:
        return Salt(self._id(number, "salt", 32))

    def _folder(self, number: int) -> NodeId:
        return NodeId(self._id(number, "folder", 16))

    def _id(self, number: int, what: str, size: int) -> bytes:
        return fixed_keys.stretch(f"{number} {what}", size)

    def _state(self, number: int, version: int, tree: PrefixTree, lineage: Hash) -> VerifiedState:
        body = replace(
            self.alice.root_state(version).body,
            folder=self._folder(number),
            version=version,
            lineage=lineage,
            root=tree.root,
            log_head=self.alice.log_head,
        )
        return sign_state(self.alice.identity.signing, body)


@pytest.fixture
def putting(office: Services, clock: Clock) -> Callable[[int], Putting]:
    """A function that prepares alice's folders and a quota for `ROOM_FOR` files of a size."""

    def begin(size: int) -> Putting:
        alice = office.add("alice")
        alice.enrol(office, clock())
        made = Putting(alice, size)
        made.make_folders(office)
        office.people.change("alice", AccountTerms(quota_bytes=NewValue(size * ROOM_FOR)))
        return made

    return begin


def held(database: Database) -> Held:
    """Check that the counters match and nothing is reserved; return the counters."""
    with database.read() as db:
        assert rows.differing(db) == []
        (user,) = db.query(User)
        assert rows.salts(db, user.id) == set()
        return rows.of_trees(db, user.id)


@pytest.mark.cases(2)
@pytest.mark.parametrize("size", [LARGE, SMALL])
def test_of_thirty_puts_in_threads_as_many_succeed_as_fit(office, tmp_path, putting, size):
    hers, server = putting(size), Server(office.database, tmp_path / "blobs")
    won = winners(lambda number: hers.put(server, number), range(PUTS), refusal=QuotaError)
    assert won == ROOM_FOR
    assert held(office.database) == (ROOM_FOR * size, ROOM_FOR)


def test_aborted_puts_leave_no_reservation(office, tmp_path, putting):
    hers, server = putting(LARGE), Server(office.database, tmp_path / "blobs")

    def put(number: int) -> None:
        if number % 3 == 0:
            server.transfers.discard(hers.begin(server, number))  # Ctrl-C
        elif number % 3 == 1:
            incoming = hers.begin(server, number)
            incoming.add(0, memoryview(bytes(LARGE // 2)))
            server.transfers.suspend(incoming)  # the connection was lost
        else:
            hers.put(server, number)

    winners(put, range(PUTS), refusal=QuotaError)
    sum_before = held(office.database)
    assert sum_before.files <= ROOM_FOR
    # No reservation is left, so the remaining quota can be used to the last byte.
    others = [number for number in range(PUTS) if number % 3 != 2]
    won = winners_in_a_row(partial(hers.put, server), others)
    assert sum_before.files + won == ROOM_FOR
    assert held(office.database) == (ROOM_FOR * LARGE, ROOM_FOR)


def winners_in_a_row(put: Callable[[int], None], numbers: list[int]) -> int:
    won = 0
    for number in numbers:
        try:
            put(number)
        except QuotaError:
            continue
        won += 1
    return won


def _put_in_process(url, folder, otp, who, log_head, size, racers: range, start, won) -> None:
    with closing(Database(url)) as database:
        alice = ServiceUser(identity("alice"), otp, who, log_head=log_head)
        hers = Putting(alice, size)
        put = partial(hers.put, Server(database, folder))
        won.put(winners(put, racers, start=start, refusal=QuotaError))


@pytest.mark.cases(2)
@pytest.mark.parametrize("size", [LARGE, SMALL])
def test_of_twenty_puts_in_processes_as_many_succeed_as_fit(
    office, tmp_path, url_at_head, putting, size
):
    hers = putting(size)
    otp, who = hers.alice.otp, hers.alice.who
    assert isinstance(otp, OtpSetting)
    assert isinstance(who, Principal)
    args = url_at_head, tmp_path / "blobs", otp, who, hers.alice.log_head, size
    assert winners_in_processes(PROCESSES, _put_in_process, *args) == ROOM_FOR
    assert held(office.database) == (ROOM_FOR * size, ROOM_FOR)
