"""The operator's policies, one dataclass a subject. Settings fill them; services apply them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from fsproto.errors import BadSettingError
from fsproto.limits import MAX_DROP_NAME

DAY_MS = 24 * 3600 * 1000
MIB = 1 << 20
NO_LIMIT = -1
"""A quota of this value means no limit, even where the settings have a default limit."""


@dataclass(frozen=True)
class ListenerPolicy:
    """Times of the native listener, in seconds, and limits on unauthenticated connections."""

    login_s: float = 20.0
    """From the connection to the end of the login."""
    refusal_s: float = 0.5
    """A refused login is answered after this time, or a multiple of it, and not before."""
    waiting: int = 512
    """Connections that have not logged in; the oldest of the most crowded network makes room."""
    waiting_of_one: int = 64
    """The same from one address (of IPv6: its /64); its oldest one makes room."""
    handshakes_a_second: int = 300
    """Key exchanges; further ones wait, at most as many as fit into `login_s` seconds."""
    handshakes_a_second_of_one: int = 100
    """The same from one address (of IPv6: its /64)."""
    handshakes_at_once: int = 1000
    """Key exchanges allowed at once after a pause; half as many from one address."""
    idle_s: float = 1800.0
    """Without a byte from the client, or to the client while an answer waits for it."""
    stall_s: float = 60.0
    """Without a byte from the client during an upload."""
    frame_s: float = 600.0
    """From the first byte of a record or handshake message to its last."""
    buffers_mib: int = 16
    """Memory for records that wait: for the rest of them, for their turn, for a client that does
    not read. In MiB; what is beyond it waits in a file."""
    drain_s: float = 30.0
    """For requests in flight when the server stops."""
    leave_s: float = 0.0
    """From the signal to stop until no connection is accepted any more."""
    proxies: tuple[str, ...] = ()
    """Addresses of load balancers whose connections start with a header of the PROXY protocol."""


@dataclass(frozen=True)
class SshPolicy:
    """The values for the SSH listener that differ from those of the native listener."""

    login_s: float = 90.0
    """From the connection to the end of the login, including the time to type a code."""
    connections: int = 32
    """Logged-in connections of one user at once; each needs a thread."""
    all_connections: int = 256
    """Connections of all users and of unauthenticated clients together."""


@dataclass(frozen=True)
class LoginPolicy:
    """The operator's policy for logins. Times are in milliseconds."""

    session_ms: int = 12 * 3600 * 1000
    """How long a session lasts."""
    free_tries: int = 5
    """Refusals of one name from one address, or of one identity key, before there is a wait."""
    source_free_tries: int = 20
    """Refusals from one address (of IPv6: its /64), whatever the names, before there is a wait."""
    first_wait_ms: int = 30_000
    """The first wait; every further refusal doubles it."""
    longest_wait_ms: int = 15 * 60_000
    """No wait is longer."""
    forget_ms: int = 3600 * 1000
    """After this time without a refusal, the count starts again at zero."""
    most_failures: int = 100
    """Consecutive refusals in which only the code was wrong, after which an account is locked
    (NIST SP 800-63B, 5.2.2: at most 100)."""
    most_drift_ms: int = 120_000
    """Largest accepted error of a person's clock."""
    most_sessions: int = 100
    """Running sessions of one user; a further one ends the session with the oldest last use."""
    rotations_a_day: int = 5
    """How often a user may replace their keys within 24 hours. Each time adds an entry to the key
    log, which every client reads."""


@dataclass(frozen=True)
class PersonPolicy:
    """What one user may have at once, so that no user takes the server from the others."""

    connections: int = 48
    """Logged-in connections of the native protocol, those inside SSH connections included."""
    requests: int = 8
    """Requests that are worked on, or whose answers the client has not read yet."""


LOCAL_BLOBS = "local"
"""The name of the folder in the data directory as a second store."""


@dataclass(frozen=True)
class BlobPolicy:
    """Where blobs are stored: in the data directory, or in a bucket of an object store."""

    store: str = ""
    """`s3://BUCKET/PREFIX`; empty: a folder in the data directory."""
    endpoint: str = ""
    """URL of the object store; empty: that of Amazon."""
    region: str = ""
    """Region of the bucket; empty: as the environment says."""
    fallback: str = ""
    """A second store, for blobs that are not in the first one: `local` or `s3://BUCKET/PREFIX`."""
    fallback_endpoint: str = ""
    fallback_region: str = ""


@dataclass(frozen=True)
class UploadLimits:
    """The limits on the unfinished uploads of one user."""

    active: int = 64
    """Concurrent uploads over all connections."""
    suspended: int = 32
    """Interrupted uploads that can be resumed; the oldest are deleted first."""


@dataclass(frozen=True)
class KeepPolicy:
    """The retention of replaced file versions and of removed nodes.

    `BadSettingError` for a number below zero.
    """

    keep_versions: int = 10
    """How many older contents of each file are kept; 0 keeps none."""
    keep_removed_days: float = 30
    """Days for which a removed file or folder, with its contents, can be restored; 0 deletes it
    at once."""

    def __post_init__(self) -> None:
        if self.keep_versions < 0 or not self.keep_removed_days >= 0:
            raise BadSettingError(
                "The number of versions and of days to keep must not be negative."
            )

    def removed_before(self, now_ms: int) -> int:
        """Return the time, in Unix ms, before which removed nodes are past their retention."""
        return now_ms - int(min(self.keep_removed_days, 36_500) * DAY_MS)


