"""`fsclient links`."""

from __future__ import annotations

from collections.abc import Iterator

import click

from fsclient.app import App
from fsclient.commands.own_urls import show
from fsclient.links.own import KnownLink, links_of
from fskit.text import count_text, time_text


@click.command()
@click.pass_obj
def command(app: App) -> None:
    """List your links: id, what they open, downloads so far, when they end.

    A path is that of the time when the link was made. Downloads are as the server counts them.
    The URLs are not listed: no device and no server keeps them.
    """
    with app.session() as session:
        known = links_of(session)
    data = [_data(one) for one in known]
    show(app, known, data, list(_lines(known)), "You have no links.")


def _data(one: KnownLink) -> dict[str, object]:
    link, record = one.link, one.record
    return {
        "id": link.link.hex(),
        "path": record.path if record else None,
        "name": record.name if record else None,
        "files": link.files,
        "made_ms": link.made_ms,
        "expires_ms": link.expires_ms,
        "max_downloads": link.max_downloads,
        "downloads": link.downloads,
        "used_ms": link.used_ms,
        "password": link.password,
        "locked": link.locked,
    }


def _lines(known: list[KnownLink]) -> Iterator[str]:
    for one in known:
        link = one.link
        ends = "does not end" if link.expires_ms is None else f"until {time_text(link.expires_ms)}"
        most = f" of {link.max_downloads}" if link.max_downloads else ""
        parts = [ends, f"{link.downloads}{most} downloaded", count_text(link.files, "file")]
        parts += ["password"] if link.password else []
        parts += ["LOCKED after wrong passwords"] if link.locked else []
        path = one.record.path if one.record else "(the record of this link does not open)"
        yield f"{one.id}  {path}  ({', '.join(parts)})"
