"""`fsclient unlink`."""

from __future__ import annotations

import click

from fsclient.app import App
from fsclient.links.own import chosen, end_links, links_of, links_to
from fskit.text import count_text

EXAMPLES = """\b
Examples:
  fsclient unlink 3f09c2aa      the link with this id
  fsclient unlink report.pdf    all links to this file
"""


@click.command(epilog=EXAMPLES)
@click.argument("link", metavar="ID|REMOTE")
@click.pass_obj
def command(app: App, link: str) -> None:
    """End a link by its id, or all links to a file or folder.

    Downloads in progress end within seconds. What was downloaded before stays with its receiver.
    An id has at least 8 digits, as 'fsclient links' shows it; write './NAME' for a file with such
    a name.
    """
    with app.session() as session:
        known = links_of(session)
        found = chosen(known, link)
        if not found:
            found = links_to(known, session.tree.find(app.path(link)))
        end_links(session, found)
    app.ui.say(f"Ended {count_text(len(found), 'link')}.")
    app.ui.result_of(ended=[one.link.link.hex() for one in found])
