"""A gateway from its parts; the one place that knows them all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fsclient.app import App
from fsclient.gateway.config import write_files
from fsclient.gateway.desks import Desks, Sessions
from fsclient.gateway.filesystem import House
from fsclient.gateway.keys import ensure_keys
from fsclient.gateway.server import Server, listen
from fsclient.gateway.staging import sweep
from fsproto.link import Address


@contextmanager
def running(
    app: App, address: Address, *, read_only: bool, allow_remote: bool = False
) -> Iterator[Server]:
    """Give a gateway that listens and is logged in; `serve` it. All of it ends with the block.

    One-time password and passphrase are asked for before the block begins.
    """
    listener = listen(address, allow_remote=allow_remote)
    try:
        with app.session() as session:
            user = session.identity.user
        keys = ensure_keys(app.profile.folder)
        sweep(keys.staging)
        computes = app.options.otp_secret_file is not None
        desks = Desks(Sessions(app.keeper(), app.ui, app.patience, computes=computes))
        house = House.build(desks, keys.staging, app.ui, read_only=read_only)
        server = Server(house, keys, listener)
        write_files(keys, user, server.address)
    except BaseException:
        listener.close()
        raise
    try:
        yield server
    finally:
        server.close()
        desks.close()
