"""What an upload puts, and where: a local file, a remote folder, and a name in it."""

from __future__ import annotations

from pathlib import Path

from fsclient.transfer.local.source import Source
from fsclient.transfer.local.symlinks import LinkSource
from fsclient.tree.nodes import TreeNode
from fsproto.errors import InvalidNameError
from fsproto.keys.tree import KeyedNode
from fsproto.names import RemotePath, check_new_name, clean_name, for_terminal
from fsproto.values import Value


class TargetFolder(Value, frozen=True):
    """A target folder; `located` is None if this command creates the folder."""

    keyed: KeyedNode
    path: RemotePath
    located: TreeNode | None


def place_of(folder: TreeNode) -> TargetFolder:
    """Return an existing folder as a target folder."""
    return TargetFolder(folder.keyed, folder.path, folder)


class Leaf(Value, frozen=True):
    """A local file or link to upload."""

    place: str
    """The local path."""
    link: bool = False
    follow: bool = False
    """Whether to upload the file that a link points to."""

    def open(self) -> Source | LinkSource:
        """Open it as a source of an upload."""
        return LinkSource(Path(self.place)) if self.link else Source(self.place, follow=self.follow)


def checked_name(path: Path | str, name: str) -> str:
    """Return the remote name of a local file or folder."""
    try:
        return check_new_name(clean_name(name))
    except InvalidNameError as error:
        raise InvalidNameError(
            f"The local '{for_terminal(str(path))}' cannot be put under its name.",
            hint=error.sentence,
        ) from None
