"""Several nodes behind a real balancer, each over a network that can be cut."""

from __future__ import annotations

import contextlib
import enum
import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fsd.policies import BlobPolicy
from fsproto.link import Address
from tests.support import haproxy
from tests.support.cables import Cable
from tests.support.client_processes import Client
from tests.support.nodes import second_home
from tests.support.servers import RunningServer


class Loss(enum.Enum):
    """How a node is lost."""

    KILLED = "killed"
    FROZEN = "frozen"
    CUT = "cut"
    """Nobody reaches it, but it reaches the database and the blob store."""


@dataclass
class Node:
    """A node that can be lost and returned."""

    server: RunningServer
    cable: Cable
    """The way of clients to it."""
    health: Cable
    """The way of the balancer's checks."""
    lost: Loss | None = None

    def lose(self, how: Loss) -> None:
        """Kill it, freeze it, or cut its network."""
        self.lost = how
        match how:
            case Loss.KILLED:
                self.server.kill()
                self.cable.refuse()
                self.health.refuse()
            case Loss.FROZEN:
                self.server.process.send_signal(signal.SIGSTOP)
            case Loss.CUT:
                self.cable.cut()
                self.health.cut()

    def give_back(self) -> None:
        """Start it again, let it run on, or mend its network; harmless if it is not lost."""
        how, self.lost = self.lost, None
        match how:
            case Loss.KILLED:
                self.server = self.server.restart()
                self.cable.accept()
                self.health.accept()
            case Loss.FROZEN:
                self.server.process.send_signal(signal.SIGCONT)
            case Loss.CUT:
                self.cable.mend()
                self.health.mend()


@dataclass
class BalancedNodes:
    """Nodes, and the address of the balancer in front of them."""

    nodes: list[Node]
    address: Address

    @property
    def sent(self) -> int:
        """Bytes that have reached the nodes."""
        return sum(node.cable.traffic.sent for node in self.nodes)


Start = Callable[[int, list[str]], RunningServer]
"""Starts the node with a number, with some options."""


@contextlib.contextmanager
def balanced(folder: Path, start: Start, count: int = 2) -> Iterator[BalancedNodes]:
    """Run some nodes behind HAProxy; all of them run at the end, and no log has a traceback."""
    options = ["--set", f"door.proxies={haproxy.SOURCE}", "--set", "door.leave=5"]
    with contextlib.ExitStack() as opened:
        nodes, lines = [], ["balance roundrobin", "option httpchk GET /healthz"]
        for number in range(count):
            place = haproxy.free_address()
            server = start(number, [*options, "--health-listen", str(place)])
            cable = opened.enter_context(Cable(server.address, source=haproxy.SOURCE))
            health = opened.enter_context(Cable(place))
            node = Node(server, cable, health)
            opened.callback(_stop, node)
            nodes.append(node)
            lines.append(
                f"server n{number} {cable.address} send-proxy-v2 check port {health.address.port}"
                " inter 300ms fall 2 rise 1 on-marked-down shutdown-sessions"
            )
        (address,) = opened.enter_context(haproxy.running(folder, [lines]))
        yield BalancedNodes(nodes, address)
        for node in nodes:
            node.give_back()
            assert "Traceback" not in node.server.log


def on_database(folder: Path, url: str, store: BlobPolicy | None = None) -> Start:
    """Return what starts nodes on a PostgreSQL database and a store; None: a folder of them all."""
    home = folder / "fsd"
    home.mkdir(mode=0o700)
    if store is not None:
        lines = [f'store = "{store.store}"', f'endpoint = "{store.endpoint}"']
        (home / "fsd.toml").write_text("\n".join(["[blobs]", *lines, f'region = "{store.region}"']))

    def start(number: int, more: list[str]) -> RunningServer:
        own = second_home(home, f"node{number}") if number else home
        return RunningServer.start(own, *more, database=url)

    return start


def added(server: RunningServer, address: Address, folder: Path, *names: str) -> list[Client]:
    """Add people whose clients connect to an address; they have not enrolled yet."""
    roster = folder / "people.csv"
    roster.write_text("\n".join(["name", *names]))
    done = server.admin("add-users", str(roster), "--json")
    assert done.returncode == 0, done.stderr
    clients = []
    for one in json.loads(done.stdout)["added"]:
        link = one["enroll_link"].replace(str(server.address), str(address))
        person = {**one, "enroll_link": link}
        clients.append(Client(server, one["user"], folder / one["user"], person))
    return clients


def _stop(node: Node) -> None:
    node.give_back()
    if node.server.process.poll() is None:
        node.server.stop()
