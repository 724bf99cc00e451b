"""The errors that are shown to people or sent to peers, in one tree of classes.

A class has a stable code for the wire and the exit status of a program that ends with it. The first
line of its docstring is the sentence for an error without its own sentence. Bytes received from a
peer raise only `SecurityError`, `Unreachable` or a subclass; a mistake in this code raises an
ordinary Python exception instead.
"""

from __future__ import annotations

from typing import ClassVar


class FsError(Exception):
    """Something unexpected went wrong."""

    code: ClassVar[str] = "unexpected"
    exit_status: ClassVar[int] = 1
    default_hint: ClassVar[str | None] = None
    details: tuple[str, ...] = ()
    """Further sentences, one for each problem, if several things are wrong."""
    again_ms = 0
    """When the same act can succeed, in Unix time in milliseconds; 0 if that is not known."""
    is_final = False
    """Whether the whole command ends with this error, not only the work on one file."""

    def __init__(self, sentence: str | None = None, *, hint: str | None = None) -> None:
        """Store `sentence` (default: the class's own) and `hint`, which says what to do."""
        self.sentence = sentence or (type(self).__doc__ or "").splitlines()[0]
        self.hint = hint if hint is not None else self.default_hint
        super().__init__(self.sentence)


class InternalError(FsError):
    """The server failed on this request; its log says why."""

    code = "internal"


class UsageError(FsError):
    """The command was not understood."""

    code = "usage"
    exit_status = 2


class InvalidNameError(UsageError):
    """That name cannot be used."""

    code = "invalid-name"


class BadSettingError(UsageError):
    """A setting has a value that cannot be used."""

    code = "bad-setting"


class Unreachable(FsError):
    """The server cannot be reached."""

    code = "unreachable"
    exit_status = 3


class ConnectionLost(Unreachable):
    """The connection ended before the server had answered."""

    code = "connection-lost"


class NotFsdError(Unreachable):
    """The server at that address does not speak this protocol."""

    code = "not-fsd"
    default_hint = "Check host and port with your administrator."


class VersionMismatchError(Unreachable):
    """The server speaks another version of the protocol."""

    code = "version-mismatch"
    default_hint = "Update the older of the two programs."


class LoginRefused(FsError):
    """The login was refused: wrong or used one-time password, unknown user, or a disabled one."""

    code = "login-refused"
    exit_status = 4
    default_hint = (
        "Check the clock of the device that shows your codes, wait for the next code and try "
        "again; after several refusals, wait some minutes. If you rotated your keys on another "
        "machine, import them here. Otherwise ask your administrator."
    )
    clock_off_ms = 0
    """How far this machine's clock is ahead of the server's; 0 if that is little or unknown."""


class LoginRequired(FsError):
    """The session has ended and there is no terminal to ask for a one-time password."""

    code = "login-required"
    exit_status = 4
    default_hint = "Give --otp CODE, set FSCLIENT_OTP, or use --otp-secret-file FILE."


class WrongPassphraseError(FsError):
    """The passphrase does not open the identity."""

    code = "wrong-passphrase"
    exit_status = 4


class NotFoundError(FsError):
    """There is nothing of that name."""

    code = "not-found"
    exit_status = 5


class NotAllowedError(FsError):
    """It is not allowed."""

    code = "not-allowed"
    exit_status = 6


class SecurityError(FsError):
    """A security check failed; nothing of what was received has been used."""

    code = "security"
    exit_status = 7


class HostKeyError(SecurityError):
    """The server's host key is not the expected one."""

    code = "host-key"
    shown: str | None = None
    """Fingerprint of the key that the server sent instead; None if it sent none."""


class RemoteProtocolError(SecurityError):
    """The other end broke the protocol, or an attacker on the way changed its messages."""

    code = "protocol"


class SignatureError(SecurityError):
    """A signature is missing or does not verify."""

    code = "signature"


class IntegrityError(SecurityError):
    """Content does not match its salted hash."""

    code = "integrity"


class RollbackError(SecurityError):
    """The server showed an older or a different history than before."""

    code = "rollback"


class BehindError(RollbackError):
    """The server has an older state than this device has seen."""

    code = "behind"


class KeyChangedError(SecurityError):
    """Somebody's keys are no longer those that were known."""

    code = "key-changed"


class ConflictError(FsError):
    """It was changed by another person in the meantime."""

    code = "conflict"
    exit_status = 8


class ExistsError(ConflictError):
    """It exists already."""

    code = "exists"


class SourceChangedError(ConflictError):
    """The file changed while it was read."""

    code = "source-changed"


class OutOfSpaceError(FsError):
    """There is no space left."""

    code = "out-of-space"
    exit_status = 9


class QuotaError(OutOfSpaceError):
    """A quota is used up."""

    code = "quota"
    default_hint = (
        "Removing something makes room at once, and the administrator can allow more; "
        "'fsclient status' shows what is used of your own."
    )


class Interrupted(FsError):
    """Interrupted."""

    code = "interrupted"
    exit_status = 130


def _tree(cls: type[FsError]) -> dict[str, type[FsError]]:
    found = {cls.code: cls}
    for child in cls.__subclasses__():
        found |= _tree(child)
    return found


ERRORS: dict[str, type[FsError]] = _tree(FsError)
"""Every class of the tree by its code on the wire."""


def from_wire(code: str, sentence: str, hint: str = "") -> FsError:
    """Return the error that a peer named; a code that is unknown here is an `InternalError`."""
    return ERRORS.get(code, InternalError)(sentence or None, hint=hint or None)
