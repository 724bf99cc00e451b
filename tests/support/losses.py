"""Uploads whose node is lost: when the client notices, when it continues, and what it repeats."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from fsd.store.upload_models import Upload
from fsproto.limits import SEGMENT_SIZE
from tests.support.clusters import BalancedNodes, Loss, Node
from tests.support.world import until

if TYPE_CHECKING:
    from fsd.store.engine import Database
    from tests.support.programs import Process

_WITHIN_S = 240.0
_NOTICED = b"was lost; connecting again"
_OVERHEAD = 4 << 10
"""Bytes of handshakes and requests for each MiB, at most."""


@dataclass(frozen=True)
class Continued:
    """What happened after the node of an upload was lost."""

    noticed_s: float
    """From the loss until the client reported it."""
    resumed_s: float
    """From then until a segment had reached another node."""
    taken: int
    """Bytes that were recorded before the loss."""
    again: int
    """Bytes that reached the other nodes although they had reached the lost one."""

    def __str__(self) -> str:
        """Return one line of a report."""
        return (
            f"noticed after {self.noticed_s:.2f} s, continued {self.resumed_s:.2f} s later; "
            f"{self.taken / 1e6:.1f} MB were recorded, {self.again / 1e6:.1f} MB were sent again"
        )


def taken(database: Database) -> int:
    """Return the bytes of the unfinished uploads that are recorded."""
    with database.read() as db:
        return int(db.scalar(select(func.sum(Upload.size))) or 0)


def continues_elsewhere(
    cluster: BalancedNodes,
    database: Database,
    putting: Process,
    size: int,
    how: Loss,
    after: int,
) -> Continued:
    """Lose the node of a running put once `after` bytes are recorded; the put must succeed.

    `size` is that of the file. No byte may be sent again that was recorded before the loss.
    """
    notices = _Notices(putting)
    until(lambda: taken(database) >= after, "the upload is recorded", _WITHIN_S)
    own = max(cluster.nodes, key=lambda node: node.cable.traffic.sent)
    others = [node for node in cluster.nodes if node is not own]
    before, recorded = _sent(others), taken(database)
    lost_s = time.monotonic()
    own.lose(how)
    reached = own.cable.traffic.sent
    noticed_s = notices.wait(_WITHIN_S)
    until(lambda: _resumed(others, lost_s), "the upload continues elsewhere", _WITHIN_S)
    resumed_s = _resumed(others, lost_s)
    assert putting.wait(_WITHIN_S) == 0, notices.text
    sent = _sent(others) - before
    assert sent <= size - recorded + _OVERHEAD * (size // SEGMENT_SIZE + 16), (
        "taken, and sent again"
    )
    assert resumed_s is not None
    again = max(0, sent + reached - size)
    return Continued(noticed_s - lost_s, resumed_s - noticed_s, recorded, again)


def _sent(nodes: list[Node]) -> int:
    return sum(node.cable.traffic.sent for node in nodes)


def _resumed(nodes: list[Node], since_s: float) -> float | None:
    found = [node.cable.traffic.large_since(since_s) for node in nodes]
    return min((moment for moment in found if moment is not None), default=None)


class _Notices:
    """What a client writes to stderr, and when it reports a lost connection."""

    def __init__(self, process: Process) -> None:
        self.text = b""
        self._noticed = threading.Event()
        self._at_s = 0.0
        self._stream: Callable[[], bytes] = process.stderr.readline  # type: ignore[union-attr]
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while line := self._stream():
            self.text += line
            if _NOTICED in line and not self._noticed.is_set():
                self._at_s = time.monotonic()
                self._noticed.set()

    def wait(self, within_s: float) -> float:
        """Return when the client reported the first loss."""
        assert self._noticed.wait(within_s), self.text
        return self._at_s
