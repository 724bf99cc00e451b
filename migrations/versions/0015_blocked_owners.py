"""Users whose shares a user refuses."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "blocked_owners",
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("owner_id", _ID, nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("fk_blocked_owners_user_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["owner_id"],
            ["users.id"],
            name=op.f("fk_blocked_owners_owner_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("user_id", "owner_id", name=op.f("pk_blocked_owners")),
    )


def downgrade() -> None:
    op.drop_table("blocked_owners")
