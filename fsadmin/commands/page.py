"""The command about the page that opens public links in a browser."""

from __future__ import annotations

from pathlib import Path

import click

from fsadmin.context import Admin, common_options
from fsd.web_page import made_page, page_hash
from fskit.local_paths import LocalPath
from fskit.os_errors import file_error

_NAME = "index.html"


@click.command(short_help="Write the web page of public links, or its hash.")
@click.argument("folder", required=False, type=LocalPath())
@common_options
@click.pass_obj
def page(admin: Admin, *, folder: Path | None) -> None:
    """Print the SHA-256 of the page that opens public links; write the page to FOLDER.

    The page is one file, FOLDER/index.html. Any web server can offer it, or a person can open it
    from a disk. It opens the links of every fsd of this version. The same version always has the
    same hash.
    """
    made = made_page()
    path = None if folder is None else folder / _NAME
    if folder is not None and path is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            new = path.with_name(f".{_NAME}.new")
            new.write_bytes(made)
            new.replace(path)
        except OSError as error:
            raise file_error(f"Cannot write the page to {path}", error) from None
    told = {"sha256": page_hash(made), "path": None if path is None else str(path)}
    admin.answer(told, lambda: f"{told['sha256']}  {path or _NAME}")
