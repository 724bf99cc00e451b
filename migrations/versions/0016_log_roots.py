"""The root of the key log at each size, and what the next root is computed from."""

import hashlib

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_LOG = sa.table(
    "key_log", sa.column("index"), sa.column("leaf"), sa.column("payload"), sa.column("root")
)
_HEAD = sa.table("key_log_head", sa.column("frontier"))


def upgrade() -> None:
    _add("key_log", "root", 32)
    _add("key_log_head", "frontier", None)
    db = op.get_bind()
    trees: list[bytes] = []
    for index, leaf in db.execute(
        sa.select(_LOG.c.index, _LOG.c.leaf).order_by(_LOG.c.index)
    ).all():
        tree, ones = bytes(leaf), index
        while ones & 1:
            tree, ones = _node(trees.pop(), tree), ones >> 1
        trees.append(tree)
        root = tree
        for larger in reversed(trees[:-1]):
            root = _node(larger, root)
        db.execute(sa.update(_LOG).where(_LOG.c.index == index).values(root=root))
    db.execute(sa.update(_HEAD).values(frontier=b"".join(trees)))
    op.drop_column("key_log", "leaf")


def downgrade() -> None:
    _add("key_log", "leaf", 32)
    db = op.get_bind()
    for index, payload in db.execute(sa.select(_LOG.c.index, _LOG.c.payload)).all():
        leaf = hashlib.sha256(b"\0" + bytes(payload)).digest()
        db.execute(sa.update(_LOG).where(_LOG.c.index == index).values(leaf=leaf))
    op.drop_column("key_log", "root")
    op.drop_column("key_log_head", "frontier")


def _add(table: str, column: str, length: int | None) -> None:
    kind = sa.LargeBinary(length=length)
    op.add_column(table, sa.Column(column, kind, nullable=False, server_default=sa.text("''")))


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()
