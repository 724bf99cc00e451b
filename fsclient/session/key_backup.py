"""The backup of an identity at the server, fetched with a code and the recovery phrase."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsclient.connection.connection import ServerConnection
from fsproto import labels
from fsproto.errors import LoginRefused
from fsproto.keys.identity import Identity
from fsproto.messages.account import Recover, Recovery
from fsproto.types import NodeId

if TYPE_CHECKING:
    from fsproto.keys.recovery import RecoverySecret


def opened_backup(
    connection: ServerConnection, secret: RecoverySecret, code: str
) -> tuple[Identity, NodeId]:
    """Return the identity that is backed up under a secret, and the root of its tree."""
    user, key = secret.user, secret.signing
    signature = key.sign(labels.SIGN_RECOVER, connection.channel_id, user.encode())
    try:
        found = connection.call(Recover(user, signature, code), Recovery)
    except LoginRefused:
        raise LoginRefused(
            "The recovery was refused: wrong or used one-time password, another phrase than that "
            "of your newest backup, no backup, or a disabled user."
        ) from None
    portable = secret.open(found.sealed)
    return portable.identity, portable.root
