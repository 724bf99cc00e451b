"""Errors for SFTP clients: a status code of SFTP, and the error's sentence."""

from __future__ import annotations

from typing import ClassVar

from fskit.sftp.codes import StatusCode
from fsproto.errors import FsError, LoginRefused, LoginRequired, NotAllowedError, NotFoundError

_SENTENCES = {
    StatusCode.OK: "Done.",
    StatusCode.EOF: "End of file.",
    StatusCode.OP_UNSUPPORTED: "This server cannot do that.",
    StatusCode.BAD_MESSAGE: "That request cannot be read.",
}


class StatusError(FsError):
    """The request failed."""

    status: ClassVar = StatusCode.FAILURE


class UnsupportedError(StatusError):
    """This server cannot do that."""

    status = StatusCode.OP_UNSUPPORTED


class EndOfFileError(StatusError):
    """The file ends before that."""

    status = StatusCode.EOF


class InvalidRequestError(StatusError):
    """The request makes no sense for its target."""

    # The code that OpenSSH's sftp-server sends for EINVAL and ENAMETOOLONG.
    status = StatusCode.BAD_MESSAGE


class WrongHandleError(StatusError):
    """The file was not opened for that."""

    # The code that OpenSSH's sftp-server sends for EBADF.
    status = StatusCode.NO_SUCH_FILE


def status_of(error: FsError) -> StatusCode:
    """Return the nearest status code.

    Version 3 has no code for conflicts, for a full disk or for a server that cannot be reached: its
    codes 6 and 7 must not be sent (draft-ietf-secsh-filexfer-02, section 7).
    """
    match error:
        case NotFoundError():
            return StatusCode.NO_SUCH_FILE
        case StatusError():
            return error.status
        case NotAllowedError() | LoginRefused() | LoginRequired():
            return StatusCode.PERMISSION_DENIED
    return StatusCode.FAILURE


def sentence_of(error: FsError) -> str:
    """Return the text for the user: the error's sentence and its hint."""
    return f"{error.sentence} {error.hint}" if error.hint else error.sentence


def sentence_for(status: StatusCode) -> str:
    """Return the default sentence of a status."""
    return _SENTENCES.get(status, "It was not done.")
