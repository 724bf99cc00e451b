"""Request links: a URL with which people without an account send files to an inbox."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "request_links",
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("bundle_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("access_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("proof_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("guarded", sa.Boolean(), nullable=False),
        sa.Column("description", sa.LargeBinary(), nullable=False),
        sa.Column("made_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=True),
        sa.Column("max_files", sa.Integer(), nullable=True),
        sa.Column("max_bytes", sa.BigInteger(), nullable=True),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=False),
        sa.Column("wrong", sa.Integer(), nullable=False),
        sa.Column("ended", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_request_links_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_request_links")),
    )
    op.create_index("ix_request_links_user_id", "request_links", ["user_id", "made_ms"])
    op.create_table(
        "request_files",
        sa.Column("drop_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("request_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("salt", sa.LargeBinary(length=32), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("touched_ms", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.LargeBinary(length=32), nullable=True),
        sa.ForeignKeyConstraint(
            ["request_id"],
            ["request_links.id"],
            name=op.f("fk_request_files_request_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_request_files_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("drop_id", name=op.f("pk_request_files")),
    )
    for column in ("request_id", "user_id", "touched_ms"):
        op.create_index(op.f(f"ix_request_files_{column}"), "request_files", [column])
    op.add_column("drops", sa.Column("request_id", sa.LargeBinary(length=16), nullable=True))


def downgrade() -> None:
    op.drop_column("drops", "request_id")
    op.drop_table("request_files")
    op.drop_table("request_links")
