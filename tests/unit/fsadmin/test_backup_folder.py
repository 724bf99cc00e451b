"""A folder of backups: names, what is deleted, and the file with the passphrase."""

from __future__ import annotations

import json
import shutil
import sys

import pytest

from fsadmin.backup_folder import name, prune
from fsadmin.cli import main

PHRASE = "correct horse"
DAY_MS = 86_400_000


@pytest.fixture
def admin(home_with_alice, monkeypatch, capsys, tmp_path):
    shutil.copytree(home_with_alice, tmp_path / "home")
    monkeypatch.delenv("FSADMIN_PASSPHRASE", raising=False)

    def call(*args: str) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["fsadmin", "--home", str(tmp_path / "home"), *args])
        with pytest.raises(SystemExit) as ended:
            main()
        return (ended.value.code, *capsys.readouterr())

    return call


@pytest.fixture
def phrase(tmp_path):
    path = tmp_path / "phrase"
    path.write_text(f"{PHRASE}\nnot this\n")
    path.chmod(0o600)
    return str(path)


@pytest.fixture
def backups(tmp_path):
    folder = tmp_path / "backups"
    folder.mkdir()
    return folder


def test_a_backup_in_a_folder_gets_a_name_and_the_older_ones_go(admin, phrase, backups):
    old = [backups / name(day * DAY_MS) for day in range(3)]
    others = [backups / "fsd-notes.backup", backups / "fsd-20260101T000000Z.backup.part"]
    for path in (*old, *others):
        path.write_bytes(b"x")
    command = ("backup", "--passphrase-file", phrase, "--keep", "2", str(backups), "--json")
    status, out, err = admin(*command)
    assert (status, err) == (0, "")
    told = json.loads(out)
    assert told["deleted"] == [str(path) for path in old[:2]]
    assert {str(path) for path in backups.iterdir()} == {
        told["file"],
        *map(str, (old[2], *others)),
    }
    status, out, err = admin("restore", "--test", told["file"], "--passphrase-file", phrase)
    assert (status, err) == (0, "")


def test_a_failed_backup_deletes_nothing(admin, phrase, backups, monkeypatch):
    old = [backups / name(day * DAY_MS) for day in range(3)]
    for path in old:
        path.write_bytes(b"x")
    assert admin("backup", "--passphrase-file", phrase + "?", "--keep", "1", str(backups))[0] != 0
    assert sorted(backups.iterdir()) == old


def test_keep_needs_a_folder(admin, phrase, tmp_path):
    for place in (str(tmp_path / "missing"), "-", phrase):
        status, out, err = admin("backup", "--passphrase-file", phrase, "--keep", "1", place)
        assert (status, out) == (2, "")
        assert "--keep needs a folder" in err
    assert not (tmp_path / "missing").exists()


def test_without_keep_nothing_is_deleted(admin, phrase, backups):
    old = backups / name(0)
    old.write_bytes(b"x")
    assert admin("backup", "--passphrase-file", phrase, str(backups))[0] == 0
    assert len(list(backups.iterdir())) == 2
    assert old.exists()


@pytest.mark.parametrize(
    ("content", "mode", "status"),
    [(b"secret\n", 0o640, 6), (b"", 0o600, 2), (b"\n", 0o600, 2), (b"\xff\xfe\n", 0o600, 2)],
)
def test_a_file_that_holds_no_good_passphrase_is_refused(
    admin, tmp_path, backups, content, mode, status
):
    path = tmp_path / "phrase"
    path.write_bytes(content)
    path.chmod(mode)
    done = admin("backup", "--passphrase-file", str(path), str(backups))
    assert (done[0], done[1]) == (status, "")
    assert "secret" not in done[2]
    assert list(backups.iterdir()) == []


def test_names_sort_by_time_and_others_are_left_alone(tmp_path):
    names = [name(day * DAY_MS) for day in (0, 1, 400, 20_000)]
    assert names == sorted(names)
    for one in names:
        (tmp_path / one).touch()
    assert [path.name for path in prune(tmp_path, 3)] == names[:1]
    assert prune(tmp_path, 3) == []
