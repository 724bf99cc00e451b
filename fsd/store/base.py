"""Common parts of the tables: the model base class, the column type for bytes, and ids.

Times are Unix milliseconds. Node ids are 16 bytes; tokens, hashes and roots 32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, Integer, LargeBinary, MetaData
from sqlalchemy.orm import DeclarativeBase

if TYPE_CHECKING:
    from sqlalchemy import Dialect, Table


class Octets(LargeBinary):
    """A column of bytes that are handed to the driver unchanged; both drivers take and give bytes.

    SQLAlchemy would wrap and copy each value for old drivers, which is half the cost of a row.
    """

    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> None:
        """Change nothing on the way in."""

    def result_processor(self, dialect: Dialect, coltype: object) -> None:
        """Change nothing on the way out."""


BIG_ID = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers only INTEGER keys itself
NEVER_AGAIN = {"sqlite_autoincrement": True}
"""Without this, SQLite reuses the id of a deleted last row, and the next row would inherit the
rights of a connection that is still open."""


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
