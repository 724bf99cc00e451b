"""One HTTP connection to the server of a link, opened when it is needed; errors as sentences."""

from __future__ import annotations

import base64
import http.client
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from fsproto.errors import ConnectionLost, RemoteProtocolError, Unreachable

_SAFE_HOSTS = ("localhost", "127.0.0.1", "::1")


class HttpLine:
    """One connection to the server of a link."""

    def __init__(self, base: str, *, timeout_s: float) -> None:
        """`base` is the URL before the page."""
        self._parts = urlsplit(base)
        self._timeout_s = timeout_s
        self._line: http.client.HTTPConnection | None = None
        self._last: http.client.HTTPResponse | None = None

    @property
    def host(self) -> str:
        """The name of the host, with the port if there is one in the URL."""
        return self._parts.netloc

    @property
    def is_protected(self) -> bool:
        """Whether others on the network can neither read nor change the traffic."""
        return self._parts.scheme.lower() == "https" or self._parts.hostname in _SAFE_HOSTS

    def reconnect(self) -> None:
        """Open a new connection; `Unreachable` if that fails."""
        self.close()
        with self._translated():
            self._connection().connect()

    def close(self) -> None:
        """Close the connection."""
        if self._line is not None:
            self._line.close()
            self._line = self._last = None

    def _connection(self) -> http.client.HTTPConnection:
        if self._line is None:
            host, port = self._parts.hostname or "", self._parts.port
            if self._parts.scheme.lower() == "https":
                self._line = http.client.HTTPSConnection(
                    host, port, timeout=self._timeout_s, context=ssl.create_default_context()
                )
            else:
                self._line = http.client.HTTPConnection(host, port, timeout=self._timeout_s)
        return self._line

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Raise errors of sockets, TLS and HTTP as ours; the connection is then closed."""
        try:
            yield
        except ssl.SSLCertVerificationError as error:
            self.close()
            raise Unreachable(
                f"The certificate of {self.host} is not valid: {error.verify_message}.",
                hint="Ask the operator of the server.",
            ) from None
        except (TimeoutError, http.client.IncompleteRead, http.client.RemoteDisconnected):
            self.close()
            raise ConnectionLost from None
        except OSError as error:
            self.close()
            raise Unreachable(
                f"The server at {self.host} cannot be reached: {error.strerror or error}."
            ) from None
        except (http.client.HTTPException, ValueError):
            self.close()
            raise RemoteProtocolError(
                f"The server at {self.host} does not speak HTTP as it should."
            ) from None
        except BaseException:
            self.close()
            raise


def encoded(data: bytes) -> str:
    """Return bytes as they are in paths and headers: base64url without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
