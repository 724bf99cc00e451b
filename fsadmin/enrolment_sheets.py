"""Enrolment sheets to print: an HTML file for each user, and one with all sheets.

A sheet contains the secret of the user's one-time passwords. It loads no resources and runs no
scripts. Only the owner of the folder can read it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path

from fsadmin.enrolment import EnrolmentHandout
from fskit.files import make_folders, new_file
from fskit.os_errors import file_error
from fsproto import qr
from fsproto.errors import ExistsError, FsError, UsageError

_GROUPS = re.compile(r"(.{4})(?!$)")
_MAX_TEXT = 200
_STYLE = """
@page { size: A4; margin: 12mm 18mm }
body { font: 10.5pt/1.35 system-ui, sans-serif; color: #000; background: #fff; max-width: 174mm;
  margin: 0 auto }
article { margin: 12mm 0; break-after: page }
article:last-child { break-after: auto }
header { border-bottom: 1px solid #000; padding-bottom: 2mm }
header p { margin: 0; display: flex; justify-content: space-between; gap: 8mm }
h1 { font-size: 18pt; line-height: 1.2; margin: 1mm 0; overflow-wrap: anywhere }
h2 { font-size: 12pt; margin: 4mm 0 1mm; break-after: avoid }
p { margin: 0 0 2mm }
section { break-inside: avoid }
section::after { content: ""; display: block; clear: both }
.code { width: 38mm; height: 38mm; border: 1px solid #000; float: right; margin: 1mm 0 2mm 8mm }
.code svg { width: 100%; height: 100%; display: block }
code { font: 10pt/1.4 ui-monospace, monospace; overflow-wrap: anywhere }
code.typed { letter-spacing: .04em }
pre { font: 9pt/1.4 ui-monospace, monospace; white-space: pre-wrap; word-break: break-all;
  border: 1px solid #000; padding: 2mm 3mm; margin: 2mm 0; overflow: hidden }
footer { margin-top: 5mm; border-top: 1px solid #000; padding-top: 2mm; font-size: 9.5pt }
@media print { body { max-width: none } article { margin: 0 } }
"""
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{sheets}
</body>
</html>
"""
_SHEET = """<article>
<header>
<p><span>{company}</span><span>{date}</span></p>
<h1>Access to the file server for {user}</h1>
<p><span>Server: {server}</span><span>{contact}</span></p>
</header>
<section>
<h2>1. Get fsclient</h2>
<p>{source} It needs Python 3.11 or newer.</p>
</section>
<section>
<div class="code">{code}</div>
<h2>2. One-time passwords</h2>
<p>Scan this code with an authenticator app. It shows a new {digits}-digit password every {period}
seconds, and each works once. If you cannot scan it, type this secret:</p>
<p><code class="typed">{secret}</code></p>
</section>
<section>
<div class="code">{link_code}</div>
<h2>3. Enrol</h2>
<p>Give this command on your computer. It creates your keys, which stay there, and asks for a
password of step 2. The code on the right contains the link, from <code>fs:</code> on. The link is
not secret: it can also be sent to you by mail, to be copied.</p>
<pre>fsclient enroll '{link}'</pre>
</section>
<section>
<h2>4. Keep a way back</h2>
<p>Without these two, a lost computer or phone can cost you your files or your access. The first
stores your keys, sealed under words that only you have. The second prints codes for the day on
which your phone is lost.</p>
<pre>fsclient keys backup
fsclient recovery-codes</pre>
</section>
<section>
<h2>5. First commands</h2>
<pre>fsclient put report.pdf            send a file or a folder
fsclient ls -l                     list your files
fsclient get report.pdf            fetch it
fsclient share reports USER        give another user access to a folder
fsclient --help                    all commands</pre>
</section>
<footer>Until you have enrolled, any reader of this sheet can enrol in your place.
Destroy it when you have enrolled: you do not need it again.{expires}</footer>
</article>"""
_ALL, _ALL_BUT_A_USER = "all.html", "_all.html"
"""The file with all sheets; it gets the second name if a user is called `all`."""


@dataclass(frozen=True)
class Letterhead:
    """What all sheets have in common."""

    server: str
    date: str
    company: str = ""
    contact: str = ""
    """Whom to ask."""
    source: str = ""
    """A sentence on where fsclient comes from."""

    def __post_init__(self) -> None:
        for text in (self.company, self.contact, self.source):
            if not text.isprintable() or len(text) > _MAX_TEXT:
                raise UsageError(
                    f"A text on the sheets has at most {_MAX_TEXT} printable characters."
                )


class SheetFolder:
    """A folder of sheets, which is written completely or not at all."""

    def __init__(self, folder: Path, head: Letterhead) -> None:
        """Take a folder that is missing or empty; `ExistsError` otherwise."""
        self.folder = folder
        self._head = head
        try:
            found = next(folder.iterdir(), None)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _unwritable(folder, error) from None
        if found is not None:
            raise ExistsError(
                f"{folder} is not empty; no user was added.",
                hint="Give the name of a new folder.",
            )

    def write(self, people: Iterable[tuple[EnrolmentHandout, str]]) -> None:
        """Write a sheet for each user, with the account's expiry, and a file with all of them.

        None is written if one fails.
        """
        made: list[Path] = []

        def write_page(name: str, title: str, sheets: str) -> None:
            path = self.folder / name
            made.append(path)
            with new_file(path) as file:
                file.write(page(title, sheets).encode())

        try:
            make_folders(self.folder, 0o700)
            self.folder.chmod(0o700)
            sheets = {person.user: sheet(person, self._head, ends) for person, ends in people}
            for user, one in sheets.items():
                write_page(f"{user}.html", user, one)
            everybody = _ALL_BUT_A_USER if "all" in sheets else _ALL
            write_page(everybody, f"{len(sheets)} sheets", "\n".join(sheets.values()))
        except BaseException as error:
            for path in made:
                path.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise _unwritable(self.folder, error) from None
            raise

    def discard(self) -> None:
        """Delete the written sheets, because no account was created."""
        for path in self.folder.glob("*.html"):
            path.unlink(missing_ok=True)


def page(title: str, sheets: str) -> str:
    """Return sheets as an HTML document."""
    return _PAGE.format(style=_STYLE, title=escape(title), sheets=sheets)


def sheet(person: EnrolmentHandout, head: Letterhead, expires: str = "") -> str:
    """Return a sheet as a part of a page; `expires` is when the account ends, or nothing."""
    return _SHEET.format(
        company=escape(head.company),
        date=escape(head.date),
        server=escape(head.server),
        contact=escape(f"Questions: {head.contact}" if head.contact else ""),
        source=escape(head.source or f"Ask {head.contact or 'the administrator'} for fsclient."),
        user=escape(person.user),
        code=qr.svg(person.uri),
        digits=person.digits,
        period=person.period,
        secret=escape(_GROUPS.sub(r"\1 ", person.secret)),
        link=escape(person.link),
        link_code=qr.svg(person.link),
        expires=f" Your account ends on {escape(expires)}." if expires else "",
    )


def _unwritable(folder: Path, error: OSError) -> FsError:
    return file_error(f"The sheets cannot be written to {folder}", error, end="; no user was added")
