"""The throttle after refused logins: pure functions over the stored penalties.

Refusals are counted in lanes. An attempt without the identity key is in two lanes: that of the name
and the network, and that of the network with any name. An attempt signed by the account's identity
key is in a third lane, that of the account alone, so that an attacker cannot delay the account's
owner. In each lane some refusals are free; each further refusal doubles the wait.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass


@dataclass(frozen=True)
class Allowance:
    """The limits of one lane; times in milliseconds."""

    free: int
    """Refusals before there is any wait."""
    first_ms: int
    longest_ms: int
    forget_ms: int
    """After this time without a refusal, the count starts again at zero."""


@dataclass(frozen=True)
class Penalty:
    """The stored state of a lane; times are Unix milliseconds."""

    failures: int = 0
    last_ms: int = 0
    until_ms: int = 0
    """The time until which attempts are refused unchecked; 0: there is no wait."""

    def holds(self, now_ms: int) -> bool:
        """Return whether an attempt must wait."""
        return now_ms < self.until_ms

    def after_refusal(self, allowance: Allowance, now_ms: int) -> Penalty:
        """Return the state of the lane after one more refused attempt."""
        forgotten = now_ms - self.last_ms >= allowance.forget_ms
        failures = 1 if forgotten else self.failures + 1
        if failures < allowance.free:
            return Penalty(failures, now_ms)  # no attempt waits, not even a concurrent one
        doubled = min(failures - allowance.free, 32)
        wait_ms = min(allowance.first_ms << doubled, allowance.longest_ms)
        return Penalty(failures, now_ms, now_ms + wait_ms)


@dataclass(frozen=True, order=True)
class Lane:
    """One count of refusals: for a user, for a network, or for both."""

    user: str
    """Empty: any user name."""
    network: str
    """Empty: any network, for attempts that are signed by the identity key."""


def lanes(user: str, network: str, *, known: bool) -> list[Lane]:
    """Return the lanes of an attempt, in the order in which they must be locked."""
    if known:
        return [Lane(user, "")]
    return sorted((Lane(user, network), Lane("", network)))


def network_of(address: str) -> str:
    """Return the network that refusals count for: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or ipaddress.IPv6Network((int(found), 64), strict=False))
