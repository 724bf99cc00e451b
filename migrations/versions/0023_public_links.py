"""Public links: a URL that opens a file or folder without an account."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "public_links",
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("node_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("access_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("proof_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("guarded", sa.Boolean(), nullable=False),
        sa.Column("made_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=True),
        sa.Column("max_downloads", sa.Integer(), nullable=True),
        sa.Column("downloads", sa.Integer(), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=False),
        sa.Column("wrong", sa.Integer(), nullable=False),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("parts", sa.Integer(), nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_public_links_user_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["node_id"], ["nodes.id"], name=op.f("fk_public_links_node_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_public_links")),
    )
    op.create_index("ix_public_links_user_id", "public_links", ["user_id", "made_ms"])
    op.create_index(op.f("ix_public_links_node_id"), "public_links", ["node_id"])
    op.create_table(
        "public_link_parts",
        sa.Column("link_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["link_id"],
            ["public_links.id"],
            name=op.f("fk_public_link_parts_link_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("link_id", "number", name=op.f("pk_public_link_parts")),
    )
    op.create_table(
        "public_link_contents",
        sa.Column("link_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("root", sa.LargeBinary(length=32), nullable=False),
        sa.Column("node_id", sa.LargeBinary(length=16), nullable=False),
        sa.ForeignKeyConstraint(
            ["link_id"],
            ["public_links.id"],
            name=op.f("fk_public_link_contents_link_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["root"], ["blobs.root"], name=op.f("fk_public_link_contents_root"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["node_id"],
            ["nodes.id"],
            name=op.f("fk_public_link_contents_node_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("link_id", "root", name=op.f("pk_public_link_contents")),
    )
    op.create_index(op.f("ix_public_link_contents_root"), "public_link_contents", ["root"])
    op.create_index(op.f("ix_public_link_contents_node_id"), "public_link_contents", ["node_id"])


def downgrade() -> None:
    op.drop_table("public_link_contents")
    op.drop_table("public_link_parts")
    op.drop_table("public_links")
