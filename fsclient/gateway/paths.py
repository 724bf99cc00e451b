"""Paths in the gateway, as SFTP clients write them.

    /reports/q3.pdf             in the user's own tree
    /@shared                    all users who share something with this user
    /@shared/alice/plans/a.txt  in what Alice shares, `alice:plans/a.txt` elsewhere

`.` and `..` are resolved as text before any lookup, so no path leads out of the tree. A file of the
user's own named `@shared` at the top of the tree is hidden by this folder.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fsproto.errors import InvalidNameError, NotFoundError
from fsproto.limits import MAX_PATH_PARTS
from fsproto.names import RemotePath, canonical_name, clean_name, clean_user

SHARED = "@shared"


@dataclass(frozen=True, slots=True)
class GatewayPath:
    """A path in the gateway's tree: valid names, from the top down."""

    parts: tuple[str, ...]
    typed: tuple[str, ...] | None = field(default=None, compare=False)
    """The same names as the client spelled them, if it gave the path."""

    @property
    def spelled(self) -> tuple[str, ...]:
        """The names as the client spelled them; in NFC if no client gave the path."""
        return self.parts if self.typed is None else self.typed

    @property
    def name(self) -> str:
        """The last name; empty at the top."""
        return self.parts[-1] if self.parts else ""

    @property
    def parent(self) -> GatewayPath:
        """The parent folder; the parent of the top is the top."""
        return GatewayPath(self.parts[:-1])

    @property
    def is_sharers(self) -> bool:
        """Return whether it is the folder `/@shared`."""
        return self.parts == (SHARED,)

    @property
    def is_fixed(self) -> bool:
        """Return whether it is a virtual folder, which cannot be changed."""
        return not self.parts or (self.parts[0] == SHARED and len(self.parts) <= 2)  # noqa: PLR2004

    def child(self, name: str) -> GatewayPath:
        """Return the path of a name in this folder."""
        return GatewayPath((*self.parts, name))

    def within(self, folder: GatewayPath) -> bool:
        """Return whether it is that folder or is below it."""
        return self.parts[: len(folder.parts)] == folder.parts

    def moved(self, old: GatewayPath, new: GatewayPath) -> GatewayPath:
        """Return where it is after `old`, which it is or is below, was renamed to `new`."""
        return GatewayPath((*new.parts, *self.parts[len(old.parts) :]))

    def remote(self) -> RemotePath:
        """Return the path in a user's tree; `/@shared` is in no user's tree."""
        if self.parts[:1] != (SHARED,):
            return RemotePath(None, self.parts)
        try:
            owner = clean_user(self.parts[1])
        except InvalidNameError:
            raise NotFoundError(f"There is no '{self}'.") from None
        return RemotePath(owner, self.parts[2:])

    def __str__(self) -> str:
        return "/" + "/".join(self.spelled)


def place_of(path: str, start: GatewayPath | None = None) -> GatewayPath:
    """Parse a path, relative to `start` (default: the top).

    Raises `InvalidNameError` where a part cannot be a name.
    """
    typed = [] if path.startswith("/") or start is None else list(start.spelled)
    for piece in path.split("/"):
        if piece in ("", "."):
            continue
        if piece == "..":
            del typed[-1:]
            continue
        clean_name(piece)
        typed.append(piece)
    if len(typed) > MAX_PATH_PARTS:
        raise InvalidNameError(f"That path has more than {MAX_PATH_PARTS} parts.")
    return GatewayPath(tuple(map(canonical_name, typed)), tuple(typed))
