"""Messages to log in and enrol, and to manage the account and its sessions.

The first message of a connection is `Login` or `Enroll`. The server answers with `Welcome`, or with
`Failure`, whose code is the same for every cause. The signatures are Ed25519 by the user's identity
key over "fs/2 login" or "fs/2 enroll" ‖ channel id ‖ user name.

A client without the identity key first sends `Recover`, signed by the recovery phrase's key under
"fs/2 recover". The answer is `Recovery`, or the same `Failure`. On the same connection the client
then sends a `Login` with neither code nor ticket, which proves that it opened the backup.
"""

from __future__ import annotations

from fsproto.messages.base import Message
from fsproto.packing import Record
from fsproto.ranges import DeviceName, Items, Notices, Running, Uint63
from fsproto.signed import Signed


class TreeRoot(Record, frozen=True):
    """The root of a user's own tree: its grant, its manifest and its current state."""

    grant: Signed
    manifest: Signed
    state: Signed


class Notice(Record, frozen=True):
    """An event at an account: its kind, last time, count, and last address."""

    kind: str
    at_ms: int
    count: int
    address: str


class LastSeen(Record, frozen=True):
    """The newest that a device has seen of its server: the key log and its own tree."""

    log: bytes
    """Size and root of the key log (40 bytes, `pack_log_head`), or nothing."""
    version: Uint63
    """Version of the newest state of the tree's root folder; 0 if none was seen."""
    hash: bytes
    """The hash of that state (32 bytes), or nothing."""


class Login(Message, frozen=True):
    """Log in with a one-time password or a session's ticket; after `Recovery` with neither."""

    user: str
    signature: bytes
    otp: str | None
    ticket: bytes | None
    seen: LastSeen | None
    """With a code: a server that has an older state refuses the login before the code is used."""
    device: DeviceName
    """The user's name for the device, for lists of sessions; may be empty."""


class Enroll(Message, frozen=True):
    """Register a user's first keys and an empty tree, with a one-time password."""

    user: str
    signature: bytes
    otp: str
    bundle: Signed
    tree: TreeRoot
    device: DeviceName
    """As in `Login`."""


class Welcome(Message, frozen=True):
    """The login succeeded. `ticket` is set only for a new session."""

    user: str
    ticket: bytes | None
    expires_ms: int
    """When the session ends, Unix time in milliseconds by the server's clock."""
    now_ms: int
    """The time of the server's clock, Unix time in milliseconds."""
    tree: TreeRoot
    log: Signed
    """The head of the key log."""
    notices: Notices[Notice]
    """Events at the account that the user should know about; each session gets each one once."""


class GetSessions(Message, frozen=True):
    """Ask for the account's active sessions; answered by `Sessions`."""


class RunningSession(Record, frozen=True):
    """A running session; times are Unix milliseconds by the server's clock."""

    id: int
    began_ms: int
    used_ms: int
    """When the session was last used, accurate to about ten minutes."""
    expires_ms: int
    address: str
    """The address from which the session was last used."""
    this: bool
    """Whether this is the session that sent the request."""
    door: str
    """`native`; `ssh`, or `ssh ` and the fingerprint of the key to which it is bound."""
    device: str
    """The name that the user gave to the device at the login; may be empty."""


class Sessions(Message, frozen=True):
    """The active sessions of the account, the oldest first."""

    sessions: Running[RunningSession]
    last_drop_ms: Uint63
    """Arrival of the newest drop that waits, Unix time in milliseconds; 0 if none waits."""
    shares: Uint63
    """How many files and folders others share with the user."""


class EndSessions(Message, frozen=True):
    """End all sessions of the account, including this one; answered by `Done`."""


class EndSession(Message, frozen=True):
    """End one session of the account; answered by `Done`."""

    session: Uint63


class MakeRecoveryCodes(Message, frozen=True):
    """Replace all recovery codes with new ones; answered by `RecoveryCodes`."""

    otp: str


class RecoveryCodes(Message, frozen=True):
    """Recovery codes for the user to write down; the server keeps only hashes."""

    codes: Items[str]


class RotateSecret(Message, frozen=True):
    """Make a second one-time password secret; the old one stays valid. Answered by `NewSecret`."""

    otp: str


class NewSecret(Message, frozen=True):
    """The new secret for an authenticator app; the first use of its code ends the old secret."""

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
    """The state of the server and of the account."""

    server_version: str
    expires_ms: int
    files: int
    folders: int
    stored_bytes: int
    """Sealed size of everything stored for the account, with older versions and removed files."""
    used_bytes: int
    """Sealed size of the current files, which counts towards the quota."""
    quota_bytes: int | None
    quota_files: int | None
    """The limits of the account in sealed bytes and in files; None for no limit."""
    key_backup: bool
    """Whether the server keeps a backup of the account's present keys."""
    recovery_codes: Uint63
    """Number of unused recovery codes."""


class Backup(Message, frozen=True):
    """Store this sealed backup, replacing an earlier one; answered by `Done`."""

    otp: str

    recovery_key: bytes
    """Ed25519 public key of the recovery phrase, 32 bytes; its private key signs `Recover`."""
    sealed: bytes
    """At most `MAX_BACKUP` bytes that the server cannot read."""


class Recover(Message, frozen=True):
    """Ask for the user's backup, with a one-time password and the recovery phrase's signature."""

    user: str
    signature: bytes
    otp: str


class Recovery(Message, frozen=True):
    """The backup, exactly as the client stored it."""

    sealed: bytes
