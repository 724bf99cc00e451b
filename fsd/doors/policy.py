"""What the door does by default: its times, and what strangers may have of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DoorPolicy:
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
