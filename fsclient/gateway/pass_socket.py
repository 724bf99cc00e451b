"""The program that connects OpenSSH to a Unix socket: `python pass_socket.py PATH`.

OpenSSH starts it as `ProxyCommand` with `ProxyUseFdpass`. It connects, gives the connection to
OpenSSH, which waits for it on the standard output, and ends; so it moves no data. It imports the
standard library only, and nothing of this package.
"""

import array
import socket
import sys

SCM_RIGHTS = getattr(socket, "SCM_RIGHTS", 0)
"""Not on every system; but where it is missing, so are Unix sockets."""


def main(path: str) -> None:
    """Connect to a Unix socket and pass the connection on."""
    with (
        socket.socket(socket.AddressFamily["AF_UNIX"], socket.SOCK_STREAM) as connection,
        socket.socket(fileno=1) as ssh,
    ):
        connection.connect(path)
        rights = array.array("i", [connection.fileno()])
        ssh.sendmsg([b"\0"], [(socket.SOL_SOCKET, SCM_RIGHTS, rights)])


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except OSError as error:
        sys.exit(f"fsclient: The gateway cannot be reached at {sys.argv[1]}: {error.strerror}.")
