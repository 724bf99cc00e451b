"""Removals in pieces: folders whose content has still to be marked as removed."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pending_removals",
        sa.Column("folder_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("owner_id", sa.BigInteger(), nullable=False),
        sa.Column("removed_ms", sa.BigInteger(), nullable=False),
        sa.Column("after", sa.LargeBinary(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["folder_id"],
            ["nodes.id"],
            name=op.f("fk_pending_removals_folder_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("folder_id", name=op.f("pk_pending_removals")),
    )
    op.create_index(op.f("ix_pending_removals_owner_id"), "pending_removals", ["owner_id"])


def downgrade() -> None:
    # What is below a removed folder counts as present until all of it is marked.
    op.execute(
        "WITH RECURSIVE below(id, removed_ms) AS ("
        "SELECT folder_id, removed_ms FROM pending_removals "
        "UNION SELECT nodes.id, below.removed_ms FROM nodes JOIN below ON nodes.parent_id = below.id"
        ") UPDATE nodes SET removed_ms = (SELECT min(below.removed_ms) FROM below "
        "WHERE below.id = nodes.id) "
        "WHERE removed_ms IS NULL AND id IN (SELECT id FROM below)"
    )
    op.drop_table("pending_removals")
