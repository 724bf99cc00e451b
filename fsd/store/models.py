"""The tables. Their history is in `migrations/`; a test compares the two.

Times are Unix milliseconds. Node ids are 16 bytes; tokens, hashes and roots 32.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from fsd.store import (  # noqa: F401 - all tables are known together
    audit_models,
    cluster_models,
    drop_models,
    group_models,
    hook_models,
    link_models,
    login_models,
    quota_models,
    removal_models,
    request_models,
)
from fsd.store.base import BIG_ID, NEVER_AGAIN, Base, Octets, table

__all__ = ["Base", "Octets", "table"]


class User(Base):
    """A user of the server."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(BIG_ID, primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    disabled: Mapped[bool]
    created_ms: Mapped[int] = mapped_column(BigInteger)
    otp_secret: Mapped[bytes] = mapped_column(Octets)
    """The one-time password secret, sealed under the master key; the user's id is authenticated."""
    next_secret: Mapped[bytes | None] = mapped_column(Octets)
    """A new secret, sealed in the same way; its first use makes it the current one."""
    otp_digits: Mapped[int]
    otp_period: Mapped[int]
    """Length of a step in seconds."""
    otp_algorithm: Mapped[str] = mapped_column(String(8))
    last_step: Mapped[int] = mapped_column(BigInteger, default=0)
    """The last used step; only codes of later steps are accepted."""
    expires_ms: Mapped[int | None] = mapped_column(BigInteger)
    """The time from which the account has expired; NULL: it does not expire."""
    note: Mapped[str] = mapped_column(String(500), default="", server_default="")
    """The administrators' note."""

    __table_args__ = NEVER_AGAIN


class UsedOtp(Base):
    """A used step of a one-time password; the primary key prevents a second use."""

    __tablename__ = "used_otps"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    secret_no: Mapped[int] = mapped_column(primary_key=True)
    """Number of the secret to which the step belongs."""
    step: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    used_ms: Mapped[int] = mapped_column(BigInteger)


class Bundle(Base):
    """A user's public keys, signed by the user; the highest version is the current one."""

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
    """A user's identity, sealed under their recovery phrase; at most one a user."""

    __tablename__ = "key_backups"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    ed25519: Mapped[bytes] = mapped_column(Octets(32))
    """The identity key in the backup; after a key rotation, the backup is useless."""
    recovery_key: Mapped[bytes] = mapped_column(Octets(32))
    """Ed25519 public key; a request for the backup is signed with its private key."""
    sealed: Mapped[bytes] = mapped_column(Octets)
    created_ms: Mapped[int] = mapped_column(BigInteger)


