"""What the client keeps on disk: who one is, where, and what one has seen; one folder a profile.

    profiles/NAME/profile.json   user, address, host key, root of the tree (nothing secret); what
                                 carries connections, where something does
    profiles/NAME/identity.key   the private keys, under a passphrase where one was set
    profiles/NAME/session        the ticket of the running session
    profiles/NAME/transfers/     how far uploads have come (see `transfer.journal`)
    profiles/NAME/memory.db      versions seen, against rollback (see `trust.memory`)
    profiles/NAME/people.db      other people's keys (see `trust.store`)

Files are 0600 in folders 0700; Windows keeps them to the user by the profile folder's own rights.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from fsclient.local_errors import local_errors
from fsproto.errors import ExistsError, IntegrityError, NotFoundError, UsageError
from fsproto.link import Address, EnrollLink
from fsproto.types import NodeId
from fsproto.values import Value


class AccountFacts(Value, frozen=True):
    """What a profile knows about account and server."""

    link: EnrollLink
    root: NodeId


class PendingFiles(NamedTuple):
    """Files of an enrolment that is not complete."""

    memory: Path
    people: Path


class Profile:
    """One profile's folder."""

    def __init__(self, home: Path, name: str) -> None:
        """Take the client's home and the profile's name; touches nothing yet."""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
            raise UsageError(f"'{name}' cannot name a profile; use letters, digits, '.', '-', '_'.")
        self.name = name
        self.folder = home / "profiles" / name
        self._pending = home / "profiles" / f".{name}.enrolling"

    @property
    def memory(self) -> Path:
        """Where the versions seen are kept."""
        return self.folder / "memory.db"

    @property
    def people(self) -> Path:
        """Where other people's keys are kept."""
        return self.folder / "people.db"

    def exists(self) -> bool:
        """Tell whether somebody was enrolled under this name."""
        return (self.folder / "profile.json").exists()

    def facts(self) -> AccountFacts:
        """Return account and server; `NotFoundError` where nobody has enrolled yet."""
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
        """Expect the server there, with that host key, from now on."""
        raw = json.loads(self._read("profile.json"))
        host, port = link.address.host, link.address.port
        raw |= {"host": host, "port": port, "host_key": link.host_key}
        write_private(self.folder / "profile.json", json.dumps(raw, indent=1).encode())

    def via(self) -> str | None:
        """Return the program that carries connections to the server, if one is kept."""
        try:
            kept = json.loads(self._read("profile.json"))["via"]
        except (NotFoundError, ValueError, KeyError, TypeError):
            return None
        return kept if isinstance(kept, str) else None

    def keep_via(self, command: str) -> None:
        """Have a program carry connections to the server from now on; none if it is empty."""
        raw = json.loads(self._read("profile.json")) | {"via": command}
        if not command:
            del raw["via"]
        write_private(self.folder / "profile.json", json.dumps(raw, indent=1).encode())

    def keyfile(self) -> bytes:
        """Return the sealed identity."""
        return self._read("identity.key")

    def next_keyfile(self) -> bytes | None:
        """Return the sealed identity that was to replace it, if it is not known whether it has."""
        try:
            return self._read("identity.next")
        except NotFoundError:
            return None

    def keep_next_keyfile(self, keyfile: bytes) -> None:
        """Keep keys that are about to replace those there are."""
        write_private(self.folder / "identity.next", keyfile)

    def settle_keyfile(self, *, took_next: bool) -> None:
        """Keep the one of the two that the server has."""
        following = self.folder / "identity.next"
        with local_errors(following):
            if took_next:
                following.replace(self.folder / "identity.key")
            else:
                following.unlink(missing_ok=True)

    def ticket(self) -> bytes | None:
        """Return the ticket of the running session, if there is one."""
        try:
            return bytes.fromhex(self._read("session").decode("ascii").split()[0])
        except (NotFoundError, ValueError, IndexError):
            return None

    def session_ends_ms(self) -> int | None:
        """Return when the session ends, as the server said at its beginning."""
        try:
            return int(self._read("session").decode("ascii").split()[1])
        except (NotFoundError, ValueError, IndexError):
            return None

    def keep_ticket(self, ticket: bytes, expires_ms: int) -> None:
        """Keep a session for the commands to come."""
        write_private(self.folder / "session", f"{ticket.hex()} {expires_ms}\n".encode())

    def drop_ticket(self) -> None:
        """Forget the session."""
        (self.folder / "session").unlink(missing_ok=True)

    # --- enrolling: the keys are on disk before the server hears of them

    def pending_keyfile(self, link: EnrollLink) -> bytes | None:
        """Return the keys of an enrolment by the same link that was interrupted."""
        try:
            if (self._pending / "link").read_text() == str(link):
                return (self._pending / "identity.key").read_bytes()
        except (OSError, UnicodeDecodeError):
            pass
        return None

    @property
    def pending(self) -> PendingFiles:
        """Where things are kept until the enrolment is complete."""
        return PendingFiles(self._pending / "memory.db", self._pending / "people.db")

    def begin(self, link: EnrollLink, keyfile: bytes) -> None:
        """Put the new keys on disk; `ExistsError` where somebody has enrolled already."""
        self.check_free()
        with local_errors(self._pending):
            make_private_folder(self._pending)
        write_private(self._pending / "link", str(link).encode())
        write_private(self._pending / "identity.key", keyfile)

    def check_free(self) -> None:
        """Raise `ExistsError` where somebody has enrolled already."""
        if self.exists():
            user = self.facts().link.user
            raise ExistsError(
                f"The profile '{self.name}' belongs to {user} already.",
                hint="Choose another name with --profile NAME.",
            )

    def complete(self, facts: AccountFacts) -> None:
        """Make the profile real, once the server has taken the keys."""
        write_private(self._pending / "profile.json", _written(facts))
        with local_errors(self.folder):
            (self._pending / "link").unlink()
            self._pending.replace(self.folder)

    def abandon(self) -> None:
        """Forget keys that the server has refused."""
        import shutil

        shutil.rmtree(self._pending, ignore_errors=True)

    # --- keys that come from elsewhere

    @contextlib.contextmanager
    def arriving(self, facts: AccountFacts, keyfile: bytes) -> Iterator[Path]:
        """Give a folder that becomes this profile at the end of the block, or disappears.

        `ExistsError` where somebody has enrolled already.
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
    """Return where the client's home is when nothing says otherwise."""
    import platformdirs

    return Path(platformdirs.user_config_dir("fsclient", appauthor=False, roaming=True))


def make_private_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing, that nobody else can look into."""
    for folder in reversed([path, *path.parents]):
        if not folder.exists():
            folder.mkdir(mode=0o700, exist_ok=True)
    path.chmod(0o700)


def write_private(path: Path, data: bytes) -> None:
    """Write a file (0600) that is whole or not there."""
    import tempfile

    with local_errors(path):
        fd, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        temporary = Path(name)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
