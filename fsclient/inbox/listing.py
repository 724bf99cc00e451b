"""The waiting drops: request them, open them, and separate out those that fail verification."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from fsclient.connection.parts import items_of
from fsclient.requests.own import KnownRequest, requests_of
from fsclient.session.session import Session
from fsclient.trust.sightings import DROP
from fsproto.drop import DROP_ID_SIZE, Drop, OpenedDrop, open_drop
from fsproto.errors import IntegrityError, NotFoundError, RemoteProtocolError, SecurityError
from fsproto.keys.identity import Identity
from fsproto.limits import MAX_DROP_TEXT, MAX_DROPS, MAX_DROPS_NAMED
from fsproto.messages.base import Done
from fsproto.messages.drops import Drops, GetDrops, RemoveDrops
from fsproto.names import RemotePath, check_received_name, for_terminal
from fsproto.requests.drop import OpenedRequestDrop, open_request_drop
from fsproto.requests.record import RequestRecord
from fsproto.sealed.manifest import REQUEST, Dropped
from fsproto.types import DropId, NodeId, RequestId

FOLDER = RemotePath(None, ("inbox",))
"""Where accepted files go, unless their request link has another folder."""
_SHOWN = 8
"""Hexadecimal digits of a drop's id that are shown and that identify it in a command."""


@dataclass(frozen=True)
class RefusedDrop:
    """A drop that failed verification; only its id and the error are known."""

    drop: DropId
    error: SecurityError

    @property
    def id(self) -> str:
        """The short id, which `inbox reject` accepts."""
        return self.drop.hex()[:_SHOWN]


@dataclass(frozen=True)
class SentWith:
    """The request link with which a drop was sent."""

    request: RequestId
    record: RequestRecord
    arrived_ms: int
    """When it arrived, by the server's clock."""
    sender: str
    """How the uploader signed; may be empty."""


@dataclass(frozen=True)
class PendingDrop:
    """A waiting drop that opened."""

    opened: OpenedDrop | OpenedRequestDrop
    known: bool
    """Whether the drop was accepted before on this machine, and the server lists it again."""
    origin: Dropped
    """Where it comes from, as an accepted file shows it."""
    sent: SentWith | None = None
    """None for a drop that the server sealed."""

    @property
    def folder(self) -> RemotePath:
        """The folder for the file when it is accepted."""
        if self.sent is None:
            return FOLDER
        return RemotePath(None, tuple(self.sent.record.folder.split("/")))

    @property
    def drop(self) -> DropId:
        """The drop's id."""
        return self.opened.drop

    @property
    def id(self) -> str:
        """The short id, for a drop whose name is ambiguous."""
        return self.drop.hex()[:_SHOWN]

    @property
    def name(self) -> str:
        """The name in the sender's note."""
        return self.opened.note.name


Waiting = PendingDrop | RefusedDrop


def waiting(session: Session) -> list[Waiting]:
    """Return the waiting drops, the oldest first; each is verified separately."""
    tree = session.tree
    mark = tree.context.memory.mark()
    found = items_of(session.connection, GetDrops(), Drops, lambda part: part.drops, MAX_DROPS)
    result: list[Waiting] = []
    drops, asked = list(found), dict[RequestId, KnownRequest]()
    if any(sent.arrived is not None for sent in drops):
        asked = {one.request.request: one for one in requests_of(session)}
    for sent in drops:
        if len(sent.drop) != DROP_ID_SIZE:
            raise RemoteProtocolError("The server sent a drop without an id.")
        try:
            pending = _opened(sent, asked, tree.context.identity)
        except SecurityError as error:
            # The error concerns this drop only: the other drops may still be valid.
            refused = IntegrityError(error.sentence, hint=_hint(sent.drop, error))
            result.append(RefusedDrop(sent.drop, refused))
        else:
            known = tree.context.memory.had([NodeId(sent.drop)], DROP, mark)
            result.append(replace(pending, known=bool(known)))
    return result


def _opened(sent: Drop, asked: dict[RequestId, KnownRequest], identity: Identity) -> PendingDrop:
    """Open a drop; `SecurityError` if it is not what the server says."""
    arrived = sent.arrived
    if arrived is None:
        opened = open_drop(sent, identity)
        note = opened.note
        origin = Dropped(sent.drop, note.arrived_ms, note.key, note.label, note.address)
        return PendingDrop(opened, known=False, origin=origin)
    known = asked.get(arrived.request)
    if known is None:
        raise IntegrityError("A drop names a request link that the server does not list.")
    if known.record is None:
        raise known.error or IntegrityError("The record of a request link does not open.")
    _check_folder(known.record)
    one = open_request_drop(sent, arrived.request, known.record.mark, identity)
    label, sender = known.record.note[:MAX_DROP_TEXT], one.note.sender
    return PendingDrop(
        one,
        known=False,
        origin=Dropped(sent.drop, arrived.arrived_ms, REQUEST, label, sender),
        sent=SentWith(arrived.request, known.record, arrived.arrived_ms, sender),
    )


def _check_folder(record: RequestRecord) -> None:
    for name in record.folder.split("/"):
        check_received_name(name)


def _hint(drop: DropId, error: SecurityError) -> str:
    reject = f"'fsclient inbox reject {drop.hex()[:_SHOWN]}' deletes it."
    return f"{error.hint} {reject}" if error.hint else reject


def chosen(found: Sequence[Waiting], names: Iterable[str]) -> list[Waiting]:
    """Return the waiting drops that have one of these names or shown ids.

    `NotFoundError` if any name matches no drop; then no drop is chosen.
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
                f"No drop named '{for_terminal(name)}' waits for you.",
                hint="'fsclient inbox' shows what does.",
            )
        picked |= {one.drop: one for one in some}
    return list(picked.values())


def remove(session: Session, drops: Sequence[DropId]) -> None:
    """Delete drops at the server."""
    for start in range(0, len(drops), MAX_DROPS_NAMED):
        some = list(drops[start : start + MAX_DROPS_NAMED])
        session.connection.call(RemoveDrops(some), Done)
