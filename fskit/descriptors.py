"""The limit of open files and connections of this process."""

from __future__ import annotations

import contextlib

MOST = 1 << 20
"""Descriptors to ask for where the system has no limit."""


def raise_limit() -> None:
    """Raise the soft limit of open files to the hard limit, where the system allows it."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = MOST if hard == resource.RLIM_INFINITY else hard
        if soft != resource.RLIM_INFINITY and soft < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
