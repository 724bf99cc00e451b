"""The name of the device of each session."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sessions", sa.Column("device", sa.String(64), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("sessions", "device")
