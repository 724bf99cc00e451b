"""Events of the user's own account, as they happen: for `fsclient watch`.

Shares and drops from before the start are no events. The server is asked what there is, and the
answers are compared; so an event that happened while the connection was lost is found afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from fsclient.app import App
from fsclient.connection.retry import Backoff
from fsclient.inbox.listing import PendingDrop, Waiting, waiting
from fsclient.operations.watch.troubles import (
    AFTER_ERROR_S,
    UNREACHABLE_HINT,
    UNREACHABLE_PAUSES_S,
    Troubles,
)
from fsclient.session.session import Session
from fsclient.tree.contents import RefusedShare
from fskit.clock import now_ms
from fskit.text import size_text
from fsproto.errors import (
    FsError,
    LoginRefused,
    LoginRequired,
    NotFoundError,
    SecurityError,
    Unreachable,
    UsageError,
)
from fsproto.messages.account import GetSessions, RunningSession, Sessions
from fsproto.messages.files import Changed, Watch
from fsproto.names import RemotePath
from fsproto.types import DropId, NodeId

WAIT_S = 10
"""Seconds that the server waits for a change of files; other events are found after that."""
_QUIET_S = 1.0
"""Pause after a change: a program that writes many files makes one commit after another."""
_WHOLE_EVERY_S = 300.0
"""Seconds after which drops and shares are compared even if the server hints at no change."""
_MOST_OF_ONE = 100
"""Shares of one other user that are compared."""


@dataclass(frozen=True)
class AccountEvent:
    """One event."""

    kind: str
    """`watching` once at the start; then `changed`, `drop`, `share` or `session`."""
    time_ms: int
    data: dict[str, Any]
    text: str
    """The event in words, without its kind and time; not yet safe for a terminal."""

    @property
    def as_json(self) -> dict[str, Any]:
        """The fields of its line."""
        return {"event": self.kind, "time_ms": self.time_ms, **self.data}


class AccountEvents:
    """The state of the account at the last look, and the changes since."""

    def __init__(self, path: RemotePath) -> None:
        """Take the folder whose changes count."""
        self._path = path
        self._sessions: set[int] | None = None
        self._drops: set[DropId] | None = None
        self._shares: set[tuple[str, NodeId]] | None = None
        self._hint: tuple[int, int] | None = None
        self._whole_at = 0.0

    def follow(self, session: Session) -> Iterator[list[AccountEvent]]:
        """Yield what is new, at each look; an error ends it, and another session may go on."""
        found = session.tree.find(self._path)
        if not found.is_folder:
            raise NotFoundError(f"'{found.path}' is a file, not a folder.")
        is_known = self._sessions is not None
        ask = Watch(found.keyed.node, WAIT_S)
        changed = session.connection.call(ask, Changed).changed and is_known
        while True:
            events = self._look(session)
            if changed:
                text = f"something under {self._path} has changed"
                events.append(AccountEvent("changed", now_ms(), {"path": str(self._path)}, text))
            yield events
            if changed:
                time.sleep(_QUIET_S)
            changed = session.connection.call(ask, Changed).changed

    def _look(self, session: Session) -> list[AccountEvent]:
        answer = session.connection.call(GetSessions(), Sessions)
        events = self._new_sessions(answer.sessions)
        hint = answer.last_drop_ms, answer.shares
        if hint != self._hint or time.monotonic() > self._whole_at + _WHOLE_EVERY_S:
            session.tree.start_command()
            events += self._new_drops(waiting(session))
            events += self._new_shares(session)
            self._hint, self._whole_at = hint, time.monotonic()
        return events

    def _new_sessions(self, running: list[RunningSession]) -> list[AccountEvent]:
        known, self._sessions = self._sessions, {one.id for one in running}
        new = [] if known is None else [one for one in running if one.id not in known]
        return [
            AccountEvent(
                "session",
                one.began_ms,
                {"session": one.id, "address": one.address, "door": one.door, "this": one.this},
                f"a session started, from {one.address}"
                + ("" if one.door == "native" else f", over {one.door}"),
            )
            for one in new
        ]

    def _new_drops(self, found: list[Waiting]) -> list[AccountEvent]:
        known, self._drops = self._drops, {one.drop for one in found}
        return [] if known is None else [_drop(one) for one in found if one.drop not in known]

    def _new_shares(self, session: Session) -> list[AccountEvent]:
        opened, _ = session.tree.shared.everything(_MOST_OF_ONE)
        known, there, events = self._shares, set[tuple[str, NodeId]](), []
        for one in opened:
            if isinstance(one, RefusedShare):
                continue  # it has no id; 'fsclient shares' reports it
            members, top = one
            owner, member = members.body.owner, members.member(session.identity.user)
            which = owner, members.body.node
            there.add(which)
            if known is None or which in known or top is None:
                continue
            role = member.role.name.lower() if member else None
            data = {"owner": owner, "path": str(top.path), "kind": top.kind, "role": role}
            text = f"{owner} shares {top.path}{'/' if top.is_folder else ''} ({role})"
            events.append(AccountEvent("share", now_ms(), data, text))
        self._shares = there
        return events


def _drop(one: Waiting) -> AccountEvent:
    if not isinstance(one, PendingDrop):
        refused: dict[str, Any] = {"id": one.drop.hex(), "refused": one.error.sentence}
        return AccountEvent("drop", now_ms(), refused, one.error.sentence)
    note, origin, sent = one.opened.note, one.origin, one.sent
    data: dict[str, Any] = {
        "id": one.drop.hex(),
        "name": note.name,
        "size": note.size,
        "address": None if sent else origin.address,
        "key": None if sent else origin.key or None,
        "label": None if sent else origin.label or None,
        "request": sent.request.hex() if sent else None,
        "sender": sent.sender or None if sent else None,
        "refused": None,
    }
    source = f"with request link '{sent.record.note}'" if sent else f"from {origin.address}"
    text = f"{note.name} ({size_text(note.size)}) arrived, {source}"
    return AccountEvent("drop", origin.arrived_ms, data, text)


def _start(path: RemotePath) -> AccountEvent:
    text = f"your account and {path}; Ctrl-C ends it"
    return AccountEvent("watching", now_ms(), {"path": str(path)}, text)


def run(app: App, path: RemotePath, at_look: Callable[[list[AccountEvent]], None]) -> None:
    """Call `at_look` with what is new, about every ten seconds; only an error ends it.

    A lost connection and an ended session are waited out, as by `sync --watch`.
    """
    events, troubles, pauses = AccountEvents(path), Troubles(app), Backoff(*UNREACHABLE_PAUSES_S)
    is_first = True
    while True:
        try:
            with app.session() as session:
                for new in events.follow(session):
                    app.options.unattended = True
                    troubles.over()
                    pauses.reset()
                    at_look([_start(path)] if is_first else new)
                    is_first = False
        except (SecurityError, UsageError):
            raise
        except Unreachable as error:
            troubles.tell(error, UNREACHABLE_HINT)
            time.sleep(pauses.next_s())
        except (LoginRefused, LoginRequired) as error:
            troubles.wait_for_session(error)
        except FsError as error:
            if is_first:
                raise
            troubles.tell(error, error.hint)
            time.sleep(AFTER_ERROR_S)
