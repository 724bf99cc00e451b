"""The tables. Their history is in `migrations/`; a test holds the two against each other.

Times are Unix milliseconds. Node ids are 16 bytes; tokens, hashes and roots 32.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from fsd.store import (  # noqa: F401 - all tables are known together
    audit_models,
    drop_models,
    group_models,
    login_models,
    quota_models,
)
from fsd.store.base import BIG_ID, NEVER_AGAIN, Base, Octets, table

__all__ = ["Base", "Octets", "table"]


class User(Base):
    """A person who was enrolled."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(BIG_ID, primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    disabled: Mapped[bool]
    created_ms: Mapped[int] = mapped_column(BigInteger)
    otp_secret: Mapped[bytes] = mapped_column(Octets)
    """Sealed under the master key, the user's id authenticated."""
    next_secret: Mapped[bytes | None] = mapped_column(Octets)
    """A new secret, sealed alike, that takes the place of the other at its first use."""
    otp_digits: Mapped[int]
    otp_period: Mapped[int]
    """Seconds a step lasts."""
    otp_algorithm: Mapped[str] = mapped_column(String(8))
    last_step: Mapped[int] = mapped_column(BigInteger, default=0)
    """The last step that let somebody in; only later ones do."""
    expires_ms: Mapped[int | None] = mapped_column(BigInteger)
    """From when on nobody gets in; NULL: never."""
    note: Mapped[str] = mapped_column(String(500), default="", server_default="")
    """What administrators want to remember of it."""

    __table_args__ = NEVER_AGAIN


class UsedOtp(Base):
    """A step that was used; the key makes it impossible to use it twice."""

    __tablename__ = "used_otps"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    secret_no: Mapped[int] = mapped_column(primary_key=True)
    """Number of the secret that it is a step of."""
    step: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    used_ms: Mapped[int] = mapped_column(BigInteger)


class Bundle(Base):
    """A person's public keys as they signed them; the highest version counts."""

    __tablename__ = "bundles"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[int] = mapped_column(primary_key=True)
    payload: Mapped[bytes] = mapped_column(Octets)
    signature: Mapped[bytes] = mapped_column(Octets)
    ed25519: Mapped[bytes] = mapped_column(Octets(32))
    created_ms: Mapped[int] = mapped_column(BigInteger)


class KeyBackup(Base):
    """A person's identity as they sealed it under their recovery phrase; one a person."""

    __tablename__ = "key_backups"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    ed25519: Mapped[bytes] = mapped_column(Octets(32))
    """The identity key that is in it; with other keys in its place it is of no use any more."""
    recovery_key: Mapped[bytes] = mapped_column(Octets(32))
    """Ed25519 public key; who asks for the backup signs with its private half."""
    sealed: Mapped[bytes] = mapped_column(Octets)
    created_ms: Mapped[int] = mapped_column(BigInteger)


