"""The table of the settings.

Each line has the name of a setting in the file (a dot separates section and key), the field of
`Settings` or of one of its policies that takes the value, the allowed values, and a description.
The environment variables (`FSD_LOGIN_SESSION`), `--set`, `--check-config`,
`docs/configuration.md` and their tests derive from this table; defaults come from the dataclasses.
A new field needs one new line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fsd.audit.events import AuditEvent
from fsd.settings.blob_kinds import BucketUrl, EndpointUrl, FallbackStore, Region
from fsd.settings.hook_kinds import Command, WebhookUrl, Words
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
from fsd.settings.web_kinds import Addresses, FilePath, LinkStart
from fsproto.limits import MAX_DROPS, MAX_SESSIONS, MAX_SHARES

if TYPE_CHECKING:
    from fsd.settings.model import Settings

_MS = 1000
_HOOKED = tuple(event.value for event in AuditEvent if event is not AuditEvent.HOOK_GIVEN_UP)
"""Events that hooks can have; one about a hook could never end."""


@dataclass(frozen=True)
class Setting:
    """One setting."""

    name: str
    onto: str
    """Path of attributes from `Settings` to the value, joined by dots."""
    kind: ValueKind
    help: str
    """A sentence or two."""
    reloads: bool = False
    """Whether SIGHUP applies a new value, to connections from then on."""
    secret: bool = False
    """Whether the value may contain a secret; messages never repeat it."""

    @property
    def variable(self) -> str:
        """Name of the environment variable."""
        return "FSD_" + self.name.replace(".", "_").upper()

    def of(self, settings: Settings) -> object:
        """Return the value of this setting in `settings`."""
        value: object = settings
        for part in self.onto.split("."):
            value = getattr(value, part)
        return value


SETTINGS: tuple[Setting, ...] = (
    Setting("home", "home", HomeFolder(), "Data directory for keys, database and blobs; created if it is missing. In a file, only allowed if the file is given with `--config`."),
    Setting("listen", "listen", Listening(), "Address of the native listener, for clients."),
    Setting("database", "database", DatabaseUrl(), "The database. Empty: SQLite in the data directory.", secret=True),
    Setting("workers", "workers", Whole(0, 64), "Processes that serve the same addresses, each on a core of its own. 0: one a core, at most 4, with PostgreSQL and 2 GiB of memory; else 1."),
    Setting("log_format", "log_format", OneOf(("text", "json")), "Format of the log on stderr.", reloads=True),
    Setting("log_level", "log_level", OneOf(("debug", "info", "warning", "error")), "Lowest level that is logged; `debug` logs a line for every request.", reloads=True),
    Setting("metrics_listen", "metrics_listen", Listening(loopback=True, optional=True), "Address for `/metrics` (Prometheus) and `/healthz`, without a login. Empty: off."),
    Setting("health_listen", "health_listen", Listening(optional=True), "Address for `/healthz` alone, without a login, for load balancers: status 200, or 503 while fsd stops or its database does not answer. Empty: off."),
    Setting("drop_box", "drops.box", Switch(), "Whether people without `fsclient` can upload drops. The server sees the plaintext during the upload, and seals it to the recipient's keys."),

    Setting("login.session", "logins.session_ms", Time(60, 90 * 86400, _MS), "How long a session lasts. After that, the user needs a new one-time password.", reloads=True),
    Setting("login.free_tries", "logins.free_tries", Whole(1, 1000), "Refused logins of one name from one address, or with one identity key, before the throttle starts.", reloads=True),
    Setting("login.source_free_tries", "logins.source_free_tries", Whole(1, 10_000), "Refused logins from one address (IPv6: its /64), for any names, before the throttle starts.", reloads=True),
    Setting("login.first_wait", "logins.first_wait_ms", Time(1, 3600, _MS), "First delay of the throttle; every further refusal doubles it.", reloads=True),
    Setting("login.longest_wait", "logins.longest_wait_ms", Time(1, 86400, _MS), "Longest delay of the throttle.", reloads=True),
    Setting("login.forget", "logins.forget_ms", Time(60, 30 * 86400, _MS), "After this time without a refusal, earlier refusals no longer count.", reloads=True),
    Setting("login.most_failures", "logins.most_failures", Whole(5, 100), "Refusals in a row in which only the code was wrong, after which the account is locked until `fsadmin unlock-user`. After as many wrong passwords, a public link is locked for good.", reloads=True),
    Setting("login.most_drift", "logins.most_drift_ms", Time(0, 600, _MS), "Largest clock error of a user's device that fsd learns from codes and corrects.", reloads=True),
    Setting("login.rotations_a_day", "logins.rotations_a_day", Whole(1, 1000), "Key rotations per user within 24 hours.", reloads=True),

    Setting("door.login", "door.login_s", Time(5, 300), "Time limit from connecting to a completed login.", reloads=True),
    Setting("door.refusal", "door.refusal_s", Time(0.1, 4), "A refused login is answered after this time or a multiple of it, never earlier.", reloads=True),
    Setting("door.waiting", "door.waiting", Whole(8, 100_000), "Unauthenticated connections in total. Above the limit, fsd closes the oldest one of the address with the most (IPv6: its /64).", reloads=True),
    Setting("door.waiting_of_one", "door.waiting_of_one", Whole(1, 100_000), "Unauthenticated connections from one address (IPv6: its /64). Above the limit, fsd closes the oldest one.", reloads=True),
    Setting("door.handshakes_a_second", "door.handshakes_a_second", Whole(1, 100_000), "Key exchanges per second in total; further ones wait.", reloads=True),
    Setting("door.handshakes_a_second_of_one", "door.handshakes_a_second_of_one", Whole(1, 100_000), "Key exchanges per second from one address (IPv6: its /64); further ones wait.", reloads=True),
    Setting("door.handshakes_at_once", "door.handshakes_at_once", Whole(1, 100_000), "Burst of key exchanges that is allowed after a pause; half of it from one address.", reloads=True),
    Setting("door.idle", "door.idle_s", Time(10, 86400), "Time limit without a byte from the client, or without the client reading data that the server sends.", reloads=True),
    Setting("door.stall", "door.stall_s", Time(5, 3600), "Time limit without a byte from the client while it uploads.", reloads=True),
    Setting("door.frame", "door.frame_s", Time(10, 86400), "Time limit for one message, from its first byte to its last.", reloads=True),
    Setting("door.buffers_mib", "door.buffers_mib", Whole(1, 65_536), "Memory, in MiB, for data that slow clients have sent in part or do not read. More of it waits in a file without a name in the data directory, at most about 4 MiB for a connection.", reloads=True),
    Setting("door.drain", "door.drain_s", Time(0, 3600), "How long fsd waits for requests in flight when it stops.", reloads=True),
    Setting("door.leave", "door.leave_s", Time(0, 300), "How long fsd still accepts connections after SIGTERM, while `/healthz` answers 503 and a load balancer learns to send new ones elsewhere.", reloads=True),
    Setting("door.proxies", "door.proxies", Addresses(), "Addresses of load balancers that name the client in a header of the PROXY protocol, version 1 or 2. It is expected at the native and the SSH listener, and connections of these addresses without it are closed.", reloads=True),

    Setting("ssh.listen", "ssh_listen", Listening(optional=True), "Address of the SSH listener. Empty: off."),
    Setting("ssh.login", "ssh.login_s", Time(5, 600), "Time limit from connecting over SSH to a completed login, including the time to type a code.", reloads=True),
    Setting("ssh.connections", "ssh.connections", Whole(1, 1000), "SSH connections per user at the same time, after login; each uses a thread.", reloads=True),
    Setting("ssh.all_connections", "ssh.all_connections", Whole(8, 100_000), "SSH connections in total, before and after login; each uses a thread and about 60 KiB. At the limit, the oldest unauthenticated connection of the address with the most (IPv6: its /64) makes room. If all are logged in, a user with fewer connections than another replaces that user's longest idle one; otherwise the login ends.", reloads=True),

    Setting("person.connections", "person.connections", Whole(2, 100_000), "Logged-in connections per user at the same time, with all devices together. Above the limit, a session cannot be resumed (exit status 9), and a login with a code closes the connection that was idle for the longest time.", reloads=True),
    Setting("person.requests", "person.requests", Whole(1, 1000), "Requests per user at the same time, over all connections. A request counts until the client has read its answer; further ones wait.", reloads=True),
    Setting("person.sessions", "logins.most_sessions", Whole(2, MAX_SESSIONS), "Running sessions per user. A further login ends the session with the oldest last use.", reloads=True),

    Setting("keep.versions", "keep.keep_versions", Whole(0, 500), "How many earlier contents of each file are kept; 0 keeps none."),
    Setting("keep.removed_days", "keep.keep_removed_days", Whole(0, 36_500), "Days for which a removed file or folder can be restored; 0 deletes it at once."),

    Setting("quota.bytes", "quota.most_bytes", AtMost(size=True), "Quota in sealed bytes, for every user without a quota from `fsadmin change-user`.", reloads=True),
    Setting("quota.files", "quota.most_files", AtMost(), "Quota in files, for every user without a quota from `fsadmin change-user`.", reloads=True),
    Setting("quota.kept_times", "quota.kept_times", Whole(1, 1000), "How many times the quota in bytes a user's older versions and removed files may take, which do not count in the quota itself.", reloads=True),
    Setting("quota.nodes", "quota.nodes", Whole(100, 1_000_000_000), "Files and folders per user, with the removed ones that are kept.", reloads=True),
    Setting("quota.records_mib", "quota.records_mib", Whole(1, 1 << 24), "What the database stores per user beside file contents, in MiB: signed names and folders with their older versions, member lists, sealed keys.", reloads=True),
    Setting("quota.shares_with_one", "quota.shares_with_one", Whole(1, MAX_SHARES), "Files and folders that one user may share with one other user, each on its own. A shared folder counts once.", reloads=True),

    Setting("blobs.store", "blobs.store", BucketUrl(), "Where contents above 64 KiB are stored: a folder of the data directory, or a bucket of an S3-compatible object store, under a prefix that no other server uses. `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, or the other ways of the AWS tools, give access."),
    Setting("blobs.endpoint", "blobs.endpoint", EndpointUrl(), "URL of the object store. Empty: that of Amazon S3."),
    Setting("blobs.region", "blobs.region", Region(), "Region of the bucket. Empty: the region that the environment names, or `us-east-1`."),
    Setting("blobs.fallback", "blobs.fallback", FallbackStore(), "A second store, while contents are moved to `blobs.store` or a part of the servers uses another one: contents that are not in `blobs.store` are read from here. `local` is the folder of the data directory. Empty: none."),
    Setting("blobs.fallback_endpoint", "blobs.fallback_endpoint", EndpointUrl(), "Like `blobs.endpoint`, for `blobs.fallback`."),
    Setting("blobs.fallback_region", "blobs.fallback_region", Region(), "Like `blobs.region`, for `blobs.fallback`."),

    Setting("upload.active", "uploads.active", Whole(1, 10_000), "Uploads per user at the same time, over all connections."),
    Setting("upload.suspended", "uploads.suspended", Whole(0, 10_000), "Interrupted uploads per user that are kept for resuming; above the limit, the oldest are deleted."),

    Setting("drops.largest_mib", "drops.largest_mib", Whole(1, 1 << 24), "Largest drop, in MiB."),
    Setting("drops.waiting", "drops.waiting", Whole(1, MAX_DROPS), "Waiting drops per user."),
    Setting("drops.waiting_mib", "drops.waiting_mib", Whole(1, 1 << 30), "Total sealed size of the waiting drops per user, in MiB."),
    Setting("drops.longest_name", "drops.longest_name", Whole(8, 1024), "Longest name of a drop in bytes, including its folders."),
    Setting("drops.at_once", "drops.at_once", Whole(1, 1000), "Uploads of drops per user at the same time."),
    Setting("drops.keep_days", "drops.keep_days", Whole(1, 36_500), "Days after which a drop is deleted that its recipient has neither accepted nor rejected."),

    Setting("web.listen", "web_listen", Listening(optional=True), "Address of the web listener, for public links and request links. Empty: off."),
    Setting("web.url", "links.url", LinkStart(), "The start of the URLs of public links and request links, before `/l#` or `/r#`: the address of the web listener, or of the proxy before it, as receivers reach it. Empty: people cannot make links.", reloads=True),
    Setting("web.certificate", "web.certificate", FilePath(), "File with the TLS certificates in PEM, if the listener has TLS itself. Empty: a proxy has it."),
    Setting("web.certificate_key", "web.certificate_key", FilePath(), "File with the private key in PEM. Empty: it is in the file of `web.certificate`."),
    Setting("web.proxies", "web.proxies", Addresses(), "Addresses of proxies whose `X-Forwarded-For` names the client. The proxy must replace that header, or add to it."),
    Setting("web.connections", "web.connections", Whole(8, 100_000), "Connections in total. Above the limit, fsd closes the oldest one of the address with the most (IPv6: its /64)."),
    Setting("web.connections_of_one", "web.connections_of_one", Whole(1, 100_000), "Connections from one address (IPv6: its /64) other than a proxy's. Above the limit, fsd closes the oldest one."),
    Setting("web.request", "web.request_s", Time(1, 300), "Time limit from the connection, or from the last answer, to the end of the next request."),
    Setting("web.stall", "web.stall_s", Time(5, 3600), "Time limit without the receiver reading data that the server sends."),
    Setting("links.most", "links.most", Whole(1, 1_000_000), "Public links per user.", reloads=True),
    Setting("links.descriptions_mib", "links.descriptions_mib", Whole(1, 1 << 20), "Sealed descriptions of the public links of one user, in MiB: about 0.3 KiB for each file.", reloads=True),
    Setting("requests.most", "requests.most", Whole(0, 1_000_000), "Request links per user; 0: none, and existing ones take no files. The limits of `[drops]` hold for the files, also with `drop_box = false`.", reloads=True),
    Setting("requests.at_once", "requests.at_once", Whole(1, 10_000), "Files that are sent to one user with request links at the same time.", reloads=True),

    Setting("hooks.command", "hooks.command", Command(), "Program that is run for each event, with the event as JSON on its standard input; no shell. Empty: none.", secret=True),
    Setting("hooks.url", "hooks.url", WebhookUrl(), "Webhook that each event is sent to, signed with the secret in `hook.key`. Empty: none.", secret=True),
    Setting("hooks.events", "hooks.events", Words(_HOOKED), "Events of the audit log that are delivered."),
    Setting("hooks.timeout", "hooks.timeout_s", Time(1, 300), "Time limit for one try to deliver an event."),
)  # fmt: skip
"""All settings, in the order of the documentation."""

BY_NAME: dict[str, Setting] = {setting.name: setting for setting in SETTINGS}
BY_VARIABLE: dict[str, Setting] = {setting.variable: setting for setting in SETTINGS}
