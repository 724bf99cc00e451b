"""Enrolment sheets to print: one HTML file for each user.

A sheet contains the secret of the user's one-time passwords. It loads no resources and runs no
scripts. Only the owner of the folder can read it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from pathlib import Path

from fsadmin.enrolment import EnrolmentHandout
from fskit.files import make_folders, new_file
from fskit.os_errors import file_error
from fsproto import qr
from fsproto.errors import ExistsError, FsError

_GROUPS = re.compile(r"(.{4})(?!$)")
_STYLE = """
@page { size: A4; margin: 18mm }
body { font: 12pt/1.45 system-ui, sans-serif; color: #000; background: #fff; max-width: 174mm;
  margin: 12mm auto }
h1 { font-size: 22pt; margin: 0 0 6mm }
h2 { font-size: 13pt; margin: 7mm 0 1mm; break-after: avoid }
section { break-inside: avoid }
.code { width: 62mm; height: 62mm; border: 1px solid #000; float: right; margin: 0 0 4mm 8mm }
.code svg { width: 100%; height: 100%; display: block }
code { font: 11pt/1.5 ui-monospace, monospace; overflow-wrap: anywhere }
code.typed { letter-spacing: .04em }
pre { font: 9.5pt/1.4 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere;
  border: 1px solid #000; padding: 3mm; margin: 2mm 0 }
footer { margin-top: 9mm; border-top: 1px solid #000; padding-top: 2mm; font-size: 10pt;
  clear: both }
@media print { body { margin: 0; max-width: none } }
"""
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="referrer" content="no-referrer">
<title>{user}</title>
<style>{style}</style>
</head>
<body>
<h1>{user}</h1>
<section>
<div class="code">{code}</div>
<h2>1. One-time passwords</h2>
<p>Scan this code with an authenticator app. It shows a new {digits}-digit password every {period}
seconds, and each works once. Where nothing can be scanned, type this secret:</p>
<p><code class="typed">{secret}</code></p>
</section>
<section>
<h2>2. Enrol</h2>
<p>Install <code>fsclient</code> on your machine, and give this command there. Your keys are made on
your machine and stay there. It asks for a password of step 1.</p>
<pre>fsclient enroll '{link}'</pre>
</section>
<section>
<h2>3. Keep a way back</h2>
<p>So that a lost machine is not the end of your files, have your keys kept, sealed under words that
only you have. And have recovery codes for the day on which your phone is lost.</p>
<pre>fsclient keys backup
fsclient recovery-codes</pre>
</section>
<footer>A person who reads this sheet before you have enrolled can enrol in your place.
Destroy it when you have; what was scanned or typed is not needed again.{expires}</footer>
</body>
</html>
"""


class SheetFolder:
    """A folder of sheets, which is written completely or not at all."""

    def __init__(self, folder: Path) -> None:
        """Take a folder that is missing or empty; `ExistsError` otherwise."""
        self.folder = folder
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
        """Write a sheet for each user, with the account's expiry; none if one fails."""
        made: list[Path] = []
        try:
            make_folders(self.folder, 0o700)
            self.folder.chmod(0o700)
            for person, expires in people:
                path = self.folder / f"{person.user}.html"
                made.append(path)
                with new_file(path) as file:
                    file.write(sheet(person, expires).encode())
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


def sheet(person: EnrolmentHandout, expires: str = "") -> str:
    """Return a sheet as HTML; `expires` is when the account ends, or nothing."""
    return _PAGE.format(
        style=_STYLE,
        user=escape(person.user),
        code=qr.svg(person.uri),
        digits=person.digits,
        period=person.period,
        secret=escape(_GROUPS.sub(r"\1 ", person.secret)),
        link=escape(person.link),
        expires=f" Your account ends on {escape(expires)}." if expires else "",
    )


def _unwritable(folder: Path, error: OSError) -> FsError:
    return file_error(f"The sheets cannot be written to {folder}", error, end="; no user was added")
