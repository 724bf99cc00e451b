"""What waits in the drop box: asked for, opened, and told apart from what cannot be believed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fsclient.session.login import Session
from fsclient.trust.seen import DROP
from fsproto.drop import DROP_ID_SIZE, OpenedDrop, open_drop
from fsproto.errors import IntegrityError, NotFoundError, RemoteProtocolError, SecurityError
from fsproto.limits import MAX_DROPS_NAMED
from fsproto.messages.base import Done
from fsproto.messages.drops import Drops, GetDrops, RemoveDrops
from fsproto.names import for_terminal
from fsproto.types import DropId, NodeId

_SHOWN = 8
"""Hexadecimal digits of a drop's id that are shown, and are enough to name it."""


@dataclass(frozen=True)
class RefusedDrop:
    """A drop that is not what it should be; nothing can be said of it but that."""

    drop: DropId
    error: SecurityError

    @property
    def id(self) -> str:
        """What it can be called, to be rejected."""
        return self.drop.hex()[:_SHOWN]


@dataclass(frozen=True)
class PendingDrop:
    """A drop that waits."""

    opened: OpenedDrop
    known: bool
    """It was accepted before on this machine: it is being shown again."""

    @property
    def drop(self) -> DropId:
        """Its id."""
        return self.opened.drop

    @property
    def id(self) -> str:
        """What it can be called, where its name is not enough."""
        return self.drop.hex()[:_SHOWN]

    @property
    def name(self) -> str:
        """What whoever uploaded it called it."""
        return self.opened.note.name


Waiting = PendingDrop | RefusedDrop


def waiting(session: Session) -> list[Waiting]:
    """Return what waits, the oldest first; each is looked at by itself."""
    tree, found = session.tree, []
    mark = tree.memory.mark()
    connection = session.connection
    request = connection.send(GetDrops())
    while True:
        answer = connection.answer(request, Drops)
        found += answer.drops
        if not answer.more:
            break
        if not answer.drops:
            raise RemoteProtocolError("The server sent a part of an answer with nothing in it.")
    known = tree.memory.had([NodeId(one.drop) for one in found], DROP, mark)
    result: list[Waiting] = []
    for sent in found:
        if len(sent.drop) != DROP_ID_SIZE:
            raise RemoteProtocolError("The server sent a drop without an id.")
        try:
            opened = open_drop(sent, tree.identity)
        except SecurityError as error:
            # Of one drop, whatever it is: the others can be believed all the same.
            refused = IntegrityError(error.sentence, hint=_hint(sent.drop, error))
            result.append(RefusedDrop(sent.drop, refused))
        else:
            result.append(PendingDrop(opened, NodeId(sent.drop) in known))
    return result


def _hint(drop: DropId, error: SecurityError) -> str:
    reject = f"'fsclient inbox reject {drop.hex()[:_SHOWN]}' deletes it."
    return f"{error.hint} {reject}" if error.hint else reject


def chosen(found: Sequence[Waiting], names: Iterable[str]) -> list[Waiting]:
    """Return those of what waits that are meant: by name, or by the id that is shown.

    `NotFoundError` if there is nothing of one of the names; then none is chosen.
    """
    picked: dict[DropId, Waiting] = {}
    for name in names:
        some: list[Waiting] = [
            one for one in found if isinstance(one, PendingDrop) and one.name == name
        ]
        if not some and len(name) >= _SHOWN:
            some = [one for one in found if one.drop.hex().startswith(name.lower())]
        if not some:
            raise NotFoundError(
                f"Nothing of the name '{for_terminal(name)}' waits for you.",
                hint="'fsclient inbox' shows what does.",
            )
        picked |= {one.drop: one for one in some}
    return list(picked.values())


def remove(session: Session, drops: Sequence[DropId]) -> None:
    """Have the server delete drops."""
    for start in range(0, len(drops), MAX_DROPS_NAMED):
        some = list(drops[start : start + MAX_DROPS_NAMED])
        session.connection.call(RemoveDrops(some), Done)
