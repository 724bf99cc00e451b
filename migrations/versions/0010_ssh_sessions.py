"""SSH sessions, each bound to a public key; refusals of codes without identity key."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sessions", sa.Column("ssh_key", sa.LargeBinary(length=32), nullable=True))
    op.create_index("ix_sessions_ssh_key", "sessions", ["ssh_key"])
    op.add_column(
        "login_states",
        sa.Column("keyless_failures", sa.Integer(), nullable=False, server_default="0"),
    )


def downgrade() -> None:
    with op.batch_alter_table("login_states") as batch:
        batch.drop_column("keyless_failures")
    # Else they would count as sessions of the native listener without a ticket holder.
    op.execute("DELETE FROM sessions WHERE ssh_key IS NOT NULL")
    op.drop_index("ix_sessions_ssh_key", "sessions")
    with op.batch_alter_table("sessions", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.drop_column("ssh_key")
