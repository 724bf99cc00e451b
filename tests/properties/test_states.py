"""All states of both ends with arbitrary input: the connection continues correctly or closes."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fsproto.errors import ConnectionLost, NotFsdError, SecurityError, VersionMismatchError
from fsproto.messages import Message
from fsproto.wire.connection import (
    NEED_DATA,
    Connection,
    ConnectionState,
    Control,
    Data,
    Ready,
    Reply,
)
from tests.support import connection_pair
from tests.support import strategies as our

MAY_RAISE = (ConnectionLost, NotFsdError, VersionMismatchError, SecurityError)
NEXT = {
    ConnectionState.HELLO: {ConnectionState.KEY, ConnectionState.CONFIRM},
    ConnectionState.KEY: {ConnectionState.OPEN},
    ConnectionState.CONFIRM: {ConnectionState.OPEN},
    ConnectionState.OPEN: set[ConnectionState](),
    ConnectionState.CLOSED: set[ConnectionState](),
}


class _Side:
    """One end, the bytes in flight to it, and the messages that it sent and received."""

    def __init__(self, end: Connection) -> None:
        self.end = end
        self.on_its_way = b""
        self.interfered = False
        self.said: list[tuple[int, Message]] = []
        self.heard: list[tuple[int, Message]] = []


class TwoEnds(RuleBasedStateMachine):
    """A client, a server, and an attacker between them that may change any bytes."""

    @initialize(arrived=st.integers(0, 4))
    def connect(self, arrived: int) -> None:
        client, server = connection_pair.ends()
        self.sides = _Side(client), _Side(server)
        self.sides[1].on_its_way = client.start()
        for to in (1, 0, 1, 0)[:arrived]:
            self.all_of_it_arrives(to)

    def _deliver(self, to: int, piece: bytes) -> None:
        side, other = self.sides[to], self.sides[1 - to]
        before = side.end.state

        def read() -> None:
            nonlocal before
            side.end.receive_data(piece)
            while (event := side.end.next_event()) is not NEED_DATA:
                match event:
                    case Reply(data):
                        other.on_its_way += data
                    case Control(request, message):
                        side.heard.append((request, message))
                    case Data() | Ready():
                        pass
                assert side.end.state is before or side.end.state in NEXT[before]
                before = side.end.state

        if error := our.outcome(read):
            assert isinstance(error, MAY_RAISE)
            assert side.end.state is ConnectionState.CLOSED
            # During the exchange, an end may answer a changed message: then its peer notices.
            answered = other.interfered and before is not ConnectionState.OPEN
            assert side.interfered or answered or not piece or before is ConnectionState.CLOSED

    @rule(to=st.integers(0, 1), share=st.floats(0.01, 1))
    def some_of_it_arrives(self, to: int, share: float) -> None:
        side = self.sides[to]
        count = max(1, int(len(side.on_its_way) * share))
        piece, side.on_its_way = side.on_its_way[:count], side.on_its_way[count:]
        if piece:
            self._deliver(to, piece)

    @rule(to=st.integers(0, 1))
    def all_of_it_arrives(self, to: int) -> None:
        self.some_of_it_arrives(to, 1)

    @rule(to=st.integers(0, 1), junk=st.binary(min_size=1, max_size=60))
    def something_else_arrives(self, to: int, junk: bytes) -> None:
        self.sides[to].interfered = True
        self._deliver(to, junk)

    @rule(to=st.integers(0, 1), length=st.integers(0, 9000), fill=st.integers(0, 255))
    def a_message_of_any_length_arrives(self, to: int, length: int, fill: int) -> None:
        self.something_else_arrives(to, length.to_bytes(4, "big") + bytes([fill]) * length)

    @precondition(lambda self: any(side.on_its_way for side in self.sides))
    @rule(to=st.integers(0, 1), data=st.data())
    def it_is_changed_on_its_way(self, to: int, data: st.DataObject) -> None:
        side = self.sides[to]
        if side.on_its_way:
            side.interfered = True
            side.on_its_way = data.draw(our.flipped(side.on_its_way))

    @rule(to=st.integers(0, 1))
    def the_peer_hangs_up(self, to: int) -> None:
        self._deliver(to, b"")

    @rule(who=st.integers(0, 1), message=our.messages)
    def one_end_speaks_if_it_can(self, who: int, message: Message) -> None:
        side, other = self.sides[who], self.sides[1 - who]
        try:
            record = side.end.send(len(side.said), message)
        except RuntimeError:
            assert side.end.state not in (ConnectionState.CONFIRM, ConnectionState.OPEN)
            return
        assert side.end.state in (ConnectionState.CONFIRM, ConnectionState.OPEN)
        side.said.append((len(side.said), message))
        other.on_its_way += record

    @invariant()
    def what_is_heard_was_said_and_in_this_order(self) -> None:
        if hasattr(self, "sides"):
            for side, other in (self.sides, self.sides[::-1]):
                assert side.heard == other.said[: len(side.heard)]

    @invariant()
    def a_closed_end_says_so_for_ever(self) -> None:
        for side in getattr(self, "sides", ()):
            if side.end.state is ConnectionState.CLOSED:
                assert isinstance(our.outcome(side.end.next_event), ConnectionLost)

    def teardown(self) -> None:
        """Deliver all bytes: without interference both ends are open and receive every message."""
        if not hasattr(self, "sides") or any(
            side.interfered or side.end.state is ConnectionState.CLOSED for side in self.sides
        ):
            return
        while any(side.on_its_way for side in self.sides):
            for to in (0, 1):
                self.all_of_it_arrives(to)
        for side, other in (self.sides, self.sides[::-1]):
            assert side.end.state is ConnectionState.OPEN
            assert side.heard == other.said


TestTwoEnds = TwoEnds.TestCase
TestTwoEnds.settings = settings(stateful_step_count=25)
