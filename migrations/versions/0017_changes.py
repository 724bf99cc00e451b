"""The number of each change of folders, so that a server sees what has changed since."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _add("quotas", "changes")
    _add("folder_states", "owner_id")
    _add("folder_states", "changed")
    op.execute(
        "UPDATE folder_states SET owner_id = "
        "(SELECT owner_id FROM nodes WHERE nodes.id = folder_states.folder_id)"
    )
    op.create_index("ix_folder_states_changed", "folder_states", ["owner_id", "changed"])


def downgrade() -> None:
    op.drop_index("ix_folder_states_changed", "folder_states")
    op.drop_column("folder_states", "changed")
    op.drop_column("folder_states", "owner_id")
    op.drop_column("quotas", "changes")


def _add(table: str, column: str) -> None:
    zero = sa.text("0")
    op.add_column(table, sa.Column(column, sa.BigInteger(), nullable=False, server_default=zero))
