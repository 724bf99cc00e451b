"""Paths as SFTP clients write them, and the places they name.

    /reports/q3.pdf             in one's own tree
    /@shared                    everybody who shares something with oneself
    /@shared/alice/plans/a.txt  in what Alice shares, `alice:plans/a.txt` elsewhere

`.` and `..` are resolved as text before anything is looked up, so nothing leads out of the tree.
A file of one's own that is called `@shared`, at the top, is hidden behind the folder.
"""

from __future__ import annotations

from dataclasses import dataclass

from fsproto.errors import InvalidNameError, NotFoundError
from fsproto.limits import MAX_PATH_PARTS
from fsproto.names import RemotePath, clean_name, clean_user

SHARED = "@shared"


@dataclass(frozen=True)
class GatewayPath:
    """A place in the gateway's one tree: names from its top down, each a name that can be."""

    parts: tuple[str, ...]

    @property
    def name(self) -> str:
        """The last name; empty at the top."""
        return self.parts[-1] if self.parts else ""

    @property
    def parent(self) -> GatewayPath:
        """The folder it lies in; the top's is itself."""
        return GatewayPath(self.parts[:-1])

    @property
    def is_sharers(self) -> bool:
        """Return whether it is the folder of those who share."""
        return self.parts == (SHARED,)

    @property
    def is_fixed(self) -> bool:
        """Return whether nobody has made it, so that nobody can change it either."""
        return not self.parts or (self.parts[0] == SHARED and len(self.parts) <= 2)  # noqa: PLR2004

    def child(self, name: str) -> GatewayPath:
        """The place of that name in it."""
        return GatewayPath((*self.parts, name))

    def within(self, folder: GatewayPath) -> bool:
        """Return whether it is that folder or lies somewhere under it."""
        return self.parts[: len(folder.parts)] == folder.parts

    def remote(self) -> RemotePath:
        """Return the path in somebody's tree; the folder of those who share is in nobody's."""
        if self.parts[:1] != (SHARED,):
            return RemotePath(None, self.parts)
        try:
            owner = clean_user(self.parts[1])
        except InvalidNameError:
            raise NotFoundError(f"There is no '{self}'.") from None
        return RemotePath(owner, self.parts[2:])

    def __str__(self) -> str:
        return "/" + "/".join(self.parts)


def place_of(path: str, start: GatewayPath | None = None) -> GatewayPath:
    """Return the place that a path names, `start` (default: the top) being where it begins.

    Raises `InvalidNameError` where a part cannot be a name.
    """
    parts = [] if path.startswith("/") or start is None else list(start.parts)
    for piece in path.split("/"):
        if piece in ("", "."):
            continue
        if piece == "..":
            del parts[-1:]
            continue
        parts.append(clean_name(piece))
    if len(parts) > MAX_PATH_PARTS:
        raise InvalidNameError(f"That path has more than {MAX_PATH_PARTS} parts.")
    return GatewayPath(tuple(parts))
