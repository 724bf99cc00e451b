"""The trash folder of a profile."""

from __future__ import annotations

from pathlib import Path

from fsclient.transfer.local.trash import delete, trashed
from fskit.files import make_folders

DEEP = 1500
"""More than the calls that Python nests."""


def test_a_file_in_folders_nested_by_the_thousand_is_listed_and_deleted(tmp_path: Path):
    former = "/".join(["d"] * DEEP) + "/file"
    path = tmp_path / "2026-01-02T030405Z" / former
    make_folders(path.parent)
    path.write_bytes(b"deep")
    (one,) = trashed(tmp_path)
    assert (one.relative, one.size) == (former, 4)
    assert delete([one], tmp_path) == 1
    assert list(tmp_path.iterdir()) == []
