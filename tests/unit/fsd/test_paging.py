"""Long answers: what waits for a client that reads slowly."""

from __future__ import annotations

import os
import resource
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsd.blobs.local import LocalBlobs
from fsd.services.paging import stored
from fsproto.errors import OutOfSpaceError


@pytest.mark.parametrize("sizes", [(), (1,), (48, 20_000, 1), (20_000,) * 20])
def test_stored_items_come_back_whole_and_in_order(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    items = [os.urandom(size) for size in sizes]
    assert list(stored(items, LocalBlobs(tmp_path).scratch())) == items


def many() -> Iterator[bytes]:
    return (bytes(20_000) for _ in range(500))


def test_stored_items_wait_on_disk_and_the_file_has_no_name(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path)
    tracemalloc.start()
    try:
        waiting = stored(many(), blobs.scratch())
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 200_000
    assert list((tmp_path / "staging").iterdir()) == []
    assert sum(map(len, waiting)) == 500 * 20_000


def test_a_full_disk_is_an_error_of_space(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(OutOfSpaceError):
            stored(many(), LocalBlobs(tmp_path).scratch())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
