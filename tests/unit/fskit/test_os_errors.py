"""Which errors mean that there is too little memory."""

from __future__ import annotations

import errno

import pytest

from fskit.os_errors import lacks_memory

LACKS = [
    MemoryError(),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    RuntimeError("can't start new thread"),
    ImportError("/lib/x.so: failed to map segment from shared object"),
    SystemError("error return without exception set"),
]
OTHERS = [
    OSError(errno.ENOSPC, "No space left on device"),
    ImportError("No module named 'nothing'"),
    SystemError("bad argument to internal function"),
    ValueError("An ML-KEM-768 seed is 64 bytes long"),
]


@pytest.mark.parametrize("error", LACKS, ids=repr)
def test_an_error_for_lack_of_memory_is_recognised(error: Exception):
    assert lacks_memory(error)


@pytest.mark.parametrize("error", OTHERS, ids=repr)
def test_another_error_is_not_taken_for_one(error: Exception):
    assert not lacks_memory(error)
