"""The tables of the cluster: the fsd processes that share a database, and what they share."""

from __future__ import annotations

from sqlalchemy import BigInteger, Float, String
from sqlalchemy.orm import Mapped, mapped_column

from fsd.store.base import Base, Octets


class ClusterNode(Base):
    """A running fsd. It deletes its row when it stops; a killed one leaves it."""

    __tablename__ = "cluster_nodes"

    id: Mapped[bytes] = mapped_column(Octets(16), primary_key=True)
    """Random; a process takes a new one at each start."""
    name: Mapped[str] = mapped_column(String(255))
    """The host name; equal for containers of one image."""
    address: Mapped[str] = mapped_column(String(255))
    """Of the native listener."""
    version: Mapped[str] = mapped_column(String(64))
    started_ms: Mapped[int] = mapped_column(BigInteger)
    seen_ms: Mapped[int] = mapped_column(BigInteger)
    """The last heartbeat, by the clock of the database."""
    connections: Mapped[int]
    requests_a_second: Mapped[float] = mapped_column(Float)
    """The mean since the heartbeat before."""
    keys_version: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    """The newest version of `server_keys` that it uses."""
    clock_ahead_ms: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    """How far its clock was ahead of the database's at its last heartbeat; negative: behind."""


class ServerKey(Base):
    """A key of the server, which all nodes use."""

    __tablename__ = "server_keys"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    """The name of its file in a data directory."""
    sealed: Mapped[bytes] = mapped_column(Octets)
    """Sealed under the master key, the name authenticated."""
    version: Mapped[int] = mapped_column(BigInteger)
    """Higher than that of every key that was stored before."""


class ServerFact(Base):
    """A fact about the server that every node shows."""

    __tablename__ = "server_facts"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(String(255))
