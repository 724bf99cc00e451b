"""The values of the settings, in the form that the server uses."""

from __future__ import annotations

from dataclasses import dataclass, field

from fsd.home.home import Home
from fsd.policies import (
    BlobPolicy,
    DropPolicy,
    HookPolicy,
    KeepPolicy,
    LinkPolicy,
    ListenerPolicy,
    LoginPolicy,
    PersonPolicy,
    QuotaPolicy,
    RequestPolicy,
    SshPolicy,
    UploadLimits,
    WebPolicy,
)
from fsproto.limits import DEFAULT_PORT
from fsproto.link import Address


@dataclass(frozen=True)
class Settings:
    """The server's settings."""

    home: Home
    listen: Address = field(default_factory=lambda: Address("127.0.0.1", DEFAULT_PORT))
    database: str | None = None
    """SQLAlchemy URL; None: an SQLite file in the data directory."""
    log_format: str = "text"
    log_level: str = "info"
    metrics_listen: Address | None = None
    """The address that serves metrics and health; None: off."""
    health_listen: Address | None = None
    """The address that serves health alone, to other machines too; None: off."""
    workers: int = 0
    """Processes that serve the same addresses; 0: as many as are useful."""
    ssh_listen: Address | None = None
    """Where clients of SSH are accepted; None: nowhere."""
    ssh: SshPolicy = field(default_factory=SshPolicy)
    logins: LoginPolicy = field(default_factory=LoginPolicy)
    door: ListenerPolicy = field(default_factory=ListenerPolicy)
    person: PersonPolicy = field(default_factory=PersonPolicy)
    blobs: BlobPolicy = field(default_factory=BlobPolicy)
    uploads: UploadLimits = field(default_factory=UploadLimits)
    keep: KeepPolicy = field(default_factory=KeepPolicy)
    quota: QuotaPolicy = field(default_factory=QuotaPolicy)
    drops: DropPolicy = field(default_factory=DropPolicy)
    web_listen: Address | None = None
    """Where receivers of public links are served over HTTP; None: nowhere."""
    web: WebPolicy = field(default_factory=WebPolicy)
    links: LinkPolicy = field(default_factory=LinkPolicy)
    requests: RequestPolicy = field(default_factory=RequestPolicy)
    hooks: HookPolicy = field(default_factory=HookPolicy)
