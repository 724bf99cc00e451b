"""Pages of the prefix trees of large folders, and indexes for the size of a user's tree.

A folder's pages are written when it is next used.
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("folder_states", sa.Column("entries", sa.BigInteger(), nullable=True))
    op.create_table(
        "tree_pages",
        sa.Column("folder_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("position", sa.LargeBinary(length=33), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["folder_id"],
            ["folder_states.folder_id"],
            name=op.f("fk_tree_pages_folder_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("folder_id", "position", name=op.f("pk_tree_pages")),
        sqlite_with_rowid=False,
    )
    folders = sa.text("kind = 2 AND removed_ms IS NULL")
    op.create_index(
        "ix_nodes_folders",
        "nodes",
        ["owner_id", "parent_id"],
        sqlite_where=folders,
        postgresql_where=folders,
    )
    op.drop_index("ix_blobs_owner_id", "blobs")
    op.create_index("ix_blobs_owner_id", "blobs", ["owner_id", "size", "node_id"])


def downgrade() -> None:
    op.drop_index("ix_blobs_owner_id", "blobs")
    op.create_index("ix_blobs_owner_id", "blobs", ["owner_id"])
    op.drop_index("ix_nodes_folders", "nodes")
    op.drop_table("tree_pages")
    op.drop_column("folder_states", "entries")
