"""`fsclient drop`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import click

from fsclient.app import App
from fsclient.commands.options import progress_option
from fsclient.connection.retry import NoRetry, Reconnecting
from fsclient.local_errors import local_errors
from fsclient.requests.http import RequestServer
from fsclient.requests.send import Receipt, RequestSender
from fsclient.requests.sent import SentJournals
from fsclient.requests.source import FileToSend, SealedInput
from fsclient.transfer.local.source import Source
from fsclient.transfer.report.failures import Failures
from fsclient.transfer.report.progress import Progress
from fsclient.ui import binary_stdin
from fskit.text import size_text, time_text
from fsproto.errors import UsageError
from fsproto.limits import MAX_DROP_TEXT
from fsproto.names import check_new_name, drop_parts, for_terminal
from fsproto.requests.description import OpenedRequest, open_request
from fsproto.requests.url import parse_url

STDIN = "-"
EXAMPLES = """\b
Examples:
  fsclient drop 'https://files.example.org/r#…' report.pdf photos
  tar c photos | fsclient drop URL - --name photos.tar
"""


@click.command(epilog=EXAMPLES)
@click.argument("url", metavar="URL")
@click.argument("paths", nargs=-1, required=True, metavar="FILE…")
@click.option("--name", metavar="TEXT", help="Send the file under this name; needed with '-'.")
@click.option("--from", "sender", default="", metavar="TEXT", help="Sign with this name.")
@click.option("--no-resume", is_flag=True, help="Keep nothing of an incomplete file.")
@progress_option
@click.pass_obj
def command(
    app: App,
    url: str,
    paths: tuple[str, ...],
    *,
    name: str | None,
    sender: str,
    no_resume: bool,
    progress_wanted: str,
) -> None:
    """Send files to a person who gave you a request link; no account is needed.

    Put the URL in quotes. Each file is sealed here for the keys that the URL names: the server
    sees neither content nor name. The recipient finds it in the inbox. A folder is sent with the
    files in it; '-' is standard input.

    A receipt is printed for each file. The recipient's client shows the same receipt for the file
    that arrived. After an interruption, give the same command again: large files resume.
    """
    if name is not None and len(paths) > 1:
        raise UsageError("--name is for one file.")
    if STDIN in paths and name is None:
        raise UsageError("Give standard input a name with --name.")
    if len(sender) > MAX_DROP_TEXT:
        raise UsageError(f"A name after --from has at most {MAX_DROP_TEXT} characters.")
    if name is not None:
        name = _checked(name)
    asked = parse_url(url)
    password = app.link_password() if asked.secret.guarded else ""
    keys = asked.secret.keys(password)
    server = RequestServer(
        asked.base, keys, guarded=asked.secret.guarded, timeout_s=app.patience.silence_s
    )
    retry = (
        NoRetry()
        if no_resume
        else Reconnecting(server.reconnect, server.host, app.ui, app.patience)
    )
    failures, receipts = Failures(app.ui), list[Receipt]()
    with closing(server), Progress(app.ui, "send", "sent", progress_wanted) as progress:
        if not server.is_protected:
            app.ui.warn(
                "The connection is not encrypted: others on the network can use up the request "
                "link, though they cannot read what you send."
            )
        opened = open_request(keys, asked.bundle, retry.run(server.description))
        _greet(app, opened)
        sending = RequestSender(server, keys, opened.owner, progress, retry)
        journals = SentJournals(keys, keep=not no_resume)
        with closing(sending):
            for path, shown in _files(paths, name, failures):
                with failures.noted():
                    receipts.append(_send(sending, journals, path, shown, sender))
    _tell(app, receipts, failures)


def _send(
    sending: RequestSender, journals: SentJournals, path: str, name: str, sender: str
) -> Receipt:
    """Send a file or standard input; return its receipt."""
    if path == STDIN:
        with closing(SealedInput(sending.new_drop(), binary_stdin())) as spooled:
            return sending.send(spooled, name, sender, None)
    with closing(Source(path)) as source:
        journal = journals.open(source, name)
        try:
            return sending.send(FileToSend(source), name, sender, journal)
        finally:
            if journal is not None:
                journal.close()


def _greet(app: App, opened: OpenedRequest) -> None:
    body, user = opened.body, opened.owner.body.user
    limits = [f"until {time_text(body.expires_ms)}"] if body.expires_ms else []
    limits += [f"at most {body.max_files} files"] if body.max_files else []
    limits += [f"at most {size_text(body.max_bytes)}"] if body.max_bytes else []
    terms = f" ({', '.join(limits)})" if limits else ""
    note = f": {for_terminal(body.note)}" if body.note else "."
    app.ui.say(f"{user} asks for files{terms}{note}")


def _tell(app: App, receipts: list[Receipt], failures: Failures) -> None:
    data = [
        {
            "name": one.name,
            "size": one.size,
            "id": one.drop.hex(),
            "receipt": one.text,
        }
        for one in receipts
    ]
    lines = [f"{one.text}  {for_terminal(one.name)}" for one in receipts]
    app.ui.result({"sent": data, "left_out": failures.left_out, "failed": failures.data}, lines)
    failures.raise_if_any()


def _files(
    paths: tuple[str, ...], name: str | None, failures: Failures
) -> Iterator[tuple[str, str]]:
    """Yield the files to send, each with its name for the recipient."""
    for path in paths:
        top = name or os.path.basename(os.path.abspath(path))  # noqa: PTH100, PTH119
        if path != STDIN and Path(path).is_dir():
            if name is not None:
                raise UsageError("--name is for one file, not for a folder.")
            yield from _inside(Path(path), top, failures)
            continue
        with failures.noted():
            yield path, _checked(top)


def _inside(folder: Path, name: str, failures: Failures) -> Iterator[tuple[str, str]]:
    """Yield the files in a folder and below; symbolic links are left out."""
    with local_errors(folder):
        entries = sorted(os.scandir(folder), key=lambda one: os.fsencode(one.name))
    for entry in entries:
        shown = f"{name}/{entry.name}"
        with failures.noted():
            if entry.is_symlink():
                failures.skip(entry.path, "symbolic link")
            elif entry.is_dir(follow_symlinks=False):
                yield from _inside(Path(entry.path), shown, failures)
            else:
                yield entry.path, _checked(shown)


def _checked(name: str) -> str:
    parts = drop_parts(name)
    for part in parts:
        check_new_name(part)
    return "/".join(parts)
