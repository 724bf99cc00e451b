"""One cache of compiled SQL for all databases of a process.

SQLAlchemy caches the SQL of a statement for each engine, and each test has engines of its own:
compiling the same statements again took a third of the CPU time of the server's tests. What is
compiled depends on the kind and the version of the database alone.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.default import DefaultDialect

_compiled: dict[Any, Any] = {}


def _same(self: DefaultDialect, other: object) -> bool:
    if type(self) is not type(other) or not isinstance(other, DefaultDialect):
        return False
    versions = [getattr(one, "server_version_info", None) for one in (self, other)]
    return self is other or (versions[0] is not None and versions[0] == versions[1])


def _hash(self: DefaultDialect) -> int:
    return hash(type(self))


def share_compiled_sql() -> None:
    """Let all engines of this process, also future ones, use one cache."""
    # The dialect is a part of the cache's keys, and each engine has one.
    DefaultDialect.__eq__ = _same  # type: ignore[method-assign, assignment]
    DefaultDialect.__hash__ = _hash  # type: ignore[method-assign, assignment]

    @event.listens_for(Engine, "engine_connect")
    def _connected(connection: Connection) -> None:
        connection.execution_options(compiled_cache=_compiled)
