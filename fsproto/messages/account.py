"""Logging in, enrolling, and what a session can ask about itself.

The first message of a connection is `Login` or `Enroll`; it is answered by `Welcome`, or by
`Failure` with one and the same code whatever was wrong. Their signatures are Ed25519 by the
user's identity key over "fs/1 login" or "fs/1 enroll" ‖ channel id ‖ user name.

Who has lost the identity key begins with `Recover`, signed by the recovery phrase's key under
"fs/1 recover". Its answer is `Recovery`, or the same `Failure`; then a `Login` with neither code
nor ticket proves, over the same connection, that the backup was opened.
"""

from __future__ import annotations

from fsproto.messages.base import Message
from fsproto.packing import Record
from fsproto.signed import Signed


class TreeRoot(Record, frozen=True):
    """Where a person's own tree begins: how to open it and what it holds now."""

    grant: Signed
    manifest: Signed
    state: Signed


class Notice(Record, frozen=True):
    """Something that happened at an account: what, when last, how often, from where last."""

    kind: str
    at_ms: int
    count: int
    address: str


class Login(Message, frozen=True):
    """Log in with a one-time password or a session's ticket, and behind `Recovery` with neither."""

    user: str
    signature: bytes
    otp: str | None
    ticket: bytes | None


class Enroll(Message, frozen=True):
    """Register a person's first keys and an empty tree, with a one-time password."""

    user: str
    signature: bytes
    otp: str
    bundle: Signed
    tree: TreeRoot


class Welcome(Message, frozen=True):
    """Logged in. A new ticket comes only with a new session."""

    user: str
    ticket: bytes | None
    expires_ms: int
    """When the session ends, Unix time in milliseconds by the server's clock."""
    now_ms: int
    """The server's clock."""
    tree: TreeRoot
    log: Signed
    """The head of the key log."""
    notices: list[Notice]
    """What happened at the account that the person should know; each is told once."""


class GetSessions(Message, frozen=True):
    """Ask which sessions of the account are running; answered by `Sessions`."""


class RunningSession(Record, frozen=True):
    """A session that has not ended; times are Unix milliseconds by the server's clock."""

    id: int
    began_ms: int
    used_ms: int
    """When it was last gone on with, to some ten minutes."""
    expires_ms: int
    address: str
    """Where it was last gone on with from."""
    this: bool
    """Whether it is the one that asks."""
    door: str
    """`native`; `ssh`, or `ssh ` and the fingerprint of the key that it is bound to."""


class Sessions(Message, frozen=True):
    """The running sessions of the account, the oldest first."""

    sessions: list[RunningSession]


class EndSessions(Message, frozen=True):
    """End all sessions of the account, this one too; answered by `Done`."""


class MakeRecoveryCodes(Message, frozen=True):
    """Make new recovery codes in place of all earlier ones; answered by `RecoveryCodes`."""

    otp: str


class RecoveryCodes(Message, frozen=True):
    """Recovery codes as people write them down; the server keeps hashes alone."""

    codes: list[str]


class RotateSecret(Message, frozen=True):
    """Make a new one-time password secret beside the one there is; answered by `NewSecret`."""

    otp: str


class NewSecret(Message, frozen=True):
    """What an authenticator app needs; its first code that is used ends the old secret."""

    secret: str
    """Base32."""
    digits: int
    period: int
    algorithm: str


class ConfirmSecret(Message, frozen=True):
    """Use a code of the new secret, which ends the old one; answered by `Done`."""

    otp: str


class Logout(Message, frozen=True):
    """End this session for good; answered by `Done`."""


class GetStatus(Message, frozen=True):
    """Ask about account and server; answered by `Status`."""


class Status(Message, frozen=True):
    """What the server says of itself and of the account."""

    server_version: str
    expires_ms: int
    files: int
    folders: int
    stored_bytes: int
    """All that is kept for the account: also older versions, and what was removed."""
    used_bytes: int
    """Sealed sizes of the files that are there, which is what counts towards a quota."""
    quota_bytes: int | None
    quota_files: int | None
    """How much the account may hold; None: any amount."""


class Backup(Message, frozen=True):
    """Keep this sealed identity, in place of one kept before; answered by `Done`."""

    recovery_key: bytes
    """Ed25519 public key of the recovery phrase, 32 bytes; its private half asks for the backup."""
    sealed: bytes
    """At most `MAX_BACKUP` bytes that the server cannot read."""


class Recover(Message, frozen=True):
    """Ask for one's backup, with a one-time password and signed by the recovery phrase's key."""

    user: str
    signature: bytes
    otp: str


class Recovery(Message, frozen=True):
    """The backup, as it was given to be kept."""

    sealed: bytes
