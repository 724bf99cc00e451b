"""Backups between a folder and a bucket, in all directions."""

from __future__ import annotations

import io
import os
from contextlib import closing

import pytest

from fsd.backup import encrypt
from fsd.backup.make import make
from fsd.backup.restore import restore
from fsd.blobs.base import BlobStore
from fsd.blobs.check import StoredBytes
from fsd.blobs.local import LocalBlobs
from fsd.blobs.migrate import copy_all
from fsd.blobs.opening import check_store
from fsd.blobs.two_stores import TwoStores
from fsd.check.scan import Scan
from fsd.home.home import Home
from fsd.policies import BlobPolicy
from fsd.store.engine import Database
from fsproto.errors import ConflictError, IntegrityError
from fsproto.limits import SEGMENT_SIZE
from tests.support import object_store
from tests.support.fixed_keys import TIME_MS, stretch
from tests.support.object_store import ObjectStore
from tests.support.services import Services

PHRASE = "correct horse"
LARGE, SMALL = stretch("in a backup", 9 * SEGMENT_SIZE + 5), stretch("in it as well", 70_000)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the cheapest Argon2id parameters; these tests do not depend on its cost."""
    for name, value in (("_PASSES", 1), ("_LANES", 1), ("_MEMORY_KIB", 8)):
        monkeypatch.setattr(encrypt, name, value)


@pytest.fixture
def policy(bucket: ObjectStore, store_key: None) -> BlobPolicy:
    """The settings of a store under an unused prefix."""
    return bucket.policy(os.urandom(8).hex())


@pytest.fixture
def busy(database: Database, home: Home, clock) -> Services:
    office = Services(database, home.blobs, clock)
    alice = office.add("alice")
    alice.enrol(office, clock())
    alice.put(office, "large", LARGE, inline=False)
    alice.put(office, "small", SMALL, inline=False)
    return office


def backed_up(home: Home, office: Services, blobs: BlobStore) -> bytes:
    out = io.BytesIO()
    made = make(
        home,
        office.database,
        out,
        PHRASE,
        now_ms=lambda: TIME_MS,
        random=os.urandom,
        blobs=blobs,
    )
    assert (made.head.blobs, made.end.missing, made.end.damaged) == (2, [], [])
    return out.getvalue()


def contents(store: BlobStore) -> list[bytes]:
    found = []
    for blob in store.walk():
        with closing(StoredBytes(store.open(blob.place, blob.size))) as source:
            found.append(source.read(blob.size + 1))
    return sorted(found)


def put_back(data: bytes, home: Home, policy: BlobPolicy | None) -> None:
    restore(io.BytesIO(data), PHRASE, home, "sqlite://", TIME_MS, blobs=policy)


@pytest.mark.parametrize("into", ["folder", "bucket"])
@pytest.mark.parametrize("source", ["folder", "bucket"])
def test_a_backup_of_one_store_is_restored_into_another(
    busy, home, bucket, policy, tmp_path, source, into
) -> None:
    old: BlobStore = busy.blobs
    expected = contents(old)
    if source == "bucket":
        old = object_store.opened(bucket.policy(os.urandom(8).hex()), tmp_path / "old")
        copy_all(busy.database, TwoStores(old, busy.blobs))
        busy.blobs.delete([blob.place for blob in busy.blobs.walk()])
    to = Home(tmp_path / "new")
    put_back(backed_up(home, busy, old), to, policy if into == "bucket" else None)
    new: BlobStore = LocalBlobs(to.blobs)
    if into == "bucket":
        assert contents(new) == []
        new = object_store.opened(policy, tmp_path / "scratch")
        check_store(new, "the restored server")
    assert contents(new) == expected
    with closing(Database(to.database_url)) as restored:
        assert list(Scan(restored, new).findings()) == []


def test_a_restore_that_fails_leaves_nothing_in_the_bucket(busy, home, policy, tmp_path) -> None:
    data = backed_up(home, busy, busy.blobs)
    with pytest.raises(IntegrityError):
        put_back(data[:-1], Home(tmp_path / "new"), policy)
    assert not (tmp_path / "new").exists()
    assert contents(object_store.opened(policy, tmp_path / "scratch")) == []


def test_a_prefix_with_objects_is_refused_and_left_as_it_is(busy, home, policy, tmp_path) -> None:
    data = backed_up(home, busy, busy.blobs)
    put_back(data, Home(tmp_path / "first"), policy)
    store = object_store.opened(policy, tmp_path / "scratch")
    before = contents(store)
    with pytest.raises(ConflictError, match="There are objects in s3://"):
        put_back(data, Home(tmp_path / "second"), policy)
    assert not (tmp_path / "second").exists()
    assert contents(store) == before != []
