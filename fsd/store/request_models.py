"""The tables of request links: the links, and the files that are sent with them."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from fsd.store.base import Base, Octets


class RequestLink(Base):
    """A request link; the server has nothing that opens its description or its drops."""

    __tablename__ = "request_links"

    id: Mapped[bytes] = mapped_column(Octets(16), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    bundle_hash: Mapped[bytes] = mapped_column(Octets(32))
    """The bundle that drops are sealed to; with a newer one of the user, it takes no files."""
    record: Mapped[bytes] = mapped_column(Octets)
    """What opens the drops, sealed by the owner for the owner's devices."""
    generation: Mapped[int] = mapped_column(BigInteger)
    """The generation of the key of the owner's root that sealed the record."""
    access_hash: Mapped[bytes] = mapped_column(Octets(32))
    proof_hash: Mapped[bytes] = mapped_column(Octets(32))
    guarded: Mapped[bool]
    """Whether it has a password."""
    description: Mapped[bytes] = mapped_column(Octets)
    """What uploaders see, sealed."""
    made_ms: Mapped[int] = mapped_column(BigInteger)
    expires_ms: Mapped[int | None] = mapped_column(BigInteger)
    max_files: Mapped[int | None]
    max_bytes: Mapped[int | None] = mapped_column(BigInteger)
    files: Mapped[int] = mapped_column(default=0)
    """Files sent or being sent."""
    size: Mapped[int] = mapped_column(BigInteger, default=0)
    """Bytes of plaintext in them."""
    used_ms: Mapped[int] = mapped_column(BigInteger, default=0)
    """When the last file was complete; 0 if there was none."""
    wrong: Mapped[int] = mapped_column(default=0)
    """Wrong passwords in a row."""
    ended: Mapped[bool] = mapped_column(default=False)
    """Whether its owner ended it; the row stays while drops of it wait."""

    __table_args__ = (Index("ix_request_links_user_id", "user_id", "made_ms"),)


class RequestFile(Base):
    """A file sent with a request link, until a day after its last change.

    The received bytes are an `Upload` with the same salt, whose owner is minus the user's number.
    """

    __tablename__ = "request_files"

    drop_id: Mapped[bytes] = mapped_column(Octets(16), primary_key=True)
    request_id: Mapped[bytes] = mapped_column(
        Octets(16), ForeignKey("request_links.id", ondelete="CASCADE"), index=True
    )
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    salt: Mapped[bytes] = mapped_column(Octets(32))
    size: Mapped[int] = mapped_column(BigInteger)
    """Sealed bytes, as announced."""
    touched_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    """When it was started, resumed, or last received, to the minute."""
    root: Mapped[bytes | None] = mapped_column(Octets(32))
    """The root of the complete drop; NULL before."""
