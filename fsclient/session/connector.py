"""Connecting to the server of a profile, and storing the session that it starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fsclient.connection.connection import EndedAtOnceError, ServerConnection
from fsclient.connection.retry import Timeouts, try_again
from fsclient.profile import Profile
from fsclient.profile_warnings import take_warnings
from fsclient.session.host_key import connected
from fsclient.session.notices import tell
from fsclient.session.otp import CodeSource
from fsclient.session.passphrase import Passphrase, Unlocked
from fsclient.trust.key_directory import KeyDirectory
from fsclient.ui import Ui
from fskit.clock import now_ms
from fsproto.errors import RemoteProtocolError
from fsproto.keys.identity import Identity
from fsproto.limits import TICKET_SIZE
from fsproto.link import EnrollLink
from fsproto.messages.account import Welcome

if TYPE_CHECKING:
    from fsclient.connection.bandwidth import Bandwidth


@dataclass
class Connector:
    """What every login of one profile uses."""

    profile: Profile
    ui: Ui
    codes: CodeSource
    passphrase: Passphrase
    patience: Timeouts
    via: str | None = None
    """Command line of a program that carries the connections, if any does."""
    chosen_device: str | None = None
    """The name of this device, if one is given now."""
    bandwidth: Bandwidth | None = None
    """The limit that the connections keep to, if there is one."""

    @property
    def device(self) -> str:
        """The name of this device for a new session; may read the profile."""
        return self.profile.device() if self.chosen_device is None else self.chosen_device

    def connect(self, link: EnrollLink, *, after: int = 0) -> ServerConnection:
        """Connect; trust a new host key if the old one has signed a statement for it.

        `after`: see `ServerConnection`. `HostKeyError` for any other key than the expected one.
        A connection that is ended at once is made again, as a balancer may have another node.
        """
        known = self.profile.exists()
        if not self.ui.defers:
            for warning in take_warnings(self.profile.folder):
                self.ui.warn(warning)
        connection, moved = try_again(
            lambda: connected(link, self.patience, after=after, via=self.via, known=known),
            EndedAtOnceError,
            self.patience,
        )
        if moved is not None:
            if known:
                self.profile.expect(moved.link)
            self.ui.warn(moved.sentence)
        connection.limit(self.bandwidth)
        return connection

    def welcomed(self, welcome: Welcome, people: KeyDirectory) -> None:
        """Store the new session, and show the notices of the server once.

        Call it before the checks: after an alarm, the next command then needs no further code.
        `RemoteProtocolError` if the ticket is malformed.
        """
        if welcome.ticket is not None:
            if len(welcome.ticket) != TICKET_SIZE:
                raise RemoteProtocolError("The server sent a malformed ticket of a session.")
            self.profile.keep_ticket(welcome.ticket, _local_end(welcome))
        tell(self.ui, welcome.notices, people.note_told)

    def unlock(self, keyfile: bytes, *, typed: bool = False) -> Unlocked:
        """Open a keyfile of the profile, as `Passphrase.unlock` does."""
        return self.passphrase.unlock(self.ui, keyfile, self.profile, typed=typed)

    def warn(self, notice: str) -> None:
        """Show a notice on the present terminal."""
        self.ui.warn(notice)


def login_signature(identity: Identity, label: bytes, channel_id: bytes) -> bytes:
    """Return the user's signature of a channel (`ServerConnection.channel_id`), for a login."""
    return identity.signing.sign(label, channel_id, identity.user.encode())


def _local_end(welcome: Welcome) -> int:
    """Return the end of the session by this machine's clock, which may differ from the server's."""
    return now_ms() + welcome.expires_ms - welcome.now_ms
