"""How far off the last refused code of an account was, and when it was refused."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in ("off_ms", "off_at_ms"):
        op.add_column("login_states", sa.Column(column, sa.BigInteger(), nullable=True))


def downgrade() -> None:
    for column in ("off_at_ms", "off_ms"):
        op.drop_column("login_states", column)
