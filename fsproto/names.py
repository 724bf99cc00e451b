"""Valid names, and the syntax of paths: `reports/q3.pdf`, `alice:reports/q3.pdf`.

Names come from keyboards, disks and other people. All of them pass `clean_name` before they are
used and `for_terminal` before they are shown.
"""

from __future__ import annotations

import re
import unicodedata
from shlex import quote
from typing import NamedTuple

from fsproto.errors import InvalidNameError, RemoteProtocolError
from fsproto.limits import MAX_DROP_NAME, MAX_DROP_PARTS, MAX_NAME_BYTES, MAX_PATH_PARTS

_QUOTED = 80
_USER = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_OWNER = re.compile(r"([^/:]*):(.*)", re.DOTALL)


def is_user(name: str) -> bool:
    """Return whether `name` is a valid name of a user or a group."""
    return _USER.fullmatch(name) is not None


def clean_user(name: str) -> str:
    """Return `name` if it is a valid user name; `InvalidNameError` otherwise."""
    return _cleaned(name, "user")


def clean_group(name: str) -> str:
    """Return `name` if it is a valid group name; the rules are those for user names."""
    return _cleaned(name, "group")


def _cleaned(name: str, what: str) -> str:
    if not is_user(name):
        raise InvalidNameError(
            f"{_quoted(name)} cannot name a {what}.",
            hint="Use 1 to 64 of a-z, 0-9, '.', '_' and '-', a letter or digit at both ends.",
        )
    return name


