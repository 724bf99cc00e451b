"""The type of command-line values that name local files and folders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click


class LocalPath(click.Path):
    """A local path as typed.

    The empty text is refused. It usually comes from an unset shell variable, and as a `Path` it
    would mean the current folder.
    """

    def __init__(self, **how: Any) -> None:  # noqa: ANN401 - what `click.Path` takes
        """Take the options of `click.Path`; without `path_type`, the value is a `Path`."""
        super().__init__(**{"path_type": Path, **how})

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str | bytes | os.PathLike[str]:
        """Return the path; a usage error for an empty text."""
        if value == "":
            self.fail("An empty path names nothing; '.' is the current folder.", param, ctx)
        return super().convert(value, param, ctx)
