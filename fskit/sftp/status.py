"""What an SFTP client is told of an error: one of SFTP's few codes, and our sentence."""

from __future__ import annotations

from fskit.sftp.codes import StatusCode
from fsproto.errors import FsError, LoginRefused, LoginRequired, NotAllowedError, NotFoundError

_SENTENCES = {
    StatusCode.OK: "Done.",
    StatusCode.EOF: "End of file.",
    StatusCode.OP_UNSUPPORTED: "This server cannot do that.",
    StatusCode.BAD_MESSAGE: "That request cannot be read.",
}


class UnsupportedError(FsError):
    """This server cannot do that."""


def status_of(error: FsError) -> StatusCode:
    """Return the code that comes nearest.

    Version 3 has none for conflicts, for a full disk or for a server that cannot be reached: its
    codes 6 and 7 must not be sent (draft-ietf-secsh-filexfer-02, section 7).
    """
    match error:
        case NotFoundError():
            return StatusCode.NO_SUCH_FILE
        case UnsupportedError():
            return StatusCode.OP_UNSUPPORTED
        case NotAllowedError() | LoginRefused() | LoginRequired():
            return StatusCode.PERMISSION_DENIED
    return StatusCode.FAILURE


def sentence_of(error: FsError) -> str:
    """Return what the person reads: what went wrong, and what can be done about it."""
    return f"{error.sentence} {error.hint}" if error.hint else error.sentence


def sentence_for(status: StatusCode) -> str:
    """Return what is said where nothing more exact is known."""
    return _SENTENCES.get(status, "It was not done.")
