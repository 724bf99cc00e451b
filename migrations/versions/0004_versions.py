"""Kept versions of files, and removed files."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_THERE = sa.text("removed_from IS NOT NULL")


def upgrade() -> None:
    op.add_column("nodes", sa.Column("removed_ms", sa.BigInteger(), nullable=True))
    op.add_column("nodes", sa.Column("removed_from", sa.LargeBinary(length=16), nullable=True))
    op.create_index(
        op.f("ix_nodes_removed_from"),
        "nodes",
        ["removed_from"],
        sqlite_where=_THERE,
        postgresql_where=_THERE,
    )
    op.create_table(
        "older_contents",
        sa.Column("root", sa.LargeBinary(length=32), nullable=False),
        sa.Column("node_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["root"], ["blobs.root"], name=op.f("fk_older_contents_root"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("root", name=op.f("pk_older_contents")),
    )
    op.create_index(op.f("ix_older_contents_node_id"), "older_contents", ["node_id"])
    op.create_table(
        "removals",
        sa.Column("node_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("before_payload", sa.LargeBinary(), nullable=False),
        sa.Column("before_signature", sa.LargeBinary(), nullable=False),
        sa.Column("before_proof", sa.LargeBinary(), nullable=False),
        sa.Column("after_payload", sa.LargeBinary(), nullable=False),
        sa.Column("after_signature", sa.LargeBinary(), nullable=False),
        sa.Column("after_proof", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["node_id"], ["nodes.id"], name=op.f("fk_removals_node_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("node_id", name=op.f("pk_removals")),
    )


def downgrade() -> None:
    # Older releases would treat kept versions as current files. The janitor deletes their blobs
    # once no row refers to them.
    op.execute("DELETE FROM blobs WHERE root IN (SELECT root FROM older_contents)")
    op.execute(
        "DELETE FROM blobs WHERE node_id IN (SELECT id FROM nodes WHERE removed_ms IS NOT NULL)"
    )
    op.execute(
        "DELETE FROM manifests WHERE version < "
        "(SELECT nodes.version FROM nodes WHERE nodes.id = manifests.node_id)"
    )
    op.drop_table("removals")
    op.drop_table("older_contents")
    op.execute("DELETE FROM nodes WHERE removed_ms IS NOT NULL")
    op.drop_index(op.f("ix_nodes_removed_from"), table_name="nodes")
    op.drop_column("nodes", "removed_from")
    op.drop_column("nodes", "removed_ms")
