"""`fsclient get URL` and `fsclient ls URL`: what a public link opens, without an account."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from fsclient.app import App
from fsclient.commands.options import Choices
from fsclient.links.receive import STDOUT, LinkGet, OpenLink
from fsclient.transfer.report.failures import Failures
from fsclient.transfer.report.progress import Progress
from fskit.text import binary_size_text, count_text, size_text, time_column
from fsproto.errors import UsageError
from fsproto.links.description import Description
from fsproto.links.url import parse_url
from fsproto.links.url_grammar import is_url
from fsproto.sealed.manifest import NodeKind


def _link(app: App, text: str, *, resume: bool = True) -> OpenLink:
    url = parse_url(text)
    password = app.link_password() if url.secret.guarded else ""
    return OpenLink(url, password, app.ui, app.patience, resume=resume)


def get_link(
    app: App,
    paths: tuple[str, ...],
    choices: Choices,
    *,
    update: bool,
    resume: bool,
    progress_wanted: str,
    others: bool,
) -> None:
    """Get what a link opens; `others`: options were given that do not apply to links."""
    url, *rest = paths
    if len(rest) > 1 or not is_url(url) or any(map(is_url, rest)):
        raise UsageError("Get one link at a time: fsclient get URL [LOCAL]")
    if others:
        raise UsageError("--version, --jobs and --bwlimit cannot be used with a link.")
    target = rest[0] if rest else "."
    stdout = target == STDOUT and not choices.dry_run
    if stdout:
        app.content_goes_to_stdout()
    failures, actions = Failures(app.ui), choices.actions(app.ui)
    link = _link(app, url, resume=resume)
    with closing(link.server), Progress(app.ui, "get", "got", progress_wanted) as progress:
        get = LinkGet(link, progress, failures, actions, choices.filters, update=update)
        where = get.to_stdout() if stdout else get.run(target)
    choices.tell(app.ui, progress, actions, failures, where)


def list_link(app: App, paths: tuple[str, ...], *, long: bool, human: bool) -> None:
    """List what a link opens."""
    if len(paths) != 1:
        raise UsageError("List one link at a time: fsclient ls URL")
    link = _link(app, paths[0])
    with closing(link.server):
        body = link.describe()
    app.ui.result(_data(body), list(_lines(body, long=long, human=human)))
    count = count_text(len(body.files), "file")
    note = f" The sender's note: {body.note}" if body.note else ""
    app.ui.say(f"'{body.name}': {count}, {size_text(body.size)}.{note}")


def _data(body: Description) -> list[dict[str, object]]:
    files = [
        _entry(body, file.path, "file", file.size, file.mtime_ns, executable=bool(file.mode))
        for file in body.files
    ]
    return files + [_entry(body, path, "folder", 0, None) for path in body.folders]


def _entry(
    body: Description,
    path: str,
    kind: str,
    size: int,
    mtime_ns: int | None,
    *,
    executable: bool = False,
) -> dict[str, object]:
    return {
        "name": path.rpartition("/")[2],
        "path": path if body.kind is NodeKind.FILE else f"{body.name}/{path}",
        "kind": kind,
        "size": size,
        "mtime_ns": mtime_ns,
        "executable": executable,
        "version": None,
        "author": None,
        "dropped": None,
        "refused": None,
        "note": body.note,
    }


def _lines(body: Description, *, long: bool, human: bool) -> Iterator[str]:
    top = "" if body.kind is NodeKind.FILE else f"{body.name}/"
    sizes = [binary_size_text(file.size) if human else str(file.size) for file in body.files]
    width = max(map(len, sizes), default=0)
    for file, size in zip(body.files, sizes, strict=True):
        facts = f"{size:>{width}}  {time_column(file.mtime_ns / 1e6)}  " if long else ""
        yield f"{facts}{top}{file.path}"
    blank = " " * (width + 20) if long else ""
    for path in body.folders:
        yield f"{blank}{top}{path}/"
    if body.kind is NodeKind.FOLDER and not body.files and not body.folders:
        yield f"{blank}{top}"
