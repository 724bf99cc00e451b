"""The files of a profile that commands replace: the keys, their rotation, and the session."""

from __future__ import annotations

from pathlib import Path

from fsclient.profile_errors import profile_errors
from fskit import files
from fsproto.errors import NotFoundError

KEYFILE = "identity.key"


class ProfileFiles:
    """The key files and the session of one profile; `fsclient.profile` has the rest."""

    def __init__(self, folder: Path) -> None:
        """Take the profile's folder; nothing is read or written yet."""
        self.folder = folder

    @property
    def keyfile_path(self) -> Path:
        """The file with the sealed identity."""
        return self.folder / KEYFILE

    def keyfile(self) -> bytes:
        """Return the sealed identity."""
        return self._read(KEYFILE)

    def replace_keyfile(self, keyfile: bytes) -> None:
        """Store the same keys under another passphrase."""
        write_private(self.keyfile_path, keyfile)

    def next_keyfile(self) -> bytes | None:
        """Return the sealed identity of an unfinished key rotation, if there is one."""
        try:
            return self._read("identity.next")
        except NotFoundError:
            return None

    def keep_next_keyfile(self, keyfile: bytes) -> None:
        """Store the keys that are about to replace the present ones."""
        write_private(self.folder / "identity.next", keyfile)

    def settle_keyfile(self, *, took_next: bool) -> None:
        """Keep the identity that the server has, and remove the other one."""
        following = self.folder / "identity.next"
        with profile_errors(following):
            if took_next:
                following.replace(self.keyfile_path)
            else:
                following.unlink(missing_ok=True)

    def note_renewal(self, fingerprint: str) -> None:
        """Note that the whole tree is to take new keys, under an identity of this fingerprint."""
        write_private(self.folder / "renewal", fingerprint.encode())

    def is_renewing(self, fingerprint: str) -> bool:
        """Return whether the tree has not taken all its new keys yet, under this identity."""
        try:
            return self._read("renewal") == fingerprint.encode()
        except NotFoundError:
            return False

    def end_renewal(self) -> None:
        """Note that the tree has taken its new keys."""
        self._remove("renewal")

    def ticket(self) -> bytes | None:
        """Return the ticket of the running session, if there is one."""
        try:
            return bytes.fromhex(self._read("session").decode("ascii").split()[0])
        except (NotFoundError, ValueError, IndexError):
            return None

    def session_ends_ms(self) -> int | None:
        """Return the end of the session as stated at login, in milliseconds since 1970."""
        try:
            return int(self._read("session").decode("ascii").split()[1])
        except (NotFoundError, ValueError, IndexError):
            return None

    def keep_ticket(self, ticket: bytes, expires_ms: int) -> None:
        """Store a session for later commands."""
        write_private(self.folder / "session", f"{ticket.hex()} {expires_ms}\n".encode())

    def drop_ticket(self, ended: bytes | None = None) -> None:
        """Remove the stored session; with `ended`, only if that is still the stored ticket."""
        if ended is None or self.ticket() == ended:
            self._remove("session")

    def _read(self, name: str) -> bytes:
        path = self.folder / name
        with profile_errors(path):
            return path.read_bytes()

    def _remove(self, name: str) -> None:
        path = self.folder / name
        with profile_errors(path):
            path.unlink(missing_ok=True)


def make_private_folder(path: Path) -> None:
    """Create a folder that only the user can open, and the missing folders above it."""
    for folder in reversed([path, *path.parents]):
        if not (folder.is_dir() if folder == path else folder.exists()):
            folder.mkdir(mode=0o700, exist_ok=True)
    path.chmod(0o700)


def write_private(path: Path, data: bytes) -> None:
    """Write a file (0600) that is whole or not there."""
    with profile_errors(path):
        files.write_private(path, data)
