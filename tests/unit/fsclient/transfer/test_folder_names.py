"""The local file for a remote name, in folders on disk and in a folder that folds case."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from fsclient.transfer.local.files import give_name, make_folder, raise_if_refused
from fsclient.transfer.local.folder_names import DiskNames, LocalFolder, local_folder
from fskit.file_names import FolderNames
from fsproto.errors import ExistsError, FsError, InvalidNameError, NotFoundError
from fsproto.names import parse_path
from tests.support.folding_folder import folding_folder

NFC, NFD = "caf\u00e9", "cafe\u0301"


class FoldingNames:
    """All folders fold case."""

    def folds_case(self, folder: Path) -> bool:
        return True


@pytest.mark.parametrize("may_write", [False, True])
@pytest.mark.parametrize("entries", [[], ["123"], ["some", "OTHER"], ["a", "A"]])
def test_a_folder_on_disk_is_asked_and_left_as_it_was(tmp_path, entries, may_write):
    for name in entries:
        (tmp_path / name).touch()
    names = DiskNames(may_write=may_write)
    assert not names.folds_case(tmp_path)
    assert not names.folds_case(tmp_path / "missing" / "too")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(entries)


@pytest.mark.parametrize("entries", [[], ["123"], ["some", "OTHER"], ["\u00e9"]])
def test_a_mounted_folder_that_folds_case_is_found(tmp_path, entries):
    with folding_folder(tmp_path) as folder:
        for name in entries:
            (folder / name).touch()
        (folder / "inside").mkdir()
        assert DiskNames(may_write=True).folds_case(folder / "inside")
        assert DiskNames(may_write=False).folds_case(folder / "inside" / "missing")
        (folder / "inside").rmdir()
        assert DiskNames(may_write=True).folds_case(folder)
        assert sorted(path.name for path in folder.iterdir()) == sorted(entries)


@pytest.mark.parametrize("names", [DiskNames(may_write=True), FoldingNames()])
def test_a_remote_name_means_the_entry_in_the_other_form(tmp_path, names: FolderNames):
    (tmp_path / NFD).touch()
    folder = local_folder(tmp_path, names)
    assert folder.has(NFC)
    assert folder.give(parse_path(NFC)) == NFD
    assert list(folder.surplus([NFC])) == []
    assert list(folder.surplus(["other"])) == [NFD]


def test_case_makes_two_files_only_where_the_folder_says_so(tmp_path):
    exact = LocalFolder(tmp_path, DiskNames(may_write=True), ["README"])
    assert exact.give(parse_path("readme")) == "readme"
    assert exact.give(parse_path("README")) == "README"
    assert list(exact.surplus(["readme"])) == ["README"]
    folding = LocalFolder(tmp_path, FoldingNames(), ["README"])
    assert folding.give(parse_path("readme")) == "README"
    with pytest.raises(ExistsError, match="'ReadMe' was not got"):
        folding.give(parse_path("ReadMe"))
    assert list(folding.surplus(["readme"])) == []


def test_a_name_that_means_two_entries_means_neither(tmp_path):
    third = "\u1e69", "s\u0323\u0307", "\u1e63\u0307"
    folder = LocalFolder(tmp_path, DiskNames(may_write=True), third[1:])
    with pytest.raises(ExistsError, match="accents"):
        folder.give(parse_path(third[0]))
    exact = LocalFolder(tmp_path, DiskNames(may_write=True), third)
    assert exact.give(parse_path(third[0])) == third[0]
    assert list(exact.doubled()) == [list(third)]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EILSEQ, errno.ENAMETOOLONG, errno.ENOENT])
def test_a_name_that_is_refused_is_named(tmp_path, number):
    with pytest.raises(InvalidNameError, match="a:b' has a name that this file system does not"):
        raise_if_refused(OSError(number, "no"), tmp_path / "a:b")


def test_a_missing_folder_is_no_refused_name(tmp_path):
    raise_if_refused(FileNotFoundError(errno.ENOENT, "no"), tmp_path / "no" / "x")
    with pytest.raises(NotFoundError):
        make_folder(tmp_path / "no" / "x")
    (tmp_path / "written").touch()
    with pytest.raises(FileNotFoundError):
        give_name(tmp_path / "gone", tmp_path / "x")
    with pytest.raises(FsError, match="does not take"):
        make_folder(tmp_path / ("n" * 256))
