"""Places of blobs in the blob store; uploads with their parts; places to be deleted."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "uploads",
        sa.Column("place", sa.String(80), nullable=False),
        sa.Column("owner_id", sa.BigInteger(), nullable=False),
        sa.Column("salt", sa.LargeBinary(length=32), nullable=False),
        sa.Column("remote_id", sa.String(1024), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("touched_ms", sa.BigInteger(), nullable=False),
        sa.Column("lease_until_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("place", name=op.f("pk_uploads")),
        sa.UniqueConstraint("owner_id", "salt", name=op.f("uq_uploads_owner_id")),
    )
    op.create_index(op.f("ix_uploads_touched_ms"), "uploads", ["touched_ms"])
    op.create_table(
        "upload_parts",
        sa.Column("place", sa.String(80), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("tag", sa.String(256), nullable=False),
        sa.Column("leaves", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["place"], ["uploads.place"], name=op.f("fk_upload_parts_place"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("place", "number", name=op.f("pk_upload_parts")),
    )
    op.create_table(
        "doomed_places",
        sa.Column("place", sa.String(80), nullable=False),
        sa.Column("due_ms", sa.BigInteger(), nullable=True),
        sa.Column("is_collected", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("place", name=op.f("pk_doomed_places")),
    )
    op.create_index(op.f("ix_doomed_places_due_ms"), "doomed_places", ["due_ms"])
    op.add_column("blobs", sa.Column("place", sa.String(80), nullable=True))
    # Earlier releases have named the files of blobs after their roots.
    root = sa.column("root", sa.LargeBinary())
    on_postgresql = op.get_bind().dialect.name == "postgresql"
    name = sa.func.encode(root, "hex") if on_postgresql else sa.func.lower(sa.func.hex(root))
    data, where = sa.column("data", sa.LargeBinary()), sa.column("place", sa.String())
    blobs = sa.table("blobs", root, data, where)
    place = sa.func.substr(name, 1, 2).concat("/").concat(name)
    op.execute(blobs.update().where(data.is_(None)).values(place=place))
    there = sa.text("place IS NOT NULL")
    op.create_index(
        "ix_blobs_place",
        "blobs",
        ["place"],
        unique=True,
        sqlite_where=there,
        postgresql_where=there,
    )


def downgrade() -> None:
    # Older releases do not find blobs whose place is not named after their root.
    op.drop_index("ix_blobs_place", "blobs")
    op.drop_column("blobs", "place")
    op.drop_table("doomed_places")
    op.drop_table("upload_parts")
    op.drop_table("uploads")
