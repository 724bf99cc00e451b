"""Login: throttle by lanes, login states, notices, recovery codes, and a second secret.

Recorded refusals are deleted: the old format kept each one for only a minute.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.drop_index("ix_login_failures_user", "login_failures")
    op.drop_table("login_failures")
    op.create_table(
        "login_penalties",
        sa.Column("user", sa.String(length=64), nullable=False),
        sa.Column("network", sa.String(length=64), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_ms", sa.BigInteger(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user", "network", name=op.f("pk_login_penalties")),
    )
    op.create_index("ix_login_penalties_last_ms", "login_penalties", ["last_ms"])
    op.create_table(
        "login_states",
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("locked_ms", sa.BigInteger(), nullable=True),
        sa.Column("drift_ms", sa.BigInteger(), nullable=False),
        sa.Column("secret_no", sa.Integer(), nullable=False),
        sa.Column("next_since_ms", sa.BigInteger(), nullable=True),
        sa.Column("last_network", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_login_states_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_login_states")),
    )
    op.execute(
        "INSERT INTO login_states (user_id, failures, drift_ms, secret_no, last_network) "
        "SELECT id, 0, 0, 1, '' FROM users"
    )
    op.create_table(
        "login_notices",
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_login_notices_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "kind", name=op.f("pk_login_notices")),
    )
    op.create_table(
        "recovery_codes",
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("code_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("made_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_recovery_codes_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "code_hash", name=op.f("pk_recovery_codes")),
    )
    op.add_column("users", sa.Column("next_secret", sa.LargeBinary(), nullable=True))
    op.add_column("sessions", sa.Column("used_ms", sa.BigInteger(), nullable=True))
    op.execute("UPDATE sessions SET used_ms = created_ms")
    with op.batch_alter_table("sessions", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.alter_column("used_ms", existing_type=sa.BigInteger(), nullable=False)
    _used_otps(secrets=True)


def downgrade() -> None:
    _used_otps(secrets=False)
    with op.batch_alter_table("sessions", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.drop_column("used_ms")
    op.drop_column("users", "next_secret")
    for table in ("recovery_codes", "login_notices", "login_states"):
        op.drop_table(table)
    op.drop_index("ix_login_penalties_last_ms", "login_penalties")
    op.drop_table("login_penalties")
    op.create_table(
        "login_failures",
        sa.Column("id", _ID, nullable=False),
        sa.Column("user", sa.String(length=64), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_login_failures")),
    )
    op.create_index("ix_login_failures_user", "login_failures", ["user", "address", "at_ms"])


def _used_otps(*, secrets: bool) -> None:
    """Re-create the table with or without the secret number in its key; keep all rows."""
    op.rename_table("used_otps", "used_otps_before")
    if op.get_bind().dialect.name == "postgresql":  # constraints keep their names there
        op.execute("ALTER INDEX pk_used_otps RENAME TO pk_used_otps_before")
        op.execute(
            "ALTER TABLE used_otps_before RENAME CONSTRAINT fk_used_otps_user_id "
            "TO fk_used_otps_user_id_before"
        )
    number = [sa.Column("secret_no", sa.Integer(), nullable=False)] if secrets else []
    key = ("user_id", "secret_no", "step") if secrets else ("user_id", "step")
    op.create_table(
        "used_otps",
        sa.Column("user_id", _ID, nullable=False),
        *number,
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_used_otps_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint(*key, name=op.f("pk_used_otps")),
    )
    if secrets:
        op.execute(
            "INSERT INTO used_otps (user_id, secret_no, step, used_ms) "
            "SELECT user_id, 1, step, used_ms FROM used_otps_before"
        )
    else:  # a step that was used with two secrets is one
        op.execute(
            "INSERT INTO used_otps (user_id, step, used_ms) "
            "SELECT user_id, step, MAX(used_ms) FROM used_otps_before GROUP BY user_id, step"
        )
    op.drop_table("used_otps_before")
