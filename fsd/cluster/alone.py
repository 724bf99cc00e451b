"""The lock of maintenance commands: one at a time, over all nodes.

On one machine it is a lock of the data directory. On PostgreSQL it is also an advisory lock, which
ends with its connection. So that a frozen command or a lost machine does not keep it, PostgreSQL
ends the connection if it hears nothing for `SILENCE_S`; a thread speaks every `SPEAK_S`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import func, select, text
from sqlalchemy.exc import SQLAlchemyError

from fsd.home.home import WAIT_FOR_IT, HomeBusyError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from fsd.home.home import Home
    from fsd.store.engine import Database

_LOCK = 0x66736D
"""Number of the advisory lock: "fsm" in ASCII."""
SILENCE_S = 60.0
SPEAK_S = 10.0


@contextmanager
def maintenance(home: Home, database: Database, *, silence_s: float = SILENCE_S) -> Iterator[None]:
    """Let one maintenance command run on a server; fsd may run at the same time.

    `HomeBusyError` while another such command runs, on any node.
    """
    with home.maintenance():
        if database.url.get_backend_name() != "postgresql":
            yield
            return
        with database.connect() as connection:
            _take(connection, silence_s)
            done = threading.Event()
            speaking = threading.Thread(target=_speak, args=(connection, done), daemon=True)
            speaking.start()
            try:
                yield
            finally:
                done.set()
                speaking.join()
                connection.invalidate()  # closes it, and so ends the lock and its settings


def _take(connection: Connection, silence_s: float) -> None:
    for name, value in (
        ("idle_session_timeout", int(silence_s * 1000)),
        ("tcp_keepalives_idle", 20),
        ("tcp_keepalives_interval", 10),
        ("tcp_keepalives_count", 4),
    ):
        connection.execute(text(f"SET {name} = {value}"))
    taken = connection.scalar(select(func.pg_try_advisory_lock(_LOCK)))
    connection.commit()
    if not taken:
        connection.invalidate()
        raise HomeBusyError(
            "Another maintenance command is running on this database.", hint=WAIT_FOR_IT
        )


def _speak(connection: Connection, done: threading.Event) -> None:
    """Keep the connection from being ended; a lost one has lost its lock."""
    while not done.wait(SPEAK_S):
        try:
            connection.execute(text("SELECT 1"))
            connection.commit()
        except SQLAlchemyError:  # the command continues without it
            return
