"""The table of all settings.

Each line says what a setting is called in the file (a dot is a section), where its value goes
(a field of `Settings`, or of a policy in it), what is allowed, and what it means. The environment
(`FSD_LOGIN_SESSION`), `--set`, `--check-config`, `docs/configuration.md` and their tests follow
from here, defaults from the dataclasses: a new field needs one line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fsd.settings.kinds import (
    AtMost,
    DatabaseUrl,
    HomeFolder,
    Listening,
    OneOf,
    Switch,
    Time,
    ValueKind,
    Whole,
)

if TYPE_CHECKING:
    from fsd.settings.model import Settings

_MS = 1000


@dataclass(frozen=True)
class Setting:
    """One setting."""

    name: str
    onto: str
    """Attributes from `Settings` to the value, joined by dots."""
    kind: ValueKind
    help: str
    """A sentence or two."""
    reloads: bool = False
    """Whether SIGHUP makes a new value count, for connections from then on."""
    secret: bool = False
    """Whether the value may hold a secret and is not repeated in what is said of it."""

    @property
    def variable(self) -> str:
        """What it is called in the environment."""
        return "FSD_" + self.name.replace(".", "_").upper()

    def of(self, settings: Settings) -> object:
        """Return its value."""
        value: object = settings
        for part in self.onto.split("."):
            value = getattr(value, part)
        return value


SETTINGS: tuple[Setting, ...] = (
    Setting("home", "home", HomeFolder(), "Folder for keys, database and blobs; made where it is missing. In a file only where that was given with `--config`."),
    Setting("listen", "listen", Listening(), "Where clients are accepted."),
    Setting("database", "database", DatabaseUrl(), "The database; if empty, SQLite in the home.", secret=True),
    Setting("log_format", "log_format", OneOf(("text", "json")), "How logs are written to stderr.", reloads=True),
    Setting("log_level", "log_level", OneOf(("debug", "info", "warning", "error")), "What is worth logging; `debug` has a line for every request.", reloads=True),
    Setting("metrics_listen", "metrics_listen", Listening(loopback=True, optional=True), "Where `/metrics` (for Prometheus) and `/healthz` are served, without any login; nowhere if empty."),
    Setting("drop_box", "drops.box", Switch(), "Whether files can be dropped for people by those who have no `fsclient`. The server sees what is dropped as it comes, and seals it to the person's keys."),

    Setting("login.session", "logins.session_ms", Time(60, 90 * 86400, _MS), "How long a session lasts before a one-time password is asked for again.", reloads=True),
    Setting("login.free_tries", "logins.free_tries", Whole(1, 1000), "Refused logins of one name from one address, or with one identity key, before there is a wait.", reloads=True),
    Setting("login.source_free_tries", "logins.source_free_tries", Whole(1, 10_000), "Refused logins from one address (of IPv6: its /64), whatever the names, before there is a wait.", reloads=True),
    Setting("login.first_wait", "logins.first_wait_ms", Time(1, 3600, _MS), "The first wait; every further refusal doubles it.", reloads=True),
    Setting("login.longest_wait", "logins.longest_wait_ms", Time(1, 86400, _MS), "No wait is longer.", reloads=True),
    Setting("login.forget", "logins.forget_ms", Time(60, 30 * 86400, _MS), "After this time without a refusal, those before are forgotten.", reloads=True),
    Setting("login.most_failures", "logins.most_failures", Whole(5, 100), "Refusals in a row, with nothing wrong but the code, after which an account is locked until `fsadmin unlock-user`.", reloads=True),
    Setting("login.most_drift", "logins.most_drift_ms", Time(0, 600, _MS), "By how much a person's clock may be found to be off.", reloads=True),

    Setting("door.login", "door.login_s", Time(5, 300), "From connecting to being logged in.", reloads=True),
    Setting("door.refusal", "door.refusal_s", Time(0.1, 4), "After this time or a multiple of it, and not before, a refused login is answered.", reloads=True),
    Setting("door.waiting", "door.waiting", Whole(8, 100_000), "Connections that have not logged in; beyond that the oldest of the most crowded address makes room.", reloads=True),
    Setting("door.waiting_of_one", "door.waiting_of_one", Whole(1, 100_000), "The same from one address (of IPv6: its /64), whose oldest one makes room.", reloads=True),
    Setting("door.handshakes_a_second", "door.handshakes_a_second", Whole(1, 100_000), "Key exchanges a second; beyond that they wait their turn.", reloads=True),
    Setting("door.handshakes_a_second_of_one", "door.handshakes_a_second_of_one", Whole(1, 100_000), "The same from one address (of IPv6: its /64).", reloads=True),
    Setting("door.handshakes_at_once", "door.handshakes_at_once", Whole(1, 100_000), "Key exchanges that may come at once after a pause; half as many from one address.", reloads=True),
    Setting("door.idle", "door.idle_s", Time(10, 86400), "How long a client may be silent, or take nothing that it is owed.", reloads=True),
    Setting("door.stall", "door.stall_s", Time(5, 3600), "The same while an upload of the client is under way.", reloads=True),
    Setting("door.frame", "door.frame_s", Time(10, 86400), "How long one message may take from its first byte to its last.", reloads=True),
    Setting("door.drain", "door.drain_s", Time(0, 3600), "For what is in flight when the server is told to stop.", reloads=True),

    Setting("ssh.listen", "ssh_listen", Listening(optional=True), "Where clients of SSH are accepted; nowhere if empty."),
    Setting("ssh.login", "ssh.login_s", Time(5, 600), "From connecting over SSH to being logged in, the code being typed meanwhile.", reloads=True),
    Setting("ssh.connections", "ssh.connections", Whole(1, 1000), "SSH connections of one person at once that have logged in; each takes a thread.", reloads=True),

    Setting("keep.versions", "keep.keep_versions", Whole(0, 500), "How many contents of each file are kept beside the one it has now; 0 keeps none."),
    Setting("keep.removed_days", "keep.keep_removed_days", Whole(0, 36_500), "Days for which a removed file or folder can be brought back; 0 deletes it at once."),

    Setting("quota.bytes", "quota.most_bytes", AtMost(size=True), "Sealed bytes that everybody may hold for whom `fsadmin change-user` has set nothing else.", reloads=True),
    Setting("quota.files", "quota.most_files", AtMost(), "Files that everybody may hold for whom nothing else was set.", reloads=True),

    Setting("upload.active", "uploads.active", Whole(1, 10_000), "Uploads of one person under way at once, over all connections."),
    Setting("upload.suspended", "uploads.suspended", Whole(0, 10_000), "Broken-off uploads of one person that are kept to be gone on with; the oldest make room."),

    Setting("drops.largest_mib", "drops.largest_mib", Whole(1, 1 << 24), "The largest drop, in MiB."),
    Setting("drops.waiting", "drops.waiting", Whole(1, 1_000_000), "Drops that may wait for one person."),
    Setting("drops.waiting_mib", "drops.waiting_mib", Whole(1, 1 << 30), "The same in MiB, as they are stored."),
    Setting("drops.longest_name", "drops.longest_name", Whole(8, 1024), "Bytes of a drop's name, with the folders it was put in."),
    Setting("drops.at_once", "drops.at_once", Whole(1, 1000), "Drops for one person that are under way at once."),
    Setting("drops.keep_days", "drops.keep_days", Whole(1, 36_500), "Days after which a drop that its person has neither accepted nor rejected is deleted."),
)  # fmt: skip
"""Every setting there is, in the order people read about them."""

BY_NAME: dict[str, Setting] = {setting.name: setting for setting in SETTINGS}
BY_VARIABLE: dict[str, Setting] = {setting.variable: setting for setting in SETTINGS}
