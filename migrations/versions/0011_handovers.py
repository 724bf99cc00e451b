"""Closed accounts, and the account whose quota their storage counts in."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "handovers",
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("payer_id", _ID, nullable=False),
        sa.Column("closed_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_handovers_user_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["payer_id"], ["users.id"], name=op.f("fk_handovers_payer_id")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_handovers")),
    )
    op.create_index("ix_handovers_payer_id", "handovers", ["payer_id"])


def downgrade() -> None:
    # Each tree counts in its owner's quota again; closed accounts stay disabled.
    op.execute(
        "UPDATE quotas SET used_bytes = (SELECT COALESCE(SUM(blobs.size), 0) FROM nodes "
        "LEFT JOIN blobs ON blobs.root = nodes.blob AND blobs.node_id = nodes.id "
        "WHERE nodes.owner_id = quotas.user_id AND nodes.removed_ms IS NULL AND nodes.kind = 1), "
        "used_files = (SELECT COUNT(*) FROM nodes "
        "WHERE nodes.owner_id = quotas.user_id AND nodes.removed_ms IS NULL AND nodes.kind = 1) "
        "WHERE user_id IN (SELECT user_id FROM handovers UNION SELECT payer_id FROM handovers)"
    )
    op.drop_index("ix_handovers_payer_id", "handovers")
    op.drop_table("handovers")
