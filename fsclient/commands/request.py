"""`fsclient request`."""

from __future__ import annotations

import click

from fsclient.app import App
from fsclient.commands.filtering import LifetimeType, SizeType
from fsclient.links.own_list import short_id
from fsclient.requests.own import RequestTerms, make_request
from fskit.clock import now_ms
from fskit.text import count_text, size_text, time_text
from fsproto.errors import UsageError
from fsproto.limits import MAX_REQUEST_FILES, MAX_REQUEST_NOTE
from fsproto.names import check_new_name
from fsproto.qr import drawn

EXAMPLES = """\b
Examples:
  fsclient request                          files go into inbox/, for a week
  fsclient request --note "Your scans, please" --max-files 10 scans
  fsclient request --expires 1d --max-bytes 2G --password --qr
"""


@click.command(epilog=EXAMPLES)
@click.argument("folder", metavar="[FOLDER]", default="inbox")
@click.option(
    "--expires",
    type=LifetimeType(),
    default="7d",
    metavar="TIME",
    help="When it ends: 90s, 15m, 8h, 7d, 2w, or never; default 7d.",
)
@click.option(
    "--max-files",
    type=click.IntRange(1, MAX_REQUEST_FILES),
    metavar="N",
    help="Take N files at most; default: any number.",
)
@click.option(
    "--max-bytes",
    type=SizeType(),
    metavar="SIZE",
    help="Take files of this size together at most: 500K, 20M, 2G.",
)
@click.option("--password", is_flag=True, help="Ask for a password that uploaders must know.")
@click.option("--note", default="", metavar="TEXT", help="Show uploaders this text.")
@click.option("--qr", is_flag=True, help="Draw the URL as a QR code as well.")
@click.pass_obj
def command(
    app: App,
    folder: str,
    *,
    expires: int | None,
    max_files: int | None,
    max_bytes: int | None,
    password: bool,
    note: str,
    qr: bool,
) -> None:
    """Make a URL with which people without an account send you files.

    They open it in a browser, or use 'fsclient drop URL FILE'. The files are sealed there for
    your keys: the server sees neither content nor names. They wait in your inbox until you
    accept them with 'fsclient inbox accept', which puts them into FOLDER (default inbox/) and
    creates it if it is missing. The URL is printed once; keep it, or make another one.

    Anyone with the URL (and the password) can send files, and can sign them with any name.
    'fsclient requests' lists your request links, 'fsclient unrequest' ends one at once. New keys
    ('fsclient keys rotate') end all of them.

    With --password, uploaders must know a password, too; it is asked, or taken from
    FSCLIENT_LINK_PASSWORD. Send it over another channel than the URL.
    """
    place = app.path(folder)
    if place.owner is not None or not place.parts:
        raise UsageError("The folder for the files must be one in your own tree.")
    for name in place.parts:
        check_new_name(name)
    if len(note) > MAX_REQUEST_NOTE:
        raise UsageError(f"A note has at most {MAX_REQUEST_NOTE} characters.")
    if max_bytes == 0:
        raise UsageError("The size for --max-bytes must be greater than zero.")
    secret = app.link_password(new=True) if password else ""
    expires_ms = None if expires is None else now_ms() + expires * 1000
    terms = RequestTerms(place, note, expires_ms, max_files, max_bytes, secret)
    with app.session() as session:
        url = make_request(session, terms)
    request = url.secret.request
    data = {
        "id": request.hex(),
        "url": str(url),
        "folder": str(place),
        "note": note,
        "expires_ms": expires_ms,
        "max_files": max_files,
        "max_bytes": max_bytes,
        "password": password,
    }
    app.ui.result(data, str(url))
    if qr:
        app.ui.draw(drawn(str(url)))
    until = "until you end it" if expires_ms is None else f"until {time_text(expires_ms)}"
    limits = [count_text(max_files, "file")] if max_files else []
    limits += [size_text(max_bytes)] if max_bytes else []
    most = f", at most {' and '.join(limits)}" if limits else ""
    app.ui.say(
        f"It takes files for {place}/ {until}{most}. "
        f"To end it: fsclient unrequest {short_id(request)}"
    )
