"""The data that a user needs to enrol: secret, QR code, and link with the server's address."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from fsadmin import output
from fsadmin.context import Admin
from fsd.auth.otp import ALGORITHMS
from fsproto import crypto
from fsproto.errors import UsageError
from fsproto.limits import DEFAULT_PORT
from fsproto.link import Address, EnrollLink, parse_address

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from fsd.home.home import Home
    from fsd.services.accounts.users import Enrolment

    F = TypeVar("F", bound=Callable[..., Any])

_MAX_ISSUER = 64


def codes_options(command: F) -> F:
    """Add the options for the format of one-time passwords."""
    options = (
        click.option(
            "--digits",
            type=int,
            default=6,
            show_default=True,
            metavar="N",
            help="Digits of a code: 6, 7 or 8.",
        ),
        click.option(
            "--period",
            type=int,
            default=30,
            show_default=True,
            metavar="S",
            help="Seconds for which a code is valid: 15 to 120.",
        ),
        click.option(
            "--algorithm",
            type=click.Choice(list(ALGORITHMS), case_sensitive=False),
            default="SHA1",
            show_default=True,
            help="Hash of the codes. Many authenticator apps support only SHA1.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


host_option = click.option(
    "--host",
    metavar="HOST[:PORT]",
    help="Address of the server, for the link.  [default: its last listening address]",
)


def reach_options(command: F) -> F:
    """Add the options for the server's address in a link and the issuer in an app."""
    issuer = click.option(
        "--issuer",
        metavar="NAME",
        default="fsd",
        show_default=True,
        help="Name of the entry in an authenticator app.",
    )
    return host_option(issuer(command))


def reach_of(home: Home, host: str | None) -> Address:
    """Return the address for a link; warn if users may be unable to reach it."""
    last = home.last_run().get("address")
    listened = parse_address(last) if last else Address("127.0.0.1", DEFAULT_PORT)
    if host is None:
        if _is_wildcard(listened.host):
            click.echo(
                f"fsadmin: fsd listens on {listened}, which people may not reach; "
                "give --host for a link that works.",
                err=True,
            )
        return listened
    reach = parse_address(host, default_port=listened.port)
    if not reach.port:
        raise UsageError(f"Nobody can connect to port 0 of '{reach.host}'; give another port.")
    return reach


def _is_wildcard(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def check_issuer(issuer: str) -> None:
    """Raise `UsageError` for an issuer that an authenticator app cannot show."""
    if not issuer.isprintable() or ":" in issuer or not 0 < len(issuer) <= _MAX_ISSUER:
        raise UsageError(f"An issuer has 1 to {_MAX_ISSUER} printable characters other than ':'.")


@dataclass(frozen=True)
class EnrolmentHandout:
    """The enrolment data of one user."""

    user: str
    secret: str = field(repr=False)
    """Base32."""
    uri: str = field(repr=False)
    """The URI in the QR code for an authenticator app."""
    link: str
    digits: int
    period: int
    """Seconds for which a code is valid."""

    @property
    def as_json(self) -> dict[str, str]:
        """Return the data as JSON fields."""
        return {
            "user": self.user,
            "secret": self.secret,
            "otpauth_uri": self.uri,
            "enroll_link": self.link,
        }


def links_of(home: Home, users: Iterable[str], reach: Address) -> list[EnrollLink]:
    """Return the enrolment link of each user, with the present host key."""
    # Once for all users: reading the key tests its primes, which takes a tenth of a second.
    host_key = crypto.fingerprint(home.host_key().public)
    return [EnrollLink(user, reach, host_key) for user in users]


def handouts(
    home: Home, enrolments: Sequence[Enrolment], reach: Address, issuer: str
) -> list[EnrolmentHandout]:
    """Return the enrolment data of each user with a new secret."""
    links = links_of(home, [one.user for one in enrolments], reach)
    return [
        EnrolmentHandout(
            user=one.user,
            secret=one.otp.secret,
            uri=one.otp.uri(one.user, issuer),
            link=str(link),
            digits=one.otp.digits,
            period=one.otp.period,
        )
        for one, link in zip(enrolments, links, strict=True)
    ]


def hand_out(
    admin: Admin, enrolment: Enrolment, reach: Address, issuer: str, *, again: bool = False
) -> None:
    """Show the enrolment data of one user; `again` if the user has had such data before."""
    (given,) = handouts(admin.home, [enrolment], reach, issuer)
    admin.answer(given.as_json, lambda: _text(given, again=again))


def _text(given: EnrolmentHandout, *, again: bool) -> str:
    link = "If they have not enrolled yet," if again else "Give them the link too;"
    facts = [
        ("User", given.user),
        ("Secret", given.secret),
        ("URI", given.uri),
        ("Link", given.link),
    ]
    picture = output.qr(given.uri)
    return "\n".join(
        [
            output.facts(facts),
            "",
            picture or "(This terminal cannot show the QR code; the secret can be typed instead.)",
            "",
            f"Give {given.user} the QR code or the secret for an authenticator app, in person or",
            f"over a channel you trust: it is not shown again. {link} they enrol",
            "with",
            "",
            f"    fsclient enroll '{given.link}'",
        ]
    )
