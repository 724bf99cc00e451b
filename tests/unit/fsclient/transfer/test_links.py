from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from fsclient.transfer.local.files import LocalStat
from fsclient.transfer.local.symlinks import LinkSource, link_made, local_facts
from fsproto.errors import ConflictError, IntegrityError, NotAllowedError, SourceChangedError
from fsproto.sealed.manifest import Mode

TIME_NS = 1_234_567_890_123_456_700


def made(path: Path, target: bytes) -> None:
    with link_made(path, TIME_NS) as link:
        for at in range(0, len(target), 1000):
            link.write(memoryview(target)[at : at + 1000])


def leads_to(path: Path) -> bytes:
    return os.readlink(os.fsencode(path))  # noqa: PTH115 - byte for byte


@pytest.mark.parametrize(
    "target", [b"a", b"./a", b"a/", b"/", b"..", b"no \xff utf-8", b"x" * 4095]
)
def test_what_is_read_of_a_link_makes_the_same_one(tmp_path, target):
    (tmp_path / "one").symlink_to(os.fsdecode(target))
    source, room = LinkSource(tmp_path / "one"), memoryview(bytearray(5000))
    content = bytes(room[: source.read_into(room)])
    source.check_unchanged(len(content))
    made(tmp_path / "other", content)
    assert leads_to(tmp_path / "other") == content == target
    facts = local_facts(tmp_path / "other")
    assert facts is not None
    assert replace(facts, inode=0) == LocalStat(len(target), TIME_NS, Mode.SYMLINK)


def test_a_link_that_changed_in_the_meantime_is_noticed(tmp_path):
    (tmp_path / "link").symlink_to("a")
    source, room = LinkSource(tmp_path / "link"), memoryview(bytearray(10))
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to("b")
    with pytest.raises(SourceChangedError):
        source.check_unchanged(source.read_into(room))


@pytest.mark.parametrize("target", [b"", b"\0", b"a\0", b"x" * 4097, b"x" * 1_000_000])
def test_what_no_link_can_hold_is_refused_and_what_was_there_stays(tmp_path, target):
    (tmp_path / "x").write_bytes(b"old")
    with pytest.raises(IntegrityError):
        made(tmp_path / "x", target)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("x", b"old")]


def test_a_link_takes_the_place_of_files_and_links_alone(tmp_path):
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "link").symlink_to("precious")
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "file"):
        made(tmp_path / name, b"new")
        assert leads_to(tmp_path / name) == b"new"
    for name in ("folder", "fifo"):
        with pytest.raises(ConflictError):
            made(tmp_path / name, b"new")
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert {path.name for path in tmp_path.iterdir()} == {
        *("precious", "link", "file", "folder", "fifo")
    }


@pytest.mark.parametrize("error", [OSError(errno.EPERM, "no"), NotImplementedError()])
def test_where_links_cannot_be_made_that_is_said(tmp_path, monkeypatch, error):
    def symlink(*_: object) -> None:
        raise error

    monkeypatch.setattr(os, "symlink", symlink)
    with pytest.raises(NotAllowedError, match="x' would be a symbolic link"):
        made(tmp_path / "x", b"a")
    assert list(tmp_path.iterdir()) == []
