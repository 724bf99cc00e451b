"""Secrets in memory: out of swap files, core files and debuggers, and overwritten at their end.

All but the last where the system allows it.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
from collections.abc import Callable

from fskit.console import leave_no_core

_PR_SET_DUMPABLE = 4


class SecretBytes:
    """Bytes on pages of their own, which the system is asked to keep out of swap and core files."""

    def __init__(self, content: memoryview) -> None:
        """Copy `content`, which is not empty."""
        self._pages = mmap.mmap(-1, len(content))
        advice = getattr(mmap, "MADV_DONTDUMP", None)
        if advice is not None:
            with contextlib.suppress(OSError):
                self._pages.madvise(advice)
        _lock(self._pages)
        self._pages[:] = content

    def view(self) -> memoryview:
        """Return the bytes; release the view before `wipe`."""
        return memoryview(self._pages)

    def wipe(self) -> None:
        """Overwrite the bytes, and free the pages."""
        self._pages[:] = bytes(len(self._pages))
        with contextlib.suppress(BufferError):  # a view is left: it shows zeros
            self._pages.close()


def hide_memory() -> None:
    """Keep this process out of core files, and out of the debuggers of the same user.

    Linux alone has the second.
    """
    leave_no_core()
    prctl = _of_libc("prctl")
    if prctl is not None:
        prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _lock(pages: mmap.mmap) -> None:
    """Keep pages in memory; without success beyond RLIMIT_MEMLOCK."""
    mlock = _of_libc("mlock")
    if mlock is not None:
        first = ctypes.c_char.from_buffer(pages)
        mlock(ctypes.c_void_p(ctypes.addressof(first)), ctypes.c_size_t(len(pages)))


def _of_libc(name: str) -> Callable[..., int] | None:
    """Return a function of the C library; None if it has none of this name."""
    try:
        found: Callable[..., int] = getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError, TypeError):  # Windows has no such library
        return None
    return found
