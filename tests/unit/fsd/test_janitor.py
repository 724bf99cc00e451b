"""Garbage collection on a disk that keeps what is to be deleted."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from fsd.blobs.janitor import Janitor
from fsd.blobs.local import LocalBlobs
from fsd.store.models import User
from fsd.store.repos import blobs as blob_rows
from fsproto.errors import InternalError
from tests.support.disks import Disk, disk
from tests.support.services import Services

ROOTS = [bytes([number]) * 32 for number in range(12)]
KNOWN = bytes([255]) * 32


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Disk]:
    with disk(tmp_path / "disk", 16) as mounted:
        yield mounted


@pytest.fixture
def store(office: Services, real: Disk, clock) -> LocalBlobs:
    """A store of the blob KNOWN, which the database knows, and of orphans."""
    blobs = LocalBlobs(real.folder / "blobs")
    for root in (*ROOTS, KNOWN):
        staged = blobs.stage()
        staged.write(b"content")
        staged.keep(root, len(b"content"))
    office.add("alice")
    with office.database.write() as db:
        owner = db.scalars(select(User.id)).one()
        row = {"root": KNOWN, "owner_id": owner, "node_id": None, "salt": bytes(32), "size": 7}
        blob_rows.add_all(db, [{**row, "created_ms": clock(), "data": None}])
    return blobs


def test_a_blob_that_cannot_be_deleted_does_not_keep_the_others(
    office: Services, store: LocalBlobs, clock
) -> None:
    kept = store.path(ROOTS[3])
    subprocess.run(["chattr", "+i", kept], check=True)
    try:
        Janitor(office.database, store, clock).run(unkept_s=0)
        assert set(store.names(0)) == {ROOTS[3], KNOWN}
    finally:
        subprocess.run(["chattr", "-i", kept], check=True)
    Janitor(office.database, store, clock).run(unkept_s=0)
    assert set(store.names(0)) == {KNOWN}


def test_a_run_on_a_read_only_disk_fails_with_an_error_of_ours(
    office: Services, store: LocalBlobs, real: Disk, clock
) -> None:
    real.fail()
    with pytest.raises(InternalError, match="Read-only"):
        Janitor(office.database, store, clock).run(unkept_s=0)


def test_a_foreign_file_in_the_store_is_left_alone(tmp_path: Path) -> None:
    store = LocalBlobs(tmp_path)
    (tmp_path / "ab").mkdir()
    foreign = tmp_path / "ab" / ("ab" + 62 * "z")
    foreign.touch()
    os.utime(foreign, (0, 0))
    assert list(store.names(0)) == []
