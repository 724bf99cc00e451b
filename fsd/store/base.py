"""What all tables share: the base of their models, bytes as they are, and ids.

Times are Unix milliseconds. Node ids are 16 bytes; tokens, hashes and roots 32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, Integer, LargeBinary, MetaData
from sqlalchemy.orm import DeclarativeBase

if TYPE_CHECKING:
    from sqlalchemy import Dialect, Table


class Octets(LargeBinary):
    """Bytes, handed to the driver as they are: all that we know take and give just those.

    SQLAlchemy would wrap and copy each, for drivers of old, which is half the cost of a row.
    """

    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> None:
        """Change nothing on the way in."""

    def result_processor(self, dialect: Dialect, coltype: object) -> None:
        """Change nothing on the way out."""


BIG_ID = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers only INTEGER keys itself
NEVER_AGAIN = {"sqlite_autoincrement": True}
"""SQLite would give the id of a deleted last row to the next one, and with it what a connection
that is still open may do."""


class Base(DeclarativeBase):
    """All tables, with constraint names that migrations can refer to."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def table(model: type[Base]) -> Table:
    """Return a model's table, for statements that need no objects."""
    return Base.metadata.tables[model.__tablename__]
