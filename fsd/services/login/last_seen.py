"""Whether a client has seen newer states than this server has, as after a restored backup."""

from __future__ import annotations

from sqlalchemy.orm import Session as Db

from fsd.store.repos import keylog, lineages, nodes, users
from fsproto import crypto
from fsproto.errors import BehindError
from fsproto.keylog.head import unpack_log_head
from fsproto.messages.account import LastSeen
from fsproto.messages.history import LineageRange, Lineal
from fsproto.types import NodeId


def check_not_behind(db: Db, name: str, seen: LastSeen) -> None:
    """Raise `BehindError` if this server lacks what a device of a user has seen.

    The caller has verified that the user's identity key signed the question.
    """
    head = unpack_log_head(seen.log)
    if head is not None and head[0]:
        size, root = head
        if keylog.roots(db, [size]).get(size) != root:
            raise BehindError("THE SERVER HAS AN OLDER KEY LOG than this device has seen.")
    user = users.by_name(db, name)
    tree = users.tree(db, user.id) if user else None
    if tree is not None and seen.version and not _has(db, NodeId(tree.root_id), seen):
        raise BehindError("THE SERVER HAS AN OLDER STATE of your tree than this device has seen.")


def _has(db: Db, root: NodeId, seen: LastSeen) -> bool:
    state = nodes.state(db, root)
    if seen.version >= state.version:
        return state.version == seen.version and crypto.equal(state.hash, seen.hash)
    only = LineageRange(root, Lineal.STATE, seen.version - 1, seen.version + 1)
    # The hash of a first version is not kept; the client verifies the descent after the login.
    return all(crypto.equal(kept, seen.hash) for kept in lineages.between(db, only))
