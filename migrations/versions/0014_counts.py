"""What else is stored of a user's tree, counted beside the quota."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_COUNTS = ("nodes", "record_bytes", "kept_bytes")


def upgrade() -> None:
    for name in _COUNTS:
        op.add_column("quotas", sa.Column(name, sa.BigInteger(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("quotas") as quotas:
        for name in _COUNTS:
            quotas.drop_column(name)
