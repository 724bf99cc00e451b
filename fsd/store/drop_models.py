"""The tables of drop boxes: waiting drops, and the SSH keys that may drop for a user."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from fsd.store.base import Base, Octets


class Drop(Base):
    """A drop that waits for a user; the `node_id` of its blob is the id of the drop.

    The server can read neither the name nor the key of the file.
    """

    __tablename__ = "drops"

    id: Mapped[bytes] = mapped_column(Octets(16), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    root: Mapped[bytes] = mapped_column(
        Octets(32), ForeignKey("blobs.root", ondelete="CASCADE"), unique=True
    )
    bundle_hash: Mapped[bytes] = mapped_column(Octets(32))
    """Hash of the bundle that the drop is sealed to."""
    wrapped: Mapped[bytes] = mapped_column(Octets)
    note: Mapped[bytes] = mapped_column(Octets)
    created_ms: Mapped[int] = mapped_column(BigInteger)
    request_id: Mapped[bytes | None] = mapped_column(Octets(16))
    """The request link with which it was sent; NULL: the server sealed it."""

    __table_args__ = (
        Index("ix_drops_user_id", "user_id", "created_ms"),
        Index("ix_drops_created_ms", "created_ms"),
    )


class DropKey(Base):
    """An SSH public key with which a device may drop files for a user, without a code."""

    __tablename__ = "drop_keys"

    fingerprint: Mapped[str] = mapped_column(String(64), primary_key=True)
    """`SHA256:…`, as OpenSSH prints it; a key drops for one user."""
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(String(64))
    """The key type as OpenSSH names it, for example `ssh-ed25519`."""
    public: Mapped[bytes] = mapped_column(Octets)
    """The key in the SSH wire format."""
    label: Mapped[str] = mapped_column(String(255))
    """The administrator's name for the key."""
    added_ms: Mapped[int] = mapped_column(BigInteger)
