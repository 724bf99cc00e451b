"""The table of removed folders whose content is not marked as removed yet."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from fsd.store.base import Base, Octets


class PendingRemoval(Base):
    """A removed folder; what is directly in it has to be marked as removed as well."""

    __tablename__ = "pending_removals"

    folder_id: Mapped[bytes] = mapped_column(
        Octets(16), ForeignKey("nodes.id", ondelete="CASCADE"), primary_key=True
    )
    owner_id: Mapped[int] = mapped_column(BigInteger, index=True)
    """The owner of the folder."""
    removed_ms: Mapped[int] = mapped_column(BigInteger)
    """The time of the removal."""
    after: Mapped[bytes] = mapped_column(Octets(32))
    """The last token in the folder that is marked; empty before the first one."""
