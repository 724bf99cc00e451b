"""What is recorded: the name of every event, as it is stored, shown and searched for."""

from __future__ import annotations

from enum import StrEnum


class Event(StrEnum):
    """A security event; its value never changes, or old entries would no longer be found."""

    LOGIN = "login"
    LOGIN_REFUSED = "login-refused"
    ENROLLED = "enrolled"
    LOGOUT = "logout"
    SSH_SESSION = "ssh-session"
    """A session of the SSH door began, bound to a key that gets in without a code until it ends."""
    SESSION_MOVED = "session-moved"
    """A running session was gone on with from another address."""
    SESSIONS_ENDED = "sessions-ended"
    ACCOUNT_LOCKED = "account-locked"
    ACCOUNT_UNLOCKED = "account-unlocked"
    CODE_REPLAYED = "code-replayed"
    """A code that had been used already was tried again by somebody else."""
    CODE_WITHOUT_KEY = "code-without-key"
    """A right code came from somebody who does not have the identity key."""
    TICKET_WITHOUT_KEY = "ticket-without-key"
    """The ticket of a running session came from somebody who does not have the identity key."""
    RECOVERY_CODE_USED = "recovery-code-used"
    RECOVERY_CODES_MADE = "recovery-codes-made"
    SECRET_ROTATED = "secret-rotated"  # noqa: S105 - what happened to it
    """A new one-time password secret was made; the old one works until the new one is used."""
    SECRET_REPLACED = "secret-replaced"  # noqa: S105 - as above
    """The new secret was used, or counts at once; the old one has ended."""
    USER_ADDED = "user-added"
    USER_DISABLED = "user-disabled"
    USER_ENABLED = "user-enabled"
    USER_REMOVED = "user-removed"
    KEYS_RESET = "keys-reset"
    KEYS_ROTATED = "keys-rotated"
    """A person's keys were replaced by ones that the old key has signed."""
    BACKUP_KEPT = "key-backup-kept"
    BACKUP_HANDED_OUT = "key-backup-handed-out"
    """A sealed identity went to somebody with a code and the recovery phrase."""
    SHARED = "shared"
    """Somebody changed whom something of theirs is shared with."""
    SHARE_LEFT = "share-left"
    MASTER_KEY_ROTATED = "master-key-rotated"
    AUDIT_ROTATED = "audit-rotated"
    """Entries up to here were moved to an archive."""
    AUDIT_BROKEN = "audit-broken"
    """The log was found altered, put aside as it was, and begun anew."""
