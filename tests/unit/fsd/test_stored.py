"""What a user makes the server store beside the current files: counted, limited, shown."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from sqlalchemy import select

from fsd.blobs.janitor import Janitor
from fsd.policies import KeepPolicy, QuotaPolicy, UploadLimits
from fsd.services.accounts.terms import AccountTerms, NewValue
from fsd.services.files.commits import FileService
from fsd.services.files.quotas import COUNT_EACH_MS, Quotas
from fsd.services.files.transfers import TransferService
from fsd.store.models import User
from fsd.store.repos import quotas, stored
from fsd.store.repos.stored import Stored
from fsproto.errors import QuotaError
from fsproto.keys.grants import Role
from fsproto.limits import MAX_METADATA, SEGMENT_SIZE
from fsproto.messages.files import InlineBlob, Room
from fsproto.proofs.prefix_tree import FolderEntry
from fsproto.sealed.integrity import blob_root
from fsproto.sealed.manifest import Content, sign_manifest
from fsproto.types import Salt
from tests.support import fixed_keys
from tests.support.services import Clock, Services
from tests.support.shared_folder import make_folder
from tests.support.writers import Writer

pytestmark = pytest.mark.both_databases

KB = 1000
SEGMENT = memoryview(bytes(SEGMENT_SIZE))


def writer(office: Services, clock: Clock, policy: QuotaPolicy, keep_days: float = 30) -> Writer:
    person = office.add("alice")
    person.enrol(office, clock())
    room = Quotas(office.database, now_ms=clock, policy=policy)
    keep = KeepPolicy(keep_removed_days=keep_days)
    files = FileService(office.database, office.blobs, now_ms=clock, room=room, keep=keep)
    return Writer(office, person, files)


def counts(office: Services) -> tuple[Stored, Stored]:
    """Return the stored count of alice's tree, and the exact count."""
    with office.database.read() as db:
        owner = db.scalars(select(User.id).where(User.name == "alice")).one()
        row = quotas.get(db, owner)
        assert row is not None
        known = stored.known(row)
        assert known is not None
        return known, stored.of_trees(db, owner)


def with_large_metadata(alice: Writer, name: str) -> None:
    """Commit a new file whose manifest has the largest size."""
    alice.chains.setdefault(name, [])
    salt, blob = Salt(fixed_keys.stretch(name, 32)), b"x"
    content = Content(1, salt, blob_root(salt, blob), len(blob), bytes(32))
    body = replace(alice.body(name, content), metadata=bytes(MAX_METADATA))
    signed = sign_manifest(alice.person.identity.signing, body)
    put = FolderEntry(body.token, body.node, signed.hash)
    alice._send([signed], [], [InlineBlob(salt, blob)], put=put)
    alice.chains[name].append(signed)


# --- counts


@pytest.mark.one_database
def test_the_count_is_never_lower_than_what_is_stored(office, clock):
    alice = writer(office, clock, QuotaPolicy())
    for number in range(4):
        alice.write("f", bytes([number]) * 5000)
        alice.write(f"g{number}", b"x")
        alice.remove(f"g{number}")
        known, exact = counts(office)
        assert all(one >= other for one, other in zip(known, exact, strict=True))
    assert exact == (1 + 5, exact.record_bytes, 3 * 5000 + 4)
    assert exact.record_bytes > 0


@pytest.mark.one_database
def test_shares_are_counted_with_their_lists_and_keys(office, clock):
    alice = writer(office, clock, QuotaPolicy())
    bob = office.add("bob")
    bob.enrol(office, clock())
    alice.write("f", b"x")
    made = make_folder(office, alice.person)
    before = counts(office)[1].record_bytes
    made.share((bob, Role.READER))
    known, exact = counts(office)
    assert known.record_bytes >= exact.record_bytes > before + 1000


@pytest.mark.one_database
def test_an_administrator_sees_the_counts_and_the_limits(office, clock):
    alice = writer(office, clock, QuotaPolicy())
    alice.write("f", b"x" * 10)
    alice.write("f", b"y" * 10)
    shown = office.people.show("alice")
    assert shown.stored is not None
    assert (shown.stored.nodes, shown.stored.kept_bytes) == (2, 10)
    assert shown.most_stored == (QuotaPolicy().nodes, QuotaPolicy().records_mib << 20, None)


# --- limits


@pytest.mark.one_database
def test_more_nodes_than_allowed_are_refused_until_removed_ones_are_deleted(office, clock):
    alice = writer(office, clock, QuotaPolicy(nodes=4), keep_days=1)
    for name in "abc":
        alice.write(name, b"x")
    with pytest.raises(QuotaError, match="more than 4 files and folders"):
        alice.write("d", b"x")
    alice.chains.pop("d")
    assert counts(office)[1].nodes == 4
    alice.write("c", b"another version")
    alice.remove("c")
    with pytest.raises(QuotaError):
        alice.write("d", b"x")
    alice.chains.pop("d")
    clock.forward(2 * 24 * 3600)
    keep = KeepPolicy(keep_removed_days=1)
    Janitor(office.database, office.blobs, clock, keep).run()
    alice.write("d", b"x")
    assert counts(office)[0].nodes == 4


