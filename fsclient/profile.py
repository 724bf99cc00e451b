"""The profiles on disk: account, keys, session and seen versions; one folder for each profile.

    profiles/NAME/profile.json   user, address, host key, root of the tree (nothing secret); the
                                 program that carries connections, if one is set
    profiles/NAME/identity.key   the private keys, under a passphrase where one was set
    profiles/NAME/session        the ticket of the running session
    profiles/NAME/login.lock     held during a login (see `session.one_login`)
    profiles/NAME/use.lock       held while a program uses the profile (see `profile_use`)
    profiles/NAME/warnings       of a completion, for the next command (see `profile_warnings`)
    profiles/NAME/transfers/     the progress of uploads (see `transfer.journal`)
    profiles/NAME/sync/          what synchronised folders have in common (see `transfer.pairs`)
    profiles/NAME/listings/      verified listings (see `tree.stored_listings`)
    profiles/NAME/trash/         local files that a sync replaced (see `transfer.local.trash`)
    profiles/NAME/memory.db      versions seen, against rollback (see `trust.seen`)
    profiles/NAME/people.db      other people's keys (see `trust.store`)
    default-profile              the name of the profile that is used without --profile

Files have mode 0600 in folders of mode 0700. On Windows, the rights of the user's profile folder
protect them.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from fsclient.profile_errors import profile_errors
from fsclient.profile_files import KEYFILE, ProfileFiles, make_private_folder, write_private
from fskit.json_data import parsed
from fsproto.errors import ExistsError, IntegrityError, NotFoundError, UsageError
from fsproto.limits import MAX_DEVICE_NAME
from fsproto.link import Address, EnrollLink
from fsproto.names import for_terminal
from fsproto.types import NodeId
from fsproto.values import Value

ENROLLING = ".enrolling"
"""The end of the name of the folder of an incomplete enrolment."""


class AccountFacts(Value, frozen=True):
    """The account and server of a profile."""

    link: EnrollLink
    root: NodeId


class PendingFiles(NamedTuple):
    """Files of an incomplete enrolment."""

    memory: Path
    people: Path


class Profile(ProfileFiles):
    """One profile's folder."""

    def __init__(self, home: Path, name: str, *, replaces: bool = False) -> None:
        """Use the client's folder `home`; nothing is read or written yet.

        With `replaces`, a first login sets a profile of this name aside.
        """
        if not is_profile_name(name):
            raise UsageError(
                f"'{for_terminal(name)}' cannot name a profile; use letters, digits, '.', '-', '_'."
            )
        super().__init__(home / "profiles" / name)
        self.name = name
        self.home = home
        self.replaces = replaces
        self.enrolling = home / "profiles" / f".{name}{ENROLLING}"
        """The folder of an incomplete enrolment."""

    @property
    def memory(self) -> Path:
        """The database of seen versions."""
        return self.folder / "memory.db"

    @property
    def transfers(self) -> Path:
        """The folder with the progress of uploads."""
        return self.folder / "transfers"

    @property
    def pairs(self) -> Path:
        """The folder with what synchronised folders have in common."""
        return self.folder / "sync"

    @property
    def listings(self) -> Path:
        """The folder with verified listings of large folders."""
        return self.folder / "listings"

    @property
    def trash(self) -> Path:
        """The folder to which `sync` moves local files."""
        return self.folder / "trash"

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
        file = self.folder / "profile.json"
        with profile_errors(file):
            return file.exists()

    def facts(self) -> AccountFacts:
        """Return account and server; `NotFoundError` if the profile is not enrolled."""
        try:
            raw = self._raw()
        except NotFoundError:
            raise NotFoundError(
                f"There is no enrolment here yet (profile '{self.name}').",
                hint="Ask your administrator for a link, then: fsclient enroll LINK",
            ) from None
        try:
            address = Address(raw["host"], raw["port"])
            link = EnrollLink(raw["user"], address, raw["host_key"])
            return AccountFacts(link, NodeId(bytes.fromhex(raw["root"])))
        except (ValueError, KeyError, TypeError, UsageError):
            raise self._damaged from None

    def expect(self, link: EnrollLink) -> None:
        """Store a new address and host key of the server."""
        host, port = link.address.host, link.address.port
        self._store(self._raw() | {"host": host, "port": port, "host_key": link.host_key})

    def keep_root(self, root: NodeId) -> None:
        """Store a new root of the user's tree."""
        self._store(self._raw() | {"root": root.hex()})

    def device(self) -> str:
        """Return the name of this device: the chosen one, else the name of the host."""
        try:
            kept = self._raw().get("device")
        except (NotFoundError, IntegrityError):
            kept = None
        if not isinstance(kept, str):
            import platform

            kept = platform.node().partition(".")[0]
        return kept[:MAX_DEVICE_NAME]

    def keep_device(self, name: str) -> None:
        """Store the name of this device for later sessions."""
        self._store(self._raw() | {"device": name})

    def via(self) -> str | None:
        """Return the program that carries connections to the server, if one is set."""
        try:
            kept = self._raw().get("via")
        except (NotFoundError, IntegrityError):
            return None
        return kept if isinstance(kept, str) else None

    def keep_via(self, command: str) -> None:
        """Store the program that carries connections to the server; an empty string removes it."""
        raw = self._raw() | {"via": command}
        if not command:
            del raw["via"]
        self._store(raw)

    def _raw(self) -> dict[str, Any]:
        """Return the fields of `profile.json`; `IntegrityError` if it is damaged."""
        data = self._read("profile.json")
        try:
            raw = parsed(data)
        except ValueError:
            raise self._damaged from None
        if not isinstance(raw, dict):
            raise self._damaged
        return raw

    def _store(self, raw: dict[str, Any]) -> None:
        write_private(self.folder / "profile.json", json.dumps(raw, indent=1).encode())

    @property
    def _damaged(self) -> IntegrityError:
        return IntegrityError(
            f"The local '{self.folder / 'profile.json'}' is damaged.",
            hint="Put it back from a copy.",
        )

    # --- enrolment: the keys are on disk before the server receives them

    def pending_keyfile(self, link: EnrollLink) -> bytes | None:
        """Return the keys of an interrupted enrolment with the same link."""
        try:
            if (self.enrolling / "link").read_text() == str(link):
                return (self.enrolling / KEYFILE).read_bytes()
        except (OSError, UnicodeDecodeError):
            pass
        return None

    @property
    def pending(self) -> PendingFiles:
        """The files of the enrolment until it is complete."""
        return PendingFiles(self.enrolling / "memory.db", self.enrolling / "people.db")

    def begin(self, link: EnrollLink, keyfile: bytes) -> None:
        """Write the new keys to disk; `ExistsError` if the profile is in use already."""
        self.check_free()
        with profile_errors(self.enrolling):
            make_private_folder(self.enrolling)
        write_private(self.enrolling / "link", str(link).encode())
        write_private(self.enrolling / KEYFILE, keyfile)

    def check_free(self) -> None:
        """Raise `ExistsError` if the profile is in use already and is not to be replaced."""
        if self.exists() and not self.replaces:
            user = self.facts().link.user
            raise ExistsError(
                f"The profile '{self.name}' belongs to {user} already.",
                hint="Choose another name with --profile NAME, or set it aside with --replace.",
            )

    def set_aside(self) -> str | None:
        """Rename this profile, if it exists, to a free name; return that name."""
        if not self.exists():
            return None
        for number in count(1):
            name = f"{self.name[:56]}-old{'' if number == 1 else number}"
            other = self.folder.with_name(name)
            if not os.path.lexists(other):
                with profile_errors(self.folder):
                    self.folder.rename(other)
                return name
        raise AssertionError

    def complete(self, facts: AccountFacts) -> None:
        """Turn the pending files into the profile, after the server has accepted the keys.

        A profile that exists is set aside.
        """
        write_private(self.enrolling / "profile.json", _written(facts))
        with profile_errors(self.folder):
            (self.enrolling / "link").unlink()
            self.set_aside()
            self.enrolling.replace(self.folder)

    def abandon(self) -> None:
        """Remove keys that the server has refused."""
        import shutil

        shutil.rmtree(self.enrolling, ignore_errors=True)

    # --- keys from another machine or a recovery

    @contextlib.contextmanager
    def arriving(
        self, facts: AccountFacts, keyfile: bytes, *, current: bool = False
    ) -> Iterator[Path]:
        """Yield a folder that becomes this profile at the end of the block; a failure removes it.

        `ExistsError` if the profile is in use already. One that is to be replaced is set aside;
        but if the keys are the account's `current` ones, and it is of this account, it only gets
        the keys and keeps its other files.
        """
        import shutil
        import tempfile

        self.check_free()
        above = self.folder.parent
        with profile_errors(above):
            make_private_folder(above)
            folder = Path(tempfile.mkdtemp(prefix=f".{self.name}.arriving-", dir=above))
        try:
            write_private(folder / KEYFILE, keyfile)
            write_private(folder / "profile.json", _written(facts))
            yield folder
            self.check_free()
            with profile_errors(self.folder):
                if current and self._is_of(facts):
                    self.replace_keyfile(keyfile)
                    self.settle_keyfile(took_next=False)
                    self.expect(facts.link)
                    self.drop_ticket()
                else:
                    self.set_aside()
                    folder.replace(self.folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _is_of(self, facts: AccountFacts) -> bool:
        """Return whether this profile exists and belongs to this account with this tree."""
        try:
            own = self.facts()
        except (NotFoundError, IntegrityError):
            return False
        return (own.link.user, own.link.host_key, own.root) == (
            facts.link.user, facts.link.host_key, facts.root,
        )  # fmt: skip


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


def is_profile_name(name: str) -> bool:
    """Return whether a profile can have this name."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name) is not None
