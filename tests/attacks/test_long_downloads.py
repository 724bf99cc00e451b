"""A download of many folders: what is listed is fetched soon, and links come last."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsclient.transfer.down import tree
from fsproto.messages import Message
from fsproto.messages.files import List
from tests.support.hostile_server import HostileServer, Lie
from tests.support.world import World

FOLDERS = 12


class Watches(Lie):
    """An honest server that notes what the client has stored when it asks for each listing."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self.stored: list[int] = []
        self.links: list[int] = []

    def answers(self, ask: Message, honestly):
        if isinstance(ask, List):
            there = list(self._target.rglob("*"))
            self.stored.append(sum(path.is_file() and not path.is_symlink() for path in there))
            self.links.append(sum(path.is_symlink() for path in there))
        return honestly(ask)


def test_files_come_while_folders_are_listed_and_links_after_all_of_them(
    world: World, liar: HostileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = world.alice
    for number in range(FOLDERS):
        alice.write(f"many/{number:02}/file", b"content %d" % number)
        (alice.folder / f"many/{number:02}/link").symlink_to("file")
    alice.run("put", alice.folder / "many", "many").succeeds()
    monkeypatch.setattr(tree, "_MOST_JOBS", 2)
    liar.lie = lie = Watches(tmp_path / "back")
    alice.run("get", "many", tmp_path / "back").succeeds()
    assert len(lie.stored) == FOLDERS + 1
    assert lie.stored[-1] > 1
    assert lie.links == [0] * (FOLDERS + 1)
    for number in range(FOLDERS):
        folder = tmp_path / "back" / f"{number:02}"
        assert (folder / "file").read_bytes() == b"content %d" % number
        assert (folder / "link").readlink() == Path("file")
