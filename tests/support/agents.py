"""Programs that answer at the agent's socket in place of the agent."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from fsclient.agent.place import SOCKET, agent_folder
from fskit.unix_sockets import PrivateFolder

Answering = Callable[[socket.socket], None]


@contextlib.contextmanager
def agent(home: Path, answer: Answering) -> Iterator[None]:
    """Answer at the agent's socket, on each connection by a call of `answer`."""
    with PrivateFolder.open(agent_folder(home), create=True) as folder:
        listener = folder.listen(SOCKET)

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, contextlib.suppress(OSError):
                        answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join()
            folder.remove(SOCKET)


def says(data: bytes) -> Answering:
    def answer(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(data)

    return answer
