"""Errors for SFTP clients: a status code of SFTP, and the error's sentence."""

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
    """Return the nearest status code.

    Version 3 has no code for conflicts, for a full disk or for a server that cannot be reached: its
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
    """Return the text for the user: the error's sentence and its hint."""
    return f"{error.sentence} {error.hint}" if error.hint else error.sentence


def sentence_for(status: StatusCode) -> str:
    """Return the default sentence of a status."""
    return _SENTENCES.get(status, "It was not done.")