class OwnLimits(Protocol):
    """The limits set for one account: None where the settings apply, or `NO_LIMIT`."""

    @property
    def most_bytes(self) -> int | None:
        """Sealed bytes."""

    @property
    def most_files(self) -> int | None:
        """Number of files."""


@dataclass(frozen=True)
class QuotaPolicy:
    """The default quota of accounts; None: no limit."""

    most_bytes: int | None = None
    most_files: int | None = None
    kept_times: int = 10
    """How many times its quota of bytes an account's older versions and removed files may take."""
    nodes: int = 1_000_000
    """Files and folders of an account, with the removed ones."""
    records_mib: int = 4096
    """All other stored data of an account's tree, in MiB: manifests of all kept versions, states,
    member lists, sealed keys, proofs."""

    shares_with_one: int = 1000
    """Files and folders that one user may share with one other user, each on its own."""

    def kept_of(self, own: OwnLimits | None) -> int | None:
        """Return how many sealed bytes of older versions and removed files an account may hold."""
        most = self.bytes_of(own)
        return None if most is None else most * self.kept_times

    def bytes_of(self, own: OwnLimits | None) -> int | None:
        """Return how many sealed bytes an account may hold; None: any number."""
        return _limit(own.most_bytes if own else None, self.most_bytes)

    def files_of(self, own: OwnLimits | None) -> int | None:
        """Return how many files an account may hold; None: any number."""
        return _limit(own.most_files if own else None, self.most_files)

    def limits(self, own: OwnLimits | None) -> bool:
        """Return whether an account has any limit."""
        return (self.bytes_of(own), self.files_of(own)) != (None, None)


@dataclass(frozen=True)
class LinkPolicy:
    """Public links: the start of their URLs, and what one user may have."""

    url: str = ""
    """The start of the URLs of links, before `/l`; empty: the server offers no links."""
    most: int = 1000
    """Links of one user."""
    descriptions_mib: int = 64
    """Sealed descriptions of the links of one user, in MiB."""


@dataclass(frozen=True)
class RequestPolicy:
    """Request links: what one user may have. The limits of drops hold for their files, too."""

    most: int = 1000
    """Request links of one user; 0: the server offers none."""
    at_once: int = 16
    """Files that are sent to one user at the same time."""


@dataclass(frozen=True)
class WebPolicy:
    """The web listener: its certificate, its connections, and the proxies before it."""

    certificate: str = ""
    """A file with the TLS certificates in PEM; empty: a proxy before the listener has TLS."""
    certificate_key: str = ""
    """A file with the private key in PEM; empty: it is in the file with the certificates."""
    proxies: tuple[str, ...] = ()
    """Addresses of proxies that name the client in `X-Forwarded-For`."""
    connections: int = 512
    """Connections in total."""
    connections_of_one: int = 32
    """Connections from one address (of IPv6: its /64), other than a proxy's."""
    request_s: float = 20.0
    """From the connection, or the last answer, to the end of the next request's head."""
    stall_s: float = 60.0
    """Without a byte to the client while an answer waits for it."""


@dataclass(frozen=True)
class HookPolicy:
    """Where events of the audit log are delivered, and which."""

    command: tuple[str, ...] = ()
    """The program and its arguments; empty: none."""
    url: str = ""
    """The URL of a webhook; empty: none. It may contain a secret."""
    events: tuple[str, ...] = ("login-refused", "dropped", "quota-near", "shared", "backed-up")
    """Names of audit events."""
    timeout_s: float = 10.0
    """Seconds for one try."""


def _limit(own: int | None, default: int | None) -> int | None:
    if own is None:
        return default
    return None if own == NO_LIMIT else own


@dataclass(frozen=True)
class DropPolicy:
    """The operator's policy for drops; `BadSettingError` if a value is invalid."""

    box: bool = False
    """Whether drops are accepted; the server sees their plaintext for a moment."""
    largest_mib: int = 10 * 1024
    """Plaintext of one drop, in MiB."""
    waiting: int = 1000
    """Waiting drops of one user."""
    waiting_mib: int = 100 * 1024
    """Their sealed bytes, in MiB."""
    longest_name: int = MAX_DROP_NAME
    """Bytes of UTF-8 of a drop's name, folders counted."""
    at_once: int = 16
    """Concurrent incoming drops of one user."""
    keep_days: float = 30
    """Days after which an unaccepted drop is deleted."""

    def __post_init__(self) -> None:
        numbers = (self.largest_mib, self.waiting, self.waiting_mib, self.at_once, self.keep_days)
        if min(numbers) <= 0 or not 0 < self.longest_name <= MAX_DROP_NAME:
            raise BadSettingError(
                "Every limit for drops must be greater than zero, "
                f"and the longest name at most {MAX_DROP_NAME} bytes."
            )

    def before_ms(self, now_ms: int) -> int:
        """Return the time, in Unix milliseconds, before which waiting drops are deleted."""
        return now_ms - int(min(self.keep_days, 36_500) * DAY_MS)