@pytest.mark.one_database
def test_a_refused_commit_does_not_count_everything_again_each_time(office, clock):
    alice = writer(office, clock, QuotaPolicy(nodes=2), keep_days=0)
    alice.write("a", b"x")
    with pytest.raises(QuotaError):
        alice.write("b", b"x")
    alice.chains.pop("b")
    alice.remove("a")
    with pytest.raises(QuotaError):  # it was counted a moment ago
        alice.write("b", b"x")
    alice.chains.pop("b")
    clock.forward(COUNT_EACH_MS / 1000)
    alice.write("b", b"x")


def test_manifests_states_and_versions_have_a_limit_of_bytes(office, clock):
    alice = writer(office, clock, QuotaPolicy(records_mib=1))
    for number in range(61):  # of some 16.9 KB each
        with_large_metadata(alice, f"{number}")
    with pytest.raises(QuotaError, match="more than 1 MiB"):
        with_large_metadata(alice, "one more")
    known, exact = counts(office)
    assert exact.record_bytes <= known.record_bytes <= 1 << 20


@pytest.mark.one_database
def test_older_versions_and_removed_files_have_a_limit_of_their_own(office, clock):
    alice = writer(office, clock, QuotaPolicy(most_bytes=100 * KB, kept_times=2))
    for number in range(3):
        alice.write("f", bytes([number]) * 50 * KB)
    alice.remove("f")
    alice.chains.pop("f")
    alice.write("g", b"x" * 51 * KB)
    with pytest.raises(QuotaError, match="of older versions and removed files"):
        alice.remove("g")
    assert counts(office)[1].kept_bytes == 150 * KB


@pytest.mark.one_database
def test_what_is_deleted_for_good_no_longer_counts(office, clock):
    alice = writer(office, clock, QuotaPolicy(most_bytes=100 * KB, kept_times=2))
    alice.write("f", b"x" * 50 * KB)
    for number in range(4):
        alice.write("g", bytes([number]) * 50 * KB)
    alice.remove("g")
    assert counts(office)[0].kept_bytes == 200 * KB
    with pytest.raises(QuotaError, match="of older versions and removed files"):
        alice.remove("f")
    alice.forget("g")
    known, exact = counts(office)
    assert known.nodes == exact.nodes == 2
    assert known.kept_bytes == exact.kept_bytes == 0
    assert 0 < exact.record_bytes <= known.record_bytes
    alice.remove("f")


def test_the_counts_of_a_tree_move_to_its_new_holder(office, clock):
    alice = writer(office, clock, QuotaPolicy())
    office.add("bob").enrol(office, clock())
    alice.write("f", b"x")
    office.people.hand_over("alice", "bob")
    shown = office.people.show("bob")
    assert shown.stored is not None
    assert shown.stored.nodes == 3


# --- unfinished uploads


@pytest.mark.one_database
def test_interrupted_uploads_take_room_in_the_quota(office, clock):
    alice = writer(office, clock, QuotaPolicy())
    office.people.change("alice", AccountTerms(quota_bytes=NewValue(2 * SEGMENT_SIZE)))
    transfers, who = office.transfers, alice.person.who
    for number in range(2):
        salt, line = Salt(fixed_keys.stretch(f"{number}", 32)), bytes([number]) * 32
        blob = transfers.begin(who, salt, resumable=True, line=line)
        blob.add(0, SEGMENT)
        transfers.suspend(blob)
        transfers.let_go(line)
    with pytest.raises(QuotaError, match="unfinished"):
        transfers.begin(who, Salt(bytes(32)), Room(None, None, SEGMENT_SIZE), line=bytes(32))
    kept, blob = transfers.resume(who, salt, Room(None, None, SEGMENT_SIZE), line=line)
    assert (kept.segments, blob is None) == (1, False)


@pytest.mark.one_database
def test_complete_uploads_without_a_commit_take_room_in_the_quota(office, clock):
    alice = writer(office, clock, QuotaPolicy())
    office.people.change("alice", AccountTerms(quota_bytes=NewValue(2 * SEGMENT_SIZE)))
    transfers, who = office.transfers, alice.person.who
    for number in range(2):
        salt, line = Salt(fixed_keys.stretch(f"{number}", 32)), bytes([number]) * 32
        blob = transfers.begin(who, salt, Room(None, None, SEGMENT_SIZE), line=line)
        blob.add(0, SEGMENT)
        transfers.finish(who, blob, blob_root(salt, bytes(SEGMENT)), SEGMENT_SIZE)
        transfers.let_go(line)
    with pytest.raises(QuotaError):
        transfers.begin(who, Salt(bytes(32)), Room(None, None, SEGMENT_SIZE), line=bytes(32))


@pytest.mark.one_database
def test_no_interrupted_upload_is_kept_where_none_may_be(office, clock):
    alice = writer(office, clock, QuotaPolicy())
    limits = UploadLimits(suspended=0)
    transfers = TransferService(office.database, office.blobs, now_ms=clock, limits=limits)
    blob = transfers.begin(alice.person.who, Salt(bytes(32)), resumable=True)
    blob.add(0, SEGMENT)
    transfers.suspend(blob)
    assert list((office.blobs._folder / "staging").iterdir()) == []
