"""The enrolment link: `fs://NAME@HOST:PORT/?host-key=SHA256:…`. It holds no secret."""

from __future__ import annotations

import re

from fsproto.errors import UsageError
from fsproto.limits import DEFAULT_PORT
from fsproto.names import clean_user, for_terminal
from fsproto.values import Value

_LINK = re.compile(
    r"fs://(?P<user>[^@/]+)@(?P<address>\[[0-9A-Fa-f:.%]+\](?::[0-9]+)?|[^/:@\[\]]+(?::[0-9]+)?)/?"
    r"\?host-key=(?P<key>SHA256:[A-Za-z0-9+/]{43})"
)
_MAX_PORT = 65535


class Address(Value, frozen=True):
    """A host and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class EnrollLink(Value, frozen=True):
    """The user to enrol, the server's address, and its expected host key."""

    user: str
    address: Address
    host_key: str

    def __str__(self) -> str:
        return f"fs://{self.user}@{self.address}/?host-key={self.host_key}"


def parse_address(text: str) -> Address:
    """Read `HOST`, `HOST:PORT` or `[IPv6]:PORT`; `UsageError` otherwise."""
    shown = for_terminal(text)
    match = re.fullmatch(r"(?:\[([^\s\[\]]+)\]|([^\s:\[\]]+))(?::([0-9]{1,5}))?", text)
    port = int(match[3]) if match and match[3] else DEFAULT_PORT
    # Links come from other people and the address is shown again, so it must be printable.
    if not match or port > _MAX_PORT or shown != text:
        raise UsageError(f"'{shown}' is not an address; write HOST:PORT or [IPv6]:PORT.")
    return Address(match[1] or match[2], port)


def parse_link(text: str) -> EnrollLink:
    """Read an enrolment link; `UsageError` if it is not one."""
    match = _LINK.fullmatch(text.strip().replace("%2B", "+").replace("%2F", "/"))
    if not match:
        raise UsageError(
            "This is not an enrolment link.",
            hint="It looks like fs://NAME@HOST:PORT/?host-key=SHA256:… ; put it in quotes.",
        )
    return EnrollLink(clean_user(match["user"]), parse_address(match["address"]), match["key"])
