"""`fsclient unrequest`."""

from __future__ import annotations

import click

from fsclient.app import App
from fsclient.requests.own import chosen, end_requests, requests_of
from fskit.text import count_text

EXAMPLES = """\b
Example:
  fsclient unrequest 3f09c2aa
"""


@click.command(epilog=EXAMPLES)
@click.argument("ids", nargs=-1, required=True, metavar="ID…")
@click.pass_obj
def command(app: App, ids: tuple[str, ...]) -> None:
    """End request links at once: they take no further files.

    Files that are not complete are lost. Complete ones stay in your inbox. An id has at least 8
    digits, as 'fsclient requests' shows it.
    """
    with app.session() as session:
        known = requests_of(session)
        found = list({one.id: one for one in (chosen(known, text) for text in ids)}.values())
        end_requests(session, found)
    app.ui.say(f"Ended {count_text(len(found), 'request link')}.")
    app.ui.result_of(ended=[one.request.request.hex() for one in found])
