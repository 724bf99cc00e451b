"""What the door does by default: its times, and what strangers may have of it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from fsd.net.limits import HandshakeLimiter


@dataclass(frozen=True)
class ListenerPolicy:
    """Times of the door, in seconds, and what strangers may have of it."""

    login_s: float = 20.0
    """From connecting to being logged in."""
    refusal_s: float = 0.5
    """After this long, or a multiple of it, and not before, a refused login is answered."""
    waiting: int = 512
    """Connections that have not logged in; the oldest of the most crowded network makes room."""
    waiting_of_one: int = 64
    """The same from one address (of IPv6: its /64); its oldest one makes room."""
    handshakes_a_second: int = 300
    """Key exchanges; beyond that they wait, and as many seconds' worth as `login_s` may wait."""
    handshakes_a_second_of_one: int = 100
    """The same from one address (of IPv6: its /64)."""
    handshakes_at_once: int = 1000
    """Key exchanges that may come at once after a pause; half as many from one address."""
    idle_s: float = 1800.0
    """Without a byte from the client, or to it while it is owed some."""
    stall_s: float = 60.0
    """Without a byte from the client while it has an upload under way."""
    frame_s: float = 600.0
    """From the first byte of a record or handshake message to its last."""
    drain_s: float = 30.0
    """For what is in flight when the server is told to stop."""

    def turns(self) -> HandshakeLimiter:
        """Return what lets those of one door exchange keys as fast as this allows."""
        return HandshakeLimiter(
            of_one=self.handshakes_a_second_of_one,
            of_all=self.handshakes_a_second,
            at_once=self.handshakes_at_once,
            longest_s=self.login_s,
        )


@dataclass(frozen=True)
class SshPolicy:
    """What the SSH door does otherwise than the native one, which asks for codes beforehand."""

    login_s: float = 90.0
    """From connecting to being logged in, a code being typed meanwhile."""
    connections: int = 32
    """Those of one person at once that have logged in; each takes a thread."""


def until_answer(refusal_s: float, asked: float) -> float:
    """Return how long to wait until the next multiple of the time after which refusals are told.

    A multiple, so that work which takes longer than that time does not show to the millisecond.
    `asked` is of `time.monotonic`.
    """
    took = time.monotonic() - asked
    return refusal_s - took % refusal_s if refusal_s > 0 else 0.0
