"""`fsclient link`."""

from __future__ import annotations

import click

from fsclient.app import App
from fsclient.commands.filtering import LifetimeType
from fsclient.links.catalogue import catalogue_of
from fsclient.links.own import Terms, make_link
from fsclient.links.own_list import short_id
from fsclient.transfer.report.failures import Failures
from fskit.clock import now_ms
from fskit.text import count_text, time_text
from fsproto.errors import NotAllowedError, UsageError
from fsproto.limits import MAX_PUBLIC_LINK_DOWNLOADS, MAX_PUBLIC_LINK_NOTE
from fsproto.names import check_new_name, clean_name
from fsproto.qr import drawn

EXAMPLES = """\b
Examples:
  fsclient link report.pdf                     for a week
  fsclient link --expires 1d --max-downloads 1 --password report.pdf
  fsclient link --expires never --qr photos    a folder, with a QR code
"""


@click.command(epilog=EXAMPLES)
@click.argument("path", metavar="REMOTE")
@click.option(
    "--expires",
    type=LifetimeType(),
    default="7d",
    metavar="TIME",
    help="When the link ends: 90s, 15m, 8h, 7d, 2w, or never; default 7d.",
)
@click.option(
    "--max-downloads",
    type=click.IntRange(1, MAX_PUBLIC_LINK_DOWNLOADS),
    metavar="N",
    help="End the link after N downloads; default: any number.",
)
@click.option("--password", is_flag=True, help="Ask for a password that receivers must know.")
@click.option("--name", metavar="TEXT", help="Show receivers this name; default: the present one.")
@click.option("--note", default="", metavar="TEXT", help="Show receivers this text.")
@click.option("--qr", is_flag=True, help="Draw the URL as a QR code as well.")
@click.pass_obj
def command(
    app: App,
    path: str,
    *,
    expires: int | None,
    max_downloads: int | None,
    password: bool,
    name: str | None,
    note: str,
    qr: bool,
) -> None:
    """Make a URL that opens a file or folder of yours without an account.

    A person with the URL (and the password) can download the present version with 'fsclient
    get URL'. The server cannot open it: the secret after the '#' is never sent. The URL is printed
    once; keep it, or make another link. Symbolic links in a folder are left out.

    Later changes do not change what the link opens, and its content stays until the link ends.
    Moving or renaming the file or folder keeps the link; removing it ends the link, and removing
    one file of a linked folder removes that file from the link. 'fsclient links' lists your
    links, 'fsclient unlink' ends one at once.

    With --password, receivers must know a password, too; it is asked, or taken from
    FSCLIENT_LINK_PASSWORD. Send it over another channel than the URL.
    """
    place = app.path(path)
    if len(note) > MAX_PUBLIC_LINK_NOTE:
        raise UsageError(f"A note has at most {MAX_PUBLIC_LINK_NOTE} characters.")
    shown = None if name is None else check_new_name(clean_name(name))
    secret = app.link_password(new=True) if password else ""
    expires_ms = None if expires is None else now_ms() + expires * 1000
    failures = Failures(app.ui)
    with app.session() as session:
        found = session.tree.find(place)
        if found.path.owner not in (None, session.identity.user):
            raise NotAllowedError(
                "Only the owner can make a link to it.",
                hint="Copy it into your own tree with 'fsclient cp', and link the copy.",
            )
        shown = shown or found.path.name
        if not shown:
            raise UsageError("Your whole tree has no name.", hint="Give one with --name.")
        catalogue = catalogue_of(session, found, shown, note, failures)
        failures.raise_if_any()
        url = make_link(session, found, catalogue, Terms(expires_ms, max_downloads, secret))
    link = url.secret.link
    data = {
        "id": link.hex(),
        "url": str(url),
        "path": str(found.path),
        "name": shown,
        "files": len(catalogue.body.files),
        "expires_ms": expires_ms,
        "max_downloads": max_downloads,
        "password": password,
    }
    app.ui.result(data, str(url))
    if qr:
        app.ui.draw(drawn(str(url)))
    until = "until you end it" if expires_ms is None else f"until {time_text(expires_ms)}"
    times = f", for {count_text(max_downloads, 'download')}" if max_downloads else ""
    app.ui.say(f"It opens '{shown}' {until}{times}. To end it: fsclient unlink {short_id(link)}")
