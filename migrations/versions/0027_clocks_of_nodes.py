"""How far the clock of each node is ahead of the database's."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "cluster_nodes",
        sa.Column("clock_ahead_ms", sa.BigInteger(), nullable=False, server_default="0"),
    )


def downgrade() -> None:
    op.drop_column("cluster_nodes", "clock_ahead_ms")
