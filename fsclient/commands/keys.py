"""`fsclient keys`."""

from __future__ import annotations

import click

from fsclient.app import App
from fsclient.commands.keys_passphrase import passphrase
from fsclient.commands.keys_recovery import backup, recover
from fsclient.commands.keys_republish import republish
from fsclient.commands.keys_rotate import rotate
from fsclient.commands.keys_transfer import export, import_
from fsclient.transfer.content import checked_content
from fsproto.errors import UsageError
from fsproto.sealed.stream import content_ad


@click.group()
def command() -> None:
    """Back up your keys, move them to another machine, recover or replace them.

    Your keys exist only on this machine. 'export' and 'import' copy them to another machine of
    yours. 'backup' stores them at the server, sealed under words that you write down; 'recover'
    gets them back on a new machine with those words and a one-time password. 'passphrase'
    protects them on this machine. 'rotate' replaces your keys; 'republish' gives a server that
    was restored from a backup your newer keys again.
    """


for _child in (export, import_, backup, recover, rotate, passphrase, republish):
    command.add_command(_child)


@command.command("file", short_help="Show the key of a file.")
@click.argument("path", metavar="REMOTE")
@click.pass_obj
def file(app: App, path: str) -> None:
    """Show the key of a file, so that another program can open the stored blob.

    The blob is a Tink stream (AES256_GCM_HKDF_1MB) under the file key and the associated data
    shown. Salt and root belong to the salted SHA-256; the root is the name of the blob at the
    server. The key is enough to read this version of the file, and no other.
    """
    with app.session() as session:
        found = session.tree.find(app.path(path))
        if found.is_folder:
            raise UsageError(f"'{found.path}' is a folder; only files have such a key.")
        session.context.authors.check_manifest(found.manifest)
    content, key = checked_content(found, found.manifest.body.content)
    data = {
        "file_key": key.hex(),
        "associated_data": content_ad(found.keyed.node, content.version).hex(),
        "salt": content.salt.hex(),
        "root": content.root.hex(),
        "blob": content.root.hex(),
    }
    app.ui.warn("This is the key of the file: it is enough to read this version.")
    app.ui.result(data, [f"{name:16} {value}" for name, value in data.items()])
