"""The tables of the drop box: what waits for a person, and the SSH keys that may drop for them."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from fsd.store.base import Base, Octets


class Drop(Base):
    """A file that was dropped for a person and waits; its blob's `node_id` is the drop's id.

    Neither its name nor its key is here in a form that the server could read.
    """

    __tablename__ = "drops"

    id: Mapped[bytes] = mapped_column(Octets(16), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    root: Mapped[bytes] = mapped_column(
        Octets(32), ForeignKey("blobs.root", ondelete="CASCADE"), unique=True
    )
    bundle_hash: Mapped[bytes] = mapped_column(Octets(32))
    """Of the keys that it is sealed to."""
    wrapped: Mapped[bytes] = mapped_column(Octets)
    note: Mapped[bytes] = mapped_column(Octets)
    created_ms: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (
        Index("ix_drops_user_id", "user_id", "created_ms"),
        Index("ix_drops_created_ms", "created_ms"),
    )


class DropKey(Base):
    """An SSH public key by which a device may drop files for a person, without any code."""

    __tablename__ = "drop_keys"

    fingerprint: Mapped[str] = mapped_column(String(64), primary_key=True)
    """`SHA256:…`, as OpenSSH has it; a key drops for one person."""
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(String(64))
    """What OpenSSH calls its kind: `ssh-ed25519`, say."""
    public: Mapped[bytes] = mapped_column(Octets)
    """The key, as it travels in SSH."""
    label: Mapped[str] = mapped_column(String(255))
    """What the administrator calls it."""
    added_ms: Mapped[int] = mapped_column(BigInteger)
