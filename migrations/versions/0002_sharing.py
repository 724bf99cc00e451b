"""Sharing: the key log, member lists and grants, and the generation of each node's key."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Not in a batch: SQLite would re-create the table, and delete all rows that refer to the old
    # one (every manifest, every state). For the same reason the default stays.
    op.add_column(
        "nodes", sa.Column("generation", sa.Integer(), nullable=False, server_default="1")
    )
    op.create_table(
        "key_log",
        sa.Column("index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("user", sa.String(length=64), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("leaf", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("index", name=op.f("pk_key_log")),
    )
    op.create_index(op.f("ix_key_log_user"), "key_log", ["user"])
    op.create_table(
        "key_log_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_key_log_head")),
    )
    op.execute(
        sa.text(
            "INSERT INTO key_log_head (id, size, payload, signature) VALUES (1, 0, :none, :none)"
        ).bindparams(sa.bindparam("none", b"", type_=sa.LargeBinary()))
    )
    op.create_table(
        "member_lists",
        sa.Column("node_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["node_id"],
            ["nodes.id"],
            name=op.f("fk_member_lists_node_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("node_id", name=op.f("pk_member_lists")),
    )
    op.create_table(
        "grants",
        sa.Column("node_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("user_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("role", sa.Integer(), nullable=False),
        sa.Column("sealed_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["node_id"], ["nodes.id"], name=op.f("fk_grants_node_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_grants_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("node_id", "user_id", name=op.f("pk_grants")),
    )
    op.create_index(op.f("ix_grants_user_id"), "grants", ["user_id"])


def downgrade() -> None:
    op.drop_table("grants")
    op.drop_table("member_lists")
    op.drop_table("key_log_head")
    op.drop_table("key_log")
    op.drop_column("nodes", "generation")