def canonical_name(name: str) -> str:
    """Return a name or path in NFC, the form in which names are stored and compared."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def clean_name(name: str) -> str:
    """Return `name` in NFC if it can name a file or folder; `InvalidNameError` otherwise.

    Refused are the empty name, `.` and `..`, `/`, control characters (they could move a cursor
    or end a C string), lone surrogates, and more than 255 bytes of UTF-8.
    """
    given, name = name, canonical_name(name)
    if name in ("", ".", ".."):
        raise InvalidNameError(f"{_quoted(given)} cannot name a file or folder.")
    if "/" in name or not (
        _is_plain_ascii(name)
        or all(unicodedata.category(c) not in ("Cc", "Cs", "Zl", "Zp") for c in name)
    ):
        raise InvalidNameError(
            f"{_quoted(given)} has a '/', control or undecodable character in it."
        )
    if len(name.encode()) > MAX_NAME_BYTES:
        raise InvalidNameError(f"{_quoted(given)} is longer than {MAX_NAME_BYTES} bytes of UTF-8.")
    return name


def check_new_name(name: str) -> str:
    """Return `name`, from `clean_name`, if it can be given to a file or folder now.

    `InvalidNameError` if a code point in it is not assigned in this Python's version of Unicode:
    a later version may put such a name into another normal form (Unicode Standard Annex 15,
    section 3), and two clients would then not agree about the name.
    """
    if not is_assigned(name):
        raise InvalidNameError(
            f"{_quoted(name)} has a character in it that Unicode {unicodedata.unidata_version} "
            "does not have."
        )
    return name


def is_assigned(name: str) -> bool:
    """Return whether this Python's version of Unicode has all code points of a name.

    Only then is the normal form of the name the same in all later versions.
    """
    return _is_plain_ascii(name) or all(unicodedata.category(c) != "Cn" for c in name)


def check_received_name(name: str) -> None:
    """Raise `RemoteProtocolError` unless `name`, which another person chose, can name a file."""
    try:
        normal = clean_name(name)
    except InvalidNameError as error:
        raise RemoteProtocolError(f"A file or folder has an invalid name: {error}") from None
    # The writer's version of Unicode may be a later one, with other normal forms of new characters.
    if normal != name and is_assigned(name):
        raise RemoteProtocolError("A file or folder has a name outside its normal form.")


def drop_parts(name: str) -> tuple[str, ...]:
    """Return the parts of a drop's name; `InvalidNameError` for an invalid name.

    It is one name, or several joined by `/`: 1 to 32 parts, at most 1,024 bytes of UTF-8 in total.
    No part is empty, so the name neither starts nor ends with a `/`.
    """
    parts = tuple(clean_name(part) for part in name.split("/"))
    if len(parts) > MAX_DROP_PARTS:
        raise InvalidNameError(f"{_quoted(name)} lies in more than {MAX_DROP_PARTS - 1} folders.")
    if len("/".join(parts).encode()) > MAX_DROP_NAME:
        raise InvalidNameError(f"{_quoted(name)} is longer than {MAX_DROP_NAME} bytes of UTF-8.")
    return parts


def _quoted(name: str) -> str:
    """Return a name in quotes for an error message, shortened if it is long."""
    return f"'{for_terminal(name[:_QUOTED])}{'…' if len(name) > _QUOTED else ''}'"


def for_terminal(text: str) -> str:
    """Return `text` with control characters and direction marks escaped."""
    if _is_plain_ascii(text):
        return text
    return "".join(c if _is_plain(c) else f"\\u{ord(c):04x}" for c in text)


def _is_plain_ascii(text: str) -> bool:
    """Return whether `text` is printable ASCII: a fast check for the most common case."""
    return text.isascii() and text.isprintable()


def _is_plain(c: str) -> bool:
    # Cf holds the bidirectional overrides that make `exe.txt` out of `txt.exe`; the soft hyphen
    # and the joiners of emoji and Indic scripts are harmless.
    category = unicodedata.category(c)
    return category not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") or c in "\u00ad\u200c\u200d"


class RemotePath(NamedTuple):
    """A path in a user's tree: `owner` (None: the user's own tree) and names from the root."""

    owner: str | None
    parts: tuple[str, ...]
    names_folder: bool = False
    """The path was written with a final `/` or `.`, so it can only mean a folder."""

    @property
    def name(self) -> str:
        """The last name; the empty string for a root."""
        return self.parts[-1] if self.parts else ""

    @property
    def parent(self) -> RemotePath:
        """The parent folder; a root is its own parent."""
        return RemotePath(self.owner, self.parts[:-1], names_folder=True)

    def child(self, name: str) -> RemotePath:
        """Return the path of `name` in this folder."""
        return RemotePath(self.owner, (*self.parts, name))

    def __str__(self) -> str:
        path = "/".join(self.parts)
        if self.owner is not None:
            return for_terminal(f"{self.owner}:{path}")
        # Without the mark, the user's own `a:b` would look like `b` in the tree of a user `a`.
        marked = f"./{path}" if self.parts and ":" in self.parts[0] else path
        return for_terminal(marked or "/")

    @property
    def argument(self) -> str:
        """The path as one word of a shell command, for commands that a message shows."""
        text = str(self)
        return quote(f"./{text}" if text.startswith("-") else text)


def parse_path(text: str, base: RemotePath | None = None) -> RemotePath:
    """Parse a typed path; `InvalidNameError` if a part is not a valid name.

    A leading `/` is the root of the user's tree. A name with a `:` in its first part is written
    `./a:b`. The empty string is refused: it usually comes from an unset shell variable, and must
    not mean the whole tree.

    `base` is the current folder of an interactive shell, from which other paths are taken. Only
    there, `..` is the folder above; above a root is the root itself.
    """
    if not text:
        raise InvalidNameError(
            "An empty path names nothing.", hint="'/' is the top of your tree, '.' a local folder."
        )
    owner, parts = None, list[str]()
    if match := _OWNER.fullmatch(text):
        owner, text = clean_user(match[1]), match[2]
    elif base is not None and not text.startswith("/"):
        owner, parts = base.owner, list(base.parts)
    pieces = text.split("/")
    for piece in pieces:
        if piece == ".." and base is not None:
            parts = parts[:-1]
        elif piece not in ("", "."):
            parts.append(clean_name(piece))
    if len(parts) > MAX_PATH_PARTS:
        raise InvalidNameError(f"That path has more than {MAX_PATH_PARTS} parts.")
    return RemotePath(owner, tuple(parts), names_folder=pieces[-1] in ("", ".", ".."))
