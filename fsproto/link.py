"""Server addresses and enrolment links: one grammar for printing and for reading them.

An enrolment link is `fs://NAME@HOST:PORT/?host-key=SHA256:…`. It holds no secret.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata

from fsproto.errors import UsageError
from fsproto.limits import DEFAULT_PORT
from fsproto.names import clean_user, for_terminal
from fsproto.values import Value

_ADDRESS = re.compile(
    r"(?:\[(?P<ipv6>[^\s\[\]]+)\]|(?P<name>[^\s:\[\]]+))(?::(?P<port>[0-9]{1,5}))?"
)
_LINK = re.compile(r"fs://(?P<user>[^@/?]+)@(?P<address>[^@/?]+)/?\?host-key=(?P<key>\S+)")
_ESCAPE = re.compile(r"%([0-7][0-9A-Fa-f])")
_HOST_KEY = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_ZONE = re.compile(r"[A-Za-z0-9._~-]{1,64}")
_MAX_PORT = 65535
_MAX_HOST = 253
"""Characters of a host name, in its form for the DNS (RFC 1035, section 2.3.4)."""


class Address(Value, frozen=True):
    """A host name or IP address, and a TCP port; `UsageError` for any other values.

    An IPv6 address may have a zone (`fe80::1%eth0`, RFC 4007), a host name letters of any script.
    """

    host: str
    port: int

    def __post_init__(self) -> None:
        if not _is_host(self.host):
            raise UsageError(f"'{for_terminal(self.host)}' is not the name or address of a host.")
        if not 0 <= self.port <= _MAX_PORT:
            raise UsageError(f"A port is a number from 0 to {_MAX_PORT}, not {self.port}.")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class EnrollLink(Value, frozen=True):
    """The user to enrol, the server's address, and its expected host key.

    `UsageError` for values that no link can have; port 0 is one, as nothing can connect to it.
    """

    user: str
    address: Address
    host_key: str

    def __post_init__(self) -> None:
        clean_user(self.user)
        if not self.address.port:
            raise UsageError(f"Nothing can connect to '{self.address}'; give another port.")
        if not _HOST_KEY.fullmatch(self.host_key):
            raise UsageError(f"'{for_terminal(self.host_key)}' is not the hash of a host key.")

    def __str__(self) -> str:
        return f"fs://{self.user}@{self.address}/?host-key={self.host_key}"


def parse_address(text: str, default_port: int = DEFAULT_PORT) -> Address:
    """Read `HOST`, `HOST:PORT`, `[IPv6]` or `[IPv6]:PORT`; `UsageError` otherwise."""
    match = _ADDRESS.fullmatch(text)
    try:
        if match and (match["name"] or ":" in match["ipv6"]):
            host, port = match["name"] or match["ipv6"], match["port"]
            return Address(host, int(port) if port else default_port)
    except UsageError:
        pass
    shown = for_terminal(text)
    raise UsageError(f"'{shown}' is not an address; write HOST:PORT or [IPv6]:PORT.")


def parse_link(text: str) -> EnrollLink:
    """Read an enrolment link; `UsageError` if it is not one.

    Programs that pass it on may have percent-encoded the host key.
    """
    match = _LINK.fullmatch(text.strip())
    key = _ESCAPE.sub(lambda one: chr(int(one[1], 16)), match["key"]) if match else ""
    if not match or not _HOST_KEY.fullmatch(key):
        raise UsageError(
            "This is not an enrolment link.",
            hint="It looks like fs://NAME@HOST:PORT/?host-key=SHA256:… ; put it in quotes.",
        )
    return EnrollLink(clean_user(match["user"]), parse_address(match["address"]), key)


def _is_host(text: str) -> bool:
    """Return whether a text is an IPv6 address, an IPv4 address or a host name.

    Host names must have a form for the DNS (RFC 3490), because Python looks up no other ones.
    """
    if ":" in text:
        address, sign, zone = text.partition("%")
        try:
            ipaddress.IPv6Address(address)
        except ValueError:
            return False
        return not sign or _ZONE.fullmatch(zone) is not None
    # Also refused: names that look like other ones, and names that a program takes for an option.
    if len(text) > _MAX_HOST or not all(c in "-_." or _is_letter(c) for c in text):
        return False
    if unicodedata.normalize("NFKC", text) != unicodedata.normalize("NFC", text):
        return False
    labels = text.removesuffix(".").split(".")
    if not all(label and label[0] != "-" and label[-1] != "-" for label in labels):
        return False
    try:
        return len(text.encode("idna").removesuffix(b".")) <= _MAX_HOST
    except UnicodeError:
        return False


def _is_letter(character: str) -> bool:
    """Return whether a character is a letter, a digit, or a mark on a letter."""
    return unicodedata.category(character)[0] in "LMN"