class Session(Base):
    """A login that lasts: of the native door, or of the SSH door where `ssh_key` is not NULL.

    The former has a ticket and is bound to the identity key; the latter has a ticket that nobody
    knows, and is bound to a public key of SSH.
    """

    __tablename__ = "sessions"

    id: Mapped[int] = mapped_column(BIG_ID, primary_key=True)
    ticket_hash: Mapped[bytes] = mapped_column(Octets(32), unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    ed25519: Mapped[bytes] = mapped_column(Octets(32))
    created_ms: Mapped[int] = mapped_column(BigInteger)
    expires_ms: Mapped[int] = mapped_column(BigInteger)
    used_ms: Mapped[int] = mapped_column(BigInteger)
    """When it was last gone on with, to some ten minutes."""
    address: Mapped[str] = mapped_column(String(64))
    """Where it was last gone on with from."""
    ssh_key: Mapped[bytes | None] = mapped_column(Octets(32), index=True)
    """SHA-256 of the public key that it is bound to; empty: none, it ends with its connection."""

    __table_args__ = NEVER_AGAIN


class Tree(Base):
    """The root of a user's own tree."""

    __tablename__ = "trees"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    root_id: Mapped[bytes] = mapped_column(Octets(16))
    payload: Mapped[bytes] = mapped_column(Octets)
    """The root grant."""
    signature: Mapped[bytes] = mapped_column(Octets)


class Node(Base):
    """A file or folder as it is now, or was when it was removed.

    `parent_id` and `token` are NULL for a root, and for what was itself removed.
    """

    __tablename__ = "nodes"

    id: Mapped[bytes] = mapped_column(Octets(16), primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    parent_id: Mapped[bytes | None] = mapped_column(Octets(16))
    token: Mapped[bytes | None] = mapped_column(Octets(32))
    kind: Mapped[int]
    generation: Mapped[int] = mapped_column(default=1, server_default="1")
    """Of its key."""
    version: Mapped[int] = mapped_column(BigInteger)
    manifest_hash: Mapped[bytes] = mapped_column(Octets(32))
    blob: Mapped[bytes | None] = mapped_column(Octets(32))
    """Root of the sealed content; NULL for a folder."""
    removed_ms: Mapped[int | None] = mapped_column(BigInteger)
    """When it, or a folder that it lies in, was removed; NULL as long as it is there."""
    removed_from: Mapped[bytes | None] = mapped_column(Octets(16))
    """The folder it was removed from; NULL for what lay under it, which keeps its parent."""

    __table_args__ = (
        UniqueConstraint("parent_id", "token"),
        Index(
            "ix_nodes_removed_from",
            "removed_from",
            sqlite_where=text("removed_from IS NOT NULL"),
            postgresql_where=text("removed_from IS NOT NULL"),
        ),
    )


class Manifest(Base):
    """A node's manifest as its author signed it: the newest, and older ones that are kept."""

    __tablename__ = "manifests"

    node_id: Mapped[bytes] = mapped_column(
        Octets(16), ForeignKey("nodes.id", ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    payload: Mapped[bytes] = mapped_column(Octets)
    signature: Mapped[bytes] = mapped_column(Octets)


class FolderState(Base):
    """A folder's state as its author signed it."""

    __tablename__ = "folder_states"

    folder_id: Mapped[bytes] = mapped_column(
        Octets(16), ForeignKey("nodes.id", ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[bytes] = mapped_column(Octets(32))
    payload: Mapped[bytes] = mapped_column(Octets)
    signature: Mapped[bytes] = mapped_column(Octets)


class Blob(Base):
    """A sealed blob whose root was checked: of a node, or staged and waiting for its commit."""

    __tablename__ = "blobs"

    root: Mapped[bytes] = mapped_column(Octets(32), primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    node_id: Mapped[bytes | None] = mapped_column(Octets(16), index=True)
    """The node it belongs to; NULL while it is staged."""
    salt: Mapped[bytes] = mapped_column(Octets(32))
    size: Mapped[int] = mapped_column(BigInteger)
    created_ms: Mapped[int] = mapped_column(BigInteger)
    data: Mapped[bytes | None] = mapped_column(Octets, deferred=True)
    """The blob itself if it is small; NULL if it lies in the blob store."""


class OlderContent(Base):
    """A blob that was replaced by a newer version of its file, and is kept.

    Beside `blobs`, not in it: a column more there would have the small blobs written again.
    """

    __tablename__ = "older_contents"

    root: Mapped[bytes] = mapped_column(
        Octets(32), ForeignKey("blobs.root", ondelete="CASCADE"), primary_key=True
    )
    node_id: Mapped[bytes] = mapped_column(Octets(16), index=True)
    until: Mapped[int] = mapped_column(BigInteger)
    """The node's version that put another content in its place."""


class Removal(Base):
    """How a node was removed: the folder's state before and after, with proofs for its name."""

    __tablename__ = "removals"

    node_id: Mapped[bytes] = mapped_column(
        Octets(16), ForeignKey("nodes.id", ondelete="CASCADE"), primary_key=True
    )
    before_payload: Mapped[bytes] = mapped_column(Octets)
    before_signature: Mapped[bytes] = mapped_column(Octets)
    before_proof: Mapped[bytes] = mapped_column(Octets)
    after_payload: Mapped[bytes] = mapped_column(Octets)
    after_signature: Mapped[bytes] = mapped_column(Octets)
    after_proof: Mapped[bytes] = mapped_column(Octets)


class LogEntry(Base):
    """One entry of the key log, as it is hashed and sent."""

    __tablename__ = "key_log"

    index: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    user: Mapped[str] = mapped_column(String(64), index=True)
    payload: Mapped[bytes] = mapped_column(Octets)
    leaf: Mapped[bytes] = mapped_column(Octets(32))


class LogHead(Base):
    """The key log's head; the one row, which whoever adds an entry holds against others."""

    __tablename__ = "key_log_head"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    size: Mapped[int] = mapped_column(BigInteger)
    payload: Mapped[bytes] = mapped_column(Octets)
    signature: Mapped[bytes] = mapped_column(Octets)


class MemberList(Base):
    """To whom a node is shared, as its owner signed it."""

    __tablename__ = "member_lists"

    node_id: Mapped[bytes] = mapped_column(
        Octets(16), ForeignKey("nodes.id", ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[bytes] = mapped_column(Octets(32))
    payload: Mapped[bytes] = mapped_column(Octets)
    signature: Mapped[bytes] = mapped_column(Octets)


class Grant(Base):
    """A node's key sealed to one member of its list; gone when that person has left."""

    __tablename__ = "grants"

    node_id: Mapped[bytes] = mapped_column(
        Octets(16), ForeignKey("nodes.id", ondelete="CASCADE"), primary_key=True
    )
    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    role: Mapped[int]
    sealed_hash: Mapped[bytes] = mapped_column(Octets(32))
    sealed: Mapped[bytes] = mapped_column(Octets)
