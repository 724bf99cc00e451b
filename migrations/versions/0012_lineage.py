"""Lineages: what the next version of a signed value must carry, and the hashes of older versions."""

import sqlalchemy as sa
from alembic import op

from fsd.store.engine import DatabaseError

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_TABLES = ("nodes", "folder_states", "member_lists")


def upgrade() -> None:
    # What people have signed before carries no lineage, and nobody but them could sign it again.
    if op.get_bind().execute(sa.text("SELECT count(*) FROM nodes")).scalar():
        raise DatabaseError(
            "This data directory has files of protocol 1, which this version cannot read.",
            hint="Start with an empty data directory, and put the files again from the clients.",
        )
    for name in _TABLES:
        with op.batch_alter_table(name) as batch:
            column = sa.Column("next_lineage", sa.LargeBinary(length=32), nullable=False)
            batch.add_column(column)
    op.create_table(
        "older_hashes",
        sa.Column("node_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("what", sa.Integer(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["node_id"], ["nodes.id"], name=op.f("fk_older_hashes_node_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("node_id", "what", "version", name=op.f("pk_older_hashes")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("older_hashes")
    for name in _TABLES:
        with op.batch_alter_table(name) as batch:
            batch.drop_column("next_lineage")
