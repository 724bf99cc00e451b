"""Assembly of a gateway from its parts."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fsclient.app import App
from fsclient.gateway.backend import Backend
from fsclient.gateway.config import ConfigFiles
from fsclient.gateway.keys import GatewayKeys, ensure_keys
from fsclient.gateway.listen import Place, listen, place_of, remove
from fsclient.gateway.server import GatewayServer
from fsclient.gateway.session_pool import SessionFactory, SessionPool
from fsclient.gateway.staging import sweep
from fsclient.profile_errors import profile_errors
from fskit.descriptors import raise_limit
from fskit.malloc import return_freed_memory


@dataclass(frozen=True)
class Gateway:
    """A running gateway with its keys and address."""

    server: GatewayServer
    backend: Backend
    keys: GatewayKeys
    files: ConfigFiles


@contextmanager
def running(
    app: App,
    address: Place,
    *,
    read_only: bool,
    allow_remote: bool = False,
    aside: bool = False,
) -> Iterator[Gateway]:
    """Yield a gateway that listens and is logged in; call `serve`. It closes with the block.

    It asks for one-time password and passphrase before the block starts. With `aside`, it does
    not overwrite the configuration files of another gateway of the same profile.
    """
    with app.in_use():
        return_freed_memory(large_at_once=False)  # else a heap for each thread stays
        raise_limit()  # a file that is being written may need one, and each client one
        listener = listen(address, allow_remote=allow_remote)
        try:
            with app.session() as session:
                user = session.identity.user
            keys = ensure_keys(app.profile.folder)
            sweep(keys.staging)
            computes = app.options.otp_secret_file is not None
            sessions = SessionPool(
                SessionFactory(app.keeper(), app.ui, app.patience, computes=computes)
            )
            backend = Backend.build(sessions, keys.staging, app.ui, read_only=read_only)
            server = GatewayServer(backend, keys, listener)
            folder = _aside(keys.folder) if aside else keys.folder
            files = ConfigFiles(folder)
            files.write(keys, user, server.address)
        except BaseException:
            place = place_of(listener)
            listener.close()
            remove(place)
            raise
        try:
            yield Gateway(server, backend, keys, files)
        finally:
            server.close()
            sessions.close()
            if aside:
                shutil.rmtree(folder, ignore_errors=True)


def _aside(folder: Path) -> Path:
    """Return a new folder for the configuration files of one more gateway."""
    with profile_errors(folder):
        return Path(tempfile.mkdtemp(prefix="aside-", dir=folder))
