"""Errors for signatures that do not count.

`ConflictError` where a change by an honest person explains it, `SecurityError` where none can.
"""

from __future__ import annotations

from fsproto.errors import ConflictError, FsError, RollbackError, SignatureError
from fsproto.names import for_terminal


def of_another_age(what: str, generation: int, of_key: int) -> FsError:
    """Return the error for a state or list of another generation than its node's key.

    The key was looked up first. So a newer value may come from a change since then, which is
    harmless; an older value cannot.
    """
    if generation > of_key:
        return ConflictError(
            f"A folder or file has just taken a new key: {what} is newer than the key.",
            hint="Give the same command again.",
        )
    return RollbackError(
        f"THE SERVER SHOWED AN OLDER STATE of a folder or file: {what} is older than the key.",
        hint="Stop and talk to your administrator: this does not happen by accident.",
    )


def not_renewed(owner: str) -> ConflictError:
    """Return the error for a share that is signed with a key that its owner has replaced since.

    It is no alarm: a rotation may leave a share out, and the owner's client renews it afterwards.
    """
    owner = for_terminal(owner)
    return ConflictError(
        f"{owner} has new keys, and has not renewed this share with them yet.",
        hint=f"Wait until {owner} has given the next command: 'fsclient shares' is enough. If this "
        "stays after that, talk to your administrator.",
    )


def signed_by_ended_key(owner: str) -> SignatureError:
    """Return the error for a member list that no honest owner can have signed with that key."""
    return SignatureError(
        f"A member list of {for_terminal(owner)} is signed with a key that was replaced before.",
        hint="Stop and talk to the owner: an honest server would have refused it.",
    )


def nobody() -> SignatureError:
    """Return the error for a value whose author may not write there."""
    return SignatureError(
        "A folder or file was signed by a person that may not write there.",
        hint="Stop and talk to the owner: an honest server would have refused it.",
    )
