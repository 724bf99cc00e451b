"""Sockets in a private folder: their users, and foreign files in their place."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from fskit.unix_sockets import PrivateFolder, is_private, peer_of
from fsproto.errors import ExistsError, NotAllowedError

NAME = "a.sock"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "private"


def test_a_new_folder_and_its_socket_are_the_users_alone(place):
    with PrivateFolder.open(place, create=True) as folder, folder.listen(NAME):
        assert is_private(place.stat())
        assert (place / NAME).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o755, 0o701, 0o770])
def test_a_folder_that_others_can_enter_is_refused(place, mode):
    place.mkdir()
    place.chmod(mode)
    for create in (True, False):
        with pytest.raises(NotAllowedError, match="not yours alone"):
            PrivateFolder.open(place, create=create)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(place):
    place.mkdir(0o700)
    os.chown(place, 4242, 4242)
    with pytest.raises(NotAllowedError):
        PrivateFolder.open(place)


@pytest.mark.parametrize("target", ["elsewhere", "missing"])
def test_a_link_in_place_of_the_folder_is_not_followed(place, tmp_path, target):
    (tmp_path / "elsewhere").mkdir(0o700)
    place.symlink_to(tmp_path / target)
    with pytest.raises(ExistsError, match="is no folder"):
        PrivateFolder.open(place, create=True)
    assert not any((tmp_path / "elsewhere").iterdir())


def test_a_file_in_place_of_the_folder_is_refused(place):
    place.touch()
    with pytest.raises(ExistsError, match="is no folder"):
        PrivateFolder.open(place, create=True)


def in_the_way(path: Path, kind: str) -> None:
    if kind == "file":
        path.write_bytes(b"precious")
    elif kind == "link":
        path.symlink_to(path.with_name("target"))
    else:
        path.mkdir()


@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_only_a_socket_is_replaced_or_removed(place, kind):
    with PrivateFolder.open(place, create=True) as folder:
        in_the_way(place / NAME, kind)
        before = (place / NAME).lstat()
        with pytest.raises(ExistsError, match="is no socket"):
            folder.listen(NAME)
        folder.remove(NAME)
        assert os.path.samestat((place / NAME).lstat(), before)


def test_the_socket_of_a_process_that_has_ended_is_replaced(place):
    with PrivateFolder.open(place, create=True) as folder:
        folder.listen(NAME).close()
        with pytest.raises(ConnectionRefusedError):
            folder.connect(NAME, 1)
        with folder.listen(NAME), folder.connect(NAME, 1) as connection:
            assert peer_of(connection).is_own
            assert peer_of(connection).pid == os.getpid()


def test_a_path_that_is_too_long_for_a_socket_works(tmp_path):
    place = tmp_path / ("x" * 120) / ("y" * 120)
    place.parent.mkdir()
    with pytest.raises(OSError, match="too long"), socket.socket(socket.AF_UNIX) as plain:
        plain.bind(str(place / NAME))
    with (
        PrivateFolder.open(place, create=True) as folder,
        folder.listen(NAME) as listener,
        folder.connect(NAME, 1) as connection,
        listener.accept()[0] as accepted,
    ):
        connection.sendall(b"x")
        assert accepted.recv(1) == b"x"
        folder.remove(NAME)
    assert not place.exists()


def test_a_folder_is_locked_once(place):
    with PrivateFolder.open(place, create=True) as one, PrivateFolder.open(place) as other:
        assert one.lock()
        assert not other.lock()
        assert one.is_in_place()
        one.remove(NAME)
        assert not one.is_in_place()
        with PrivateFolder.open(place, create=True) as new:
            assert new.lock()
            assert not one.is_in_place()
