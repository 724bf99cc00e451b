"""A running gateway as one of a person's devices: its sessions stay open, and it caches.

It uses the profile of another device of the person, at the same time as that device.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from fsclient.app import App
from fsclient.gateway.backend import Backend
from fsclient.gateway.edits import Edits
from fsclient.gateway.filesystem import Filesystem
from fsclient.gateway.lookup import PathLookup
from fsclient.gateway.publish import Publisher
from fsclient.gateway.read_ahead import ReadAhead
from fsclient.gateway.session_pool import SessionFactory, SessionPool
from fsclient.gateway.staging import StagingArea
from fskit.sftp.codes import OpenFlag
from fsproto.errors import FsError
from tests.support.gateways import at
from tests.support.team_commands import Device
from tests.support.world import Person, Ran

_NEW = OpenFlag.WRITE | OpenFlag.CREATE | OpenFlag.TRUNCATE
_LATER_S = 100.0
"""Seconds after which no cached lookup counts."""


class GatewayDevice(Device):
    """A gateway, and one SFTP client of it, without SSH between them."""

    verbs: ClassVar[Mapping[str, str]] = {
        "sync": "cat",
        "share": "put",
        "unshare": "rm",
        "members": "ls",
        "history": "cat",
        "find": "ls",
        "doctor": "ls",
        "rotate": "put",
    }

    def __init__(self, person: Person, profile: str) -> None:
        """Take the person, and the name of the device whose profile it uses."""
        super().__init__(f"{person.name}'s gateway", person)
        self._profile = profile
        self._now_s = 0.0
        self._sessions: SessionPool | None = None
        self._files: Filesystem | None = None

    @property
    def profile(self) -> str:
        """The name of the device whose profile it uses."""
        return self._profile

    def path(self, way: str) -> str:
        """Return a path of alice's tree as an SFTP client writes it."""
        return f"/{way}" if self.user == "alice" else f"/@shared/alice/{way}"

    def run(self, *args: str | Path, quickly: bool) -> Ran:
        """Do what a command does; `quickly`: at once, so that the cache of lookups counts."""
        if not quickly:
            self._now_s += _LATER_S
        try:
            return Ran(0, self._do(*map(str, args)), "")
        except FsError as error:
            return Ran(error.exit_status, b"", f"fsclient: {error.sentence}")

    def close(self) -> None:
        """Close the sessions."""
        super().close()
        if self._sessions is not None:
            self._sessions.close()
        self._sessions = self._files = None

    @property
    def files(self) -> Filesystem:
        """The file system that its client sees; the gateway starts when this is first used."""
        if self._files is None:
            app = App(self.person.patience)
            app.options.home, app.options.quiet = self.person.client, True
            with app.session():
                pass
            sessions = SessionFactory(app.keeper(), app.ui, app.patience, computes=False)
            self._sessions = pool = SessionPool(sessions)
            walker = PathLookup(lambda _: None, lambda: self._now_s)
            edits, publisher = Edits(walker, app.ui), Publisher(pool, walker, app.ui)
            staging = StagingArea(self.person.home)
            parts = pool, walker, edits, publisher, staging, ReadAhead(walker)
            self._files = Filesystem(Backend(*parts, read_only=False, ui=app.ui))
        return self._files

    def _do(self, verb: str, *args: str) -> bytes:
        files = self.files
        match verb, *args:
            case "put", local, path:
                handle = files.opened.open(at(path), _NEW)
                files.opened.write(handle, 0, Path(local).read_bytes())
                files.opened.close(handle)
            case "cat", path:
                handle = files.opened.open(at(path), OpenFlag.READ)
                try:
                    return files.opened.read(handle, 0, 1000)
                finally:
                    files.opened.close(handle)
            case "rm", path:
                files.remove(at(path))
            case "mv", *flags, old, new:
                if new.endswith("/"):
                    new += at(old).name
                files.rename(at(old), at(new), replacing=bool(flags))
            case "ls", path:
                found = files.listing(at(path))
                return "\n".join(f"{name}/" * one.is_folder or name for name, one in found).encode()
            case _:
                raise AssertionError(f"A gateway cannot '{verb}'.")
        return b""
