"""The profiles on disk: account, keys, session and seen versions; one folder for each profile.

    profiles/NAME/profile.json   user, address, host key, root of the tree (nothing secret); the
                                 program that carries connections, if one is set
    profiles/NAME/identity.key   the private keys, under a passphrase where one was set
    profiles/NAME/session        the ticket of the running session
    profiles/NAME/login.lock     held during a login (see `session.one_login`)
    profiles/NAME/transfers/     the progress of uploads (see `transfer.journal`)
    profiles/NAME/memory.db      versions seen, against rollback (see `trust.seen`)
    profiles/NAME/people.db      other people's keys (see `trust.store`)

Files have mode 0600 in folders of mode 0700. On Windows, the rights of the user's profile folder
protect them.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from fsclient.local_errors import local_errors
from fskit import files
from fsproto.errors import ExistsError, IntegrityError, NotFoundError, UsageError
from fsproto.link import Address, EnrollLink
from fsproto.types import NodeId
from fsproto.values import Value


class AccountFacts(Value, frozen=True):
    """The account and server of a profile."""

    link: EnrollLink
    root: NodeId


class PendingFiles(NamedTuple):
    """Files of an incomplete enrolment."""

    memory: Path
    people: Path


class Profile:
    """One profile's folder."""

    def __init__(self, home: Path, name: str) -> None:
        """Use the client's folder `home`; nothing is read or written yet."""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
            raise UsageError(f"'{name}' cannot name a profile; use letters, digits, '.', '-', '_'.")
        self.name = name
        self.folder = home / "profiles" / name
        self._pending = home / "profiles" / f".{name}.enrolling"

    @property
    def memory(self) -> Path:
        """The database of seen versions."""
        return self.folder / "memory.db"

    @property
    def people(self) -> Path:
        """The database of other people's keys."""
        return self.folder / "people.db"

    @property
    def login_lock(self) -> Path:
        """The file that a login locks."""
        return self.folder / "login.lock"

    def exists(self) -> bool:
        """Return whether this profile is enrolled."""
        return (self.folder / "profile.json").exists()

    def facts(self) -> AccountFacts:
        """Return account and server; `NotFoundError` if the profile is not enrolled."""
        try:
            raw = json.loads(self._read("profile.json"))
            address = Address(raw["host"], raw["port"])
            link = EnrollLink(raw["user"], address, raw["host_key"])
            return AccountFacts(link, NodeId(bytes.fromhex(raw["root"])))
        except NotFoundError:
            raise NotFoundError(
                f"Nobody has enrolled here yet (profile '{self.name}').",
                hint="Ask your administrator for a link, then: fsclient enroll LINK",
            ) from None
        except (ValueError, KeyError, TypeError):
            raise IntegrityError(
                f"The local '{self.folder / 'profile.json'}' is damaged.",
                hint="Put it back from a copy.",
            ) from None

    def expect(self, link: EnrollLink) -> None:
        """Store a new address and host key of the server."""
        raw = json.loads(self._read("profile.json"))
        host, port = link.address.host, link.address.port
        raw |= {"host": host, "port": port, "host_key": link.host_key}
        write_private(self.folder / "profile.json", json.dumps(raw, indent=1).encode())

    def via(self) -> str | None:
        """Return the program that carries connections to the server, if one is set."""
        try:
            kept = json.loads(self._read("profile.json"))["via"]
        except (NotFoundError, ValueError, KeyError, TypeError):
            return None
        return kept if isinstance(kept, str) else None

    def keep_via(self, command: str) -> None:
        """Store the program that carries connections to the server; an empty string removes it."""
        raw = json.loads(self._read("profile.json")) | {"via": command}
        if not command:
            del raw["via"]
        write_private(self.folder / "profile.json", json.dumps(raw, indent=1).encode())

    def keyfile(self) -> bytes:
        """Return the sealed identity."""
        return self._read("identity.key")

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
        with local_errors(following):
            if took_next:
                following.replace(self.folder / "identity.key")
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
        (self.folder / "renewal").unlink(missing_ok=True)

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
            (self.folder / "session").unlink(missing_ok=True)

    # --- enrolment: the keys are on disk before the server receives them

    def pending_keyfile(self, link: EnrollLink) -> bytes | None:
        """Return the keys of an interrupted enrolment with the same link."""
        try:
            if (self._pending / "link").read_text() == str(link):
                return (self._pending / "identity.key").read_bytes()
        except (OSError, UnicodeDecodeError):
            pass
        return None

    @property
    def pending(self) -> PendingFiles:
        """The files of the enrolment until it is complete."""
        return PendingFiles(self._pending / "memory.db", self._pending / "people.db")

    def begin(self, link: EnrollLink, keyfile: bytes) -> None:
        """Write the new keys to disk; `ExistsError` if the profile is in use already."""
        self.check_free()
        with local_errors(self._pending):
            make_private_folder(self._pending)
        write_private(self._pending / "link", str(link).encode())
        write_private(self._pending / "identity.key", keyfile)

    def check_free(self) -> None:
        """Raise `ExistsError` if the profile is in use already."""
        if self.exists():
            user = self.facts().link.user
            raise ExistsError(
                f"The profile '{self.name}' belongs to {user} already.",
                hint="Choose another name with --profile NAME.",
            )

    def complete(self, facts: AccountFacts) -> None:
        """Turn the pending files into the profile, after the server has accepted the keys."""
        write_private(self._pending / "profile.json", _written(facts))
        with local_errors(self.folder):
            (self._pending / "link").unlink()
            self._pending.replace(self.folder)

    def abandon(self) -> None:
        """Remove keys that the server has refused."""
        import shutil

        shutil.rmtree(self._pending, ignore_errors=True)

    # --- keys from another machine or a recovery

    @contextlib.contextmanager
    def arriving(self, facts: AccountFacts, keyfile: bytes) -> Iterator[Path]:
        """Yield a folder that becomes this profile at the end of the block; a failure removes it.

        `ExistsError` if the profile is in use already.
        """
        import shutil
        import tempfile

        self.check_free()
        above = self.folder.parent
        with local_errors(above):
            make_private_folder(above)
            folder = Path(tempfile.mkdtemp(prefix=f".{self.name}.arriving-", dir=above))
        try:
            write_private(folder / "identity.key", keyfile)
            write_private(folder / "profile.json", _written(facts))
            yield folder
            self.check_free()
            with local_errors(self.folder):
                folder.replace(self.folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _read(self, name: str) -> bytes:
        path = self.folder / name
        with local_errors(path):
            return path.read_bytes()


def _written(facts: AccountFacts) -> bytes:
    link = facts.link
    raw = {
        "user": link.user,
        "host": link.address.host,
        "port": link.address.port,
        "host_key": link.host_key,
        "root": facts.root.hex(),
    }
    return json.dumps(raw, indent=1).encode()


def default_home() -> Path:
    """Return the default folder for the client's files."""
    import platformdirs

    return Path(platformdirs.user_config_dir("fsclient", appauthor=False, roaming=True))


def make_private_folder(path: Path) -> None:
    """Create a folder that only the user can open, and the missing folders above it."""
    for folder in reversed([path, *path.parents]):
        if not folder.exists():
            folder.mkdir(mode=0o700, exist_ok=True)
    path.chmod(0o700)


def write_private(path: Path, data: bytes) -> None:
    """Write a file (0600) that is whole or not there."""
    with local_errors(path):
        files.write_private(path, data)
