"""The C library's allocator: memory that a program no longer uses goes back to the system."""

from __future__ import annotations

import contextlib
import ctypes

_MMAP_THRESHOLD = -3
_ARENA_MAX = -8
_LARGE = 128 * 1024
"""Bytes. With a fixed value, each larger block is mapped on its own, and unmapped when it is freed.
By default, glibc raises the value after the first such block, and then keeps freed ones."""
_ARENAS = 2
"""Heaps for small blocks. By default, there are up to eight for each core, and each keeps what is
freed in it."""


def return_freed_memory(*, large_at_once: bool = True) -> None:
    """Set glibc's options (mallopt(3)); other C libraries stay as they are.

    Without `large_at_once`, glibc keeps large blocks, so that the next ones cost less time.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        if large_at_once:
            mallopt(_MMAP_THRESHOLD, _LARGE)
        mallopt(_ARENA_MAX, _ARENAS)
