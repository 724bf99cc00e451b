"""The tables of public links: the links, their sealed descriptions, and the contents they open."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from fsd.store.base import Base, Octets


class PublicLink(Base):
    """A public link; the server has nothing that opens its description or its contents."""

    __tablename__ = "public_links"

    id: Mapped[bytes] = mapped_column(Octets(16), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    node_id: Mapped[bytes] = mapped_column(
        Octets(16), ForeignKey("nodes.id", ondelete="CASCADE"), index=True
    )
    record: Mapped[bytes] = mapped_column(Octets)
    """What the link opens, sealed by its owner for the owner's devices."""
    generation: Mapped[int] = mapped_column(BigInteger)
    """The generation of the key of the owner's root that sealed the record."""
    access_hash: Mapped[bytes] = mapped_column(Octets(32))
    proof_hash: Mapped[bytes] = mapped_column(Octets(32))
    guarded: Mapped[bool]
    """Whether the link has a password."""
    made_ms: Mapped[int] = mapped_column(BigInteger)
    expires_ms: Mapped[int | None] = mapped_column(BigInteger)
    max_downloads: Mapped[int | None]
    downloads: Mapped[int] = mapped_column(default=0)
    used_ms: Mapped[int] = mapped_column(BigInteger, default=0)
    """When the last download was started; 0 if there was none."""
    wrong: Mapped[int] = mapped_column(default=0)
    """Wrong passwords in a row."""
    files: Mapped[int] = mapped_column(default=0)
    size: Mapped[int] = mapped_column(BigInteger, default=0)
    """Bytes of the sealed description and of the record."""
    parts: Mapped[int] = mapped_column(default=0)
    """Parts of the description that were received."""
    complete: Mapped[bool]

    __table_args__ = (Index("ix_public_links_user_id", "user_id", "made_ms"),)


class PublicLinkPart(Base):
    """A part of the sealed description of a link."""

    __tablename__ = "public_link_parts"

    link_id: Mapped[bytes] = mapped_column(
        Octets(16), ForeignKey("public_links.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    data: Mapped[bytes] = mapped_column(Octets)


class PublicLinkContent(Base):
    """A content that a link opens; it is kept while the link exists."""

    __tablename__ = "public_link_contents"

    link_id: Mapped[bytes] = mapped_column(
        Octets(16), ForeignKey("public_links.id", ondelete="CASCADE"), primary_key=True
    )
    root: Mapped[bytes] = mapped_column(
        Octets(32), ForeignKey("blobs.root", ondelete="CASCADE"), primary_key=True, index=True
    )
    node_id: Mapped[bytes] = mapped_column(
        Octets(16), ForeignKey("nodes.id", ondelete="CASCADE"), index=True
    )
