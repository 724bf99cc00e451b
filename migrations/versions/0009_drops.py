"""The drop box: drops, and SSH keys that may drop."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "drops",
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("root", sa.LargeBinary(length=32), nullable=False),
        sa.Column("bundle_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("note", sa.LargeBinary(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_drops_user_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["root"], ["blobs.root"], name=op.f("fk_drops_root"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drops")),
        sa.UniqueConstraint("root", name=op.f("uq_drops_root")),
    )
    op.create_index("ix_drops_user_id", "drops", ["user_id", "created_ms"])
    op.create_index("ix_drops_created_ms", "drops", ["created_ms"])
    op.create_table(
        "drop_keys",
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("public", sa.LargeBinary(), nullable=False),
        sa.Column("label", sa.String(length=255), nullable=False),
        sa.Column("added_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_drop_keys_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("fingerprint", name=op.f("pk_drop_keys")),
    )
    op.create_index(op.f("ix_drop_keys_user_id"), "drop_keys", ["user_id"])


def downgrade() -> None:
    # Older releases do not know drops, so their blobs must not stay. The janitor deletes the blobs
    # once no row refers to them.
    op.drop_table("drop_keys")
    op.create_table("dropped_roots", sa.Column("root", sa.LargeBinary(length=32)))
    op.execute("INSERT INTO dropped_roots (root) SELECT root FROM drops")
    op.drop_table("drops")
    op.execute("DELETE FROM blobs WHERE root IN (SELECT root FROM dropped_roots)")
    op.drop_table("dropped_roots")
