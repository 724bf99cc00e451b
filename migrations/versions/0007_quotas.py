"""Quotas and reservations; expiry of accounts, and a note on each."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "quotas",
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("most_bytes", sa.BigInteger(), nullable=True),
        sa.Column("most_files", sa.BigInteger(), nullable=True),
        sa.Column("used_bytes", sa.BigInteger(), nullable=False),
        sa.Column("used_files", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_quotas_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_quotas")),
    )
    op.execute(  # kind 1: a file
        "INSERT INTO quotas (user_id, used_bytes, used_files) "
        "SELECT users.id, COALESCE(SUM(blobs.size), 0), COUNT(nodes.id) FROM users "
        "LEFT JOIN nodes ON nodes.owner_id = users.id AND nodes.removed_ms IS NULL "
        "AND nodes.kind = 1 LEFT JOIN blobs ON blobs.root = nodes.blob "
        "AND blobs.node_id = nodes.id GROUP BY users.id"
    )
    op.create_table(
        "reservations",
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("salt", sa.LargeBinary(length=32), nullable=False),
        sa.Column("owner_id", _ID, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.Column("line", sa.LargeBinary(length=32), nullable=False),
        sa.Column("server", sa.String(length=64), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_reservations_user_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["users.id"], name=op.f("fk_reservations_owner_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "salt", name=op.f("pk_reservations")),
    )
    op.create_index("ix_reservations_owner_id", "reservations", ["owner_id"])
    op.create_index("ix_reservations_line", "reservations", ["line"])
    op.add_column("users", sa.Column("expires_ms", sa.BigInteger(), nullable=True))
    op.add_column(
        "users", sa.Column("note", sa.String(length=500), nullable=False, server_default="")
    )


def downgrade() -> None:
    op.drop_column("users", "note")
    op.drop_column("users", "expires_ms")
    op.drop_index("ix_reservations_line", "reservations")
    op.drop_index("ix_reservations_owner_id", "reservations")
    op.drop_table("reservations")
    op.drop_table("quotas")
