"""Lineages: what the next version of a signed value must carry, and the hashes of older versions."""

import hashlib

import msgspec
import sqlalchemy as sa
from alembic import op

from fsd.store.engine import DatabaseError

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_LABEL = b"fs/2 lineage"
_SIGNED = {
    # table: its key, label of the hash, places of version and lineage in the payload
    "nodes": ("id", b"fs/2 manifest hash", 4, 5),
    "folder_states": ("folder_id", b"fs/2 folder state hash", 2, 3),
    "member_lists": ("node_id", b"fs/2 member list hash", 2, 3),
}


def upgrade() -> None:
    for name in _SIGNED:
        op.add_column(
            name,
            sa.Column(
                "next_lineage",
                sa.LargeBinary(length=32),
                nullable=False,
                server_default=sa.text("''"),
            ),
        )
    op.create_table(
        "older_hashes",
        sa.Column("node_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("what", sa.Integer(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["node_id"], ["nodes.id"], name=op.f("fk_older_hashes_node_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("node_id", "what", "version", name=op.f("pk_older_hashes")),
        sqlite_with_rowid=False,
    )
    _refuse_protocol_1()
    for name in _SIGNED:
        _fill(name)


def downgrade() -> None:
    op.drop_table("older_hashes")
    for name in _SIGNED:
        op.drop_column(name, "next_lineage")


def _fill(name: str) -> None:
    """Compute what the next version of each value must carry."""
    key, label, version_at, lineage_at = _SIGNED[name]
    rows = sa.table(name, sa.column(key), sa.column("next_lineage"), sa.column("payload"))
    payloads = sa.select(rows.c[key], rows.c.payload)
    if name == "nodes":
        manifests = sa.table(
            "manifests", sa.column("node_id"), sa.column("version"), sa.column("payload")
        )
        newest = sa.table("nodes", sa.column("id"), sa.column("version"))
        payloads = sa.select(newest.c.id, manifests.c.payload).join(
            manifests,
            (manifests.c.node_id == newest.c.id) & (manifests.c.version == newest.c.version),
        )
    connection = op.get_bind()
    for found, payload in connection.execute(payloads).fetchall():
        fields = msgspec.msgpack.decode(payload)
        version, lineage = fields[version_at], fields[lineage_at]
        digest = hashlib.sha256(label + payload).digest()
        following = hashlib.sha256(_LABEL + version.to_bytes(8, "big") + lineage + digest).digest()
        change = sa.update(rows).where(rows.c[key] == found)
        connection.execute(change.values(next_lineage=following))


def _refuse_protocol_1() -> None:
    """Refuse values of protocol 1: only the people who signed them could sign them again."""
    label = _SIGNED["folder_states"][1]
    sample = op.get_bind().execute(sa.text("SELECT hash, payload FROM folder_states")).first()
    if sample is not None and hashlib.sha256(label + sample[1]).digest() != bytes(sample[0]):
        raise DatabaseError(
            "This data directory has files of protocol 1, which this version cannot read.",
            hint="Start with an empty data directory, and put the files again from the clients.",
        )