class Session(Base):
    """A session: of the native listener, or of the SSH listener if `ssh_key` is not NULL.

    A native session has a ticket and is bound to the identity key. An SSH session is bound to an
    SSH public key, and no client has its ticket.
    """

    __tablename__ = "sessions"

    id: Mapped[int] = mapped_column(BIG_ID, primary_key=True)
    ticket_hash: Mapped[bytes] = mapped_column(Octets(32), unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    ed25519: Mapped[bytes] = mapped_column(Octets(32))
    created_ms: Mapped[int] = mapped_column(BigInteger)
    expires_ms: Mapped[int] = mapped_column(BigInteger)
    used_ms: Mapped[int] = mapped_column(BigInteger)
    """When the session was last resumed, accurate to about ten minutes."""
    address: Mapped[str] = mapped_column(String(64))
    """The address from which the session was last resumed."""
    ssh_key: Mapped[bytes | None] = mapped_column(Octets(32), index=True)
    """SHA-256 of its SSH public key; empty: no key, and the session ends with its connection."""
    device: Mapped[str] = mapped_column(String(64))
    """The user's name for the device; may be empty."""

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
    """A file or folder: its current state, or its state when it was removed.

    `parent_id` and `token` are NULL for a root and for a node that was itself removed.
    """

    __tablename__ = "nodes"

    id: Mapped[bytes] = mapped_column(Octets(16), primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    parent_id: Mapped[bytes | None] = mapped_column(Octets(16))
    token: Mapped[bytes | None] = mapped_column(Octets(32))
    kind: Mapped[int]
    generation: Mapped[int] = mapped_column(default=1, server_default="1")
    """Generation of the node's key."""
    version: Mapped[int] = mapped_column(BigInteger)
    manifest_hash: Mapped[bytes] = mapped_column(Octets(32))
    next_lineage: Mapped[bytes] = mapped_column(Octets(32), server_default=text("''"))
    """What the next version's manifest must carry."""
    blob: Mapped[bytes | None] = mapped_column(Octets(32))
    """Root of the sealed content; NULL for a folder."""
    removed_ms: Mapped[int | None] = mapped_column(BigInteger)
    """When the node, or a folder above it, was removed; NULL while it exists."""
    removed_from: Mapped[bytes | None] = mapped_column(Octets(16))
    """The folder it was removed from; NULL for the nodes below it, which keep their parent.

    `versions.DOOMED` while the node waits for its deletion.
    """

    __table_args__ = (
        UniqueConstraint("parent_id", "token"),
        Index(
            "ix_nodes_removed_from",
            "removed_from",
            sqlite_where=text("removed_from IS NOT NULL"),
            postgresql_where=text("removed_from IS NOT NULL"),
        ),
        Index(
            "ix_nodes_folders",  # to count a user's folders without reading all their files
            "owner_id",
            "parent_id",
            sqlite_where=text("kind = 2 AND removed_ms IS NULL"),
            postgresql_where=text("kind = 2 AND removed_ms IS NULL"),
        ),
    )


class Manifest(Base):
    """A node's manifest, signed by its author: the newest, and the older ones that are kept."""

    __tablename__ = "manifests"

    node_id: Mapped[bytes] = mapped_column(
        Octets(16), ForeignKey("nodes.id", ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    payload: Mapped[bytes] = mapped_column(Octets)
    signature: Mapped[bytes] = mapped_column(Octets)


class FolderState(Base):
    """A folder's state, signed by its author."""

    __tablename__ = "folder_states"

    folder_id: Mapped[bytes] = mapped_column(
        Octets(16), ForeignKey("nodes.id", ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[bytes] = mapped_column(Octets(32))
    next_lineage: Mapped[bytes] = mapped_column(Octets(32), server_default=text("''"))
    payload: Mapped[bytes] = mapped_column(Octets)
    signature: Mapped[bytes] = mapped_column(Octets)
    owner_id: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """The owner of the folder."""
    changed: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """The number of the change that made this state (`Quota.changes`)."""
    entries: Mapped[int | None] = mapped_column(BigInteger)
    """Number of entries, if the folder's tree is in `TreePage`; else NULL."""

    __table_args__ = (Index("ix_folder_states_changed", "owner_id", "changed"),)


class TreePage(Base):
    """A page of the prefix tree of a large folder, for its present state."""

    __tablename__ = "tree_pages"

    folder_id: Mapped[bytes] = mapped_column(
        Octets(16), ForeignKey("folder_states.folder_id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[bytes] = mapped_column(Octets(33), primary_key=True)
    data: Mapped[bytes] = mapped_column(Octets)

    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - as SQLAlchemy wants it


class OlderHash(Base):
    """The hash of a state, manifest or member list that a newer version has replaced.

    With these hashes a client proves that the newest version descends from a seen version.
    First versions are not here: no proof needs their hash from the server.
    """

    __tablename__ = "older_hashes"

    node_id: Mapped[bytes] = mapped_column(
        Octets(16), ForeignKey("nodes.id", ondelete="CASCADE"), primary_key=True
    )
    what: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """A `Lineal`."""
    version: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    hash: Mapped[bytes] = mapped_column(Octets(32))

    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - as SQLAlchemy wants it


class Blob(Base):
    """A sealed blob with a verified root: of a node, or staged until its commit."""

    __tablename__ = "blobs"

    root: Mapped[bytes] = mapped_column(Octets(32), primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    node_id: Mapped[bytes | None] = mapped_column(Octets(16), index=True)
    """The node it belongs to; NULL while it is staged."""
    salt: Mapped[bytes] = mapped_column(Octets(32))
    size: Mapped[int] = mapped_column(BigInteger)
    created_ms: Mapped[int] = mapped_column(BigInteger)
    data: Mapped[bytes | None] = mapped_column(Octets, deferred=True)
    """The bytes of a small blob; NULL if the blob store has them."""
    place: Mapped[str | None] = mapped_column(String(80))
    """Where the blob store has it; NULL for a small blob."""

    __table_args__ = (
        # All that a sum of a user's stored bytes needs: the rows are long, and there are many.
        Index("ix_blobs_owner_id", "owner_id", "size", "node_id"),
        Index(
            "ix_blobs_place",
            "place",
            unique=True,
            sqlite_where=text("place IS NOT NULL"),
            postgresql_where=text("place IS NOT NULL"),
        ),
    )


class OlderContent(Base):
    """The kept content of an older version of a file.

    This is a table of its own: an update of a column in `blobs` would rewrite the small blobs.
    """

    __tablename__ = "older_contents"

    root: Mapped[bytes] = mapped_column(
        Octets(32), ForeignKey("blobs.root", ondelete="CASCADE"), primary_key=True
    )
    node_id: Mapped[bytes] = mapped_column(Octets(16), index=True)
    until: Mapped[int] = mapped_column(BigInteger)
    """The version of the node that replaced this content."""


class Removal(Base):
    """The proof of a removal: the folder's states before and after it, with proofs for the name."""

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
    root: Mapped[bytes] = mapped_column(Octets(32), server_default=text("''"))
    """Root over the entries up to this one."""


class LogHead(Base):
    """The key log's head; one row, locked by each transaction that adds an entry."""

    __tablename__ = "key_log_head"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    size: Mapped[int] = mapped_column(BigInteger)
    payload: Mapped[bytes] = mapped_column(Octets)
    signature: Mapped[bytes] = mapped_column(Octets)
    frontier: Mapped[bytes] = mapped_column(Octets, server_default=text("''"))
    """`fsproto.proofs.merkle.Frontier` of the entries."""


class MemberList(Base):
    """The member list of a shared node, signed by its owner."""

    __tablename__ = "member_lists"

    node_id: Mapped[bytes] = mapped_column(
        Octets(16), ForeignKey("nodes.id", ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[bytes] = mapped_column(Octets(32))
    next_lineage: Mapped[bytes] = mapped_column(Octets(32), server_default=text("''"))
    payload: Mapped[bytes] = mapped_column(Octets)
    signature: Mapped[bytes] = mapped_column(Octets)


class BlockedOwner(Base):
    """A user whose shares another user refuses."""

    __tablename__ = "blocked_owners"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    """The user who refuses."""
    owner_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    since_ms: Mapped[int] = mapped_column(BigInteger)


class Grant(Base):
    """A node's key, sealed to one member of its list; deleted when that member leaves."""

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
