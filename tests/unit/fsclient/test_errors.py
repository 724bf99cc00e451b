from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from fsclient.local_errors import local_errors
from fsproto.errors import FsError


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (errno.ENOENT, 5),
        (errno.ENOTDIR, 5),
        (errno.ELOOP, 5),
        (errno.EACCES, 6),
        (errno.EPERM, 6),
        (errno.EROFS, 6),
        (errno.EISDIR, 2),
        (errno.ENAMETOOLONG, 2),
        (errno.EEXIST, 8),
        (errno.ENOTEMPTY, 8),
        (errno.ENOSPC, 9),
        (errno.EDQUOT, 9),
        (errno.EFBIG, 9),
        (errno.EIO, 1),
    ],
)
def test_an_error_of_the_system_becomes_a_sentence_with_an_exit_status(number, status):
    with pytest.raises(FsError) as told, local_errors(Path("a\x1b[31m/b")):
        raise OSError(number, os.strerror(number))
    assert told.value.exit_status == status
    assert told.value.sentence.startswith("The local 'a\\u001b[31m/b' ")
    assert told.value.sentence.endswith(".")


def test_what_is_no_file_is_called_by_its_name():
    with (
        pytest.raises(FsError, match="Standard output cannot be written"),
        local_errors("Standard output"),
    ):
        raise OSError(errno.ENOSPC, "")


def test_that_a_reader_has_gone_is_left_to_others():
    with pytest.raises(BrokenPipeError), local_errors(Path("x")):
        raise BrokenPipeError
