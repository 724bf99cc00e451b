"""The PostgreSQL clusters of test runs that were killed are deleted, and no others."""

from __future__ import annotations

import fcntl
import tempfile
from pathlib import Path

from tests.support.postgres import Cluster


def test_only_clusters_that_no_process_uses_are_deleted(tmp_path: Path, monkeypatch):
    abandoned, used, another = (tmp_path / name for name in ("fs-pg-1", "fs-pg-2", "other"))
    for folder in (abandoned, used, another):
        folder.mkdir()
        (folder / "in-use").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with (used / "in-use").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        cluster = Cluster()
        Cluster().delete()  # the first one is in use
        assert cluster.folder.exists()
    cluster.delete()
    assert set(tmp_path.iterdir()) == {used, another}
