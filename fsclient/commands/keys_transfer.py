"""`fsclient keys export` and `fsclient keys import`: the same keys on another machine."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import click

from fsclient.app import App
from fsclient.commands.replacing import replacing
from fsclient.local_errors import local_errors
from fsclient.profile import AccountFacts, Profile
from fsclient.trust.pins import PinStore
from fsclient.trust.seen import SeenVersions
from fsclient.trust.sightings import Sighting
from fsclient.ui import binary_stdin, binary_stdout
from fskit.files import new_file, write_private
from fskit.local_paths import LocalPath
from fsproto.errors import ExistsError, IntegrityError, UsageError, WrongPassphraseError
from fsproto.keys.export import MAX_EXPORT, check_export, open_export, seal_export
from fsproto.keys.key_file import seal_identity
from fsproto.keys.portable import (
    PART_PEOPLE,
    PART_SEEN,
    KnownPeople,
    Portable,
    Seen,
    pack_people,
    pack_seen,
    unpack_people,
    unpack_seen,
)
from fsproto.names import for_terminal
from fsproto.proofs.lineage import LineagePoint
from fsproto.types import Hash, NodeId

_STANDARD = "-"


@click.command(short_help="Write your keys to a file, for another machine.")
@click.argument("file", metavar="FILE", type=LocalPath(path_type=str))
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@click.pass_obj
def export(app: App, file: str, *, force: bool) -> None:
    """Write your keys to FILE, to import them on another machine of yours.

    FILE ('-' is standard output) is always sealed under a passphrase, which is asked for twice
    (in scripts: FSCLIENT_EXPORT_PASSPHRASE). It holds your private keys, the address of the
    server, other people's keys as you know them, and the newest versions seen here. Your
    session stays on this machine: the other one logs in itself.
    """
    if file == _STANDARD:
        app.content_goes_to_stdout()
    else:
        _check_target(Path(file), force=force)
    portable = _portable(app)
    data = seal_export(portable, _new_passphrase(app), os.urandom)
    if file == _STANDARD:
        out = binary_stdout()
        out.write(data)
        out.flush()
        return
    _write(Path(file), data, force=force)
    app.ui.say(f"Your keys are in '{file}'; on the other machine: fsclient keys import FILE")
    shown = portable.identity.bundle.fingerprint
    app.ui.result_of(user=portable.identity.user, file=file, fingerprint=shown)


@click.command("import", short_help="Take over keys that were exported elsewhere.")
@click.argument("file", metavar="FILE", type=LocalPath(path_type=str))
@click.option("--no-passphrase", is_flag=True, help="Keep the identity without a passphrase.")
@click.pass_obj
@replacing
def import_(app: App, /, file: str, *, no_passphrase: bool) -> None:
    """Create a profile from a file that 'fsclient keys export' wrote on another machine.

    The command asks for the passphrase of FILE ('-' is standard input; in scripts:
    FSCLIENT_EXPORT_PASSPHRASE) and for a passphrase for your keys on this machine
    (FSCLIENT_PASSPHRASE or --no-passphrase). Then log in with 'fsclient login'. A profile of the
    same name stays in the way: --profile NAME creates another one, --replace renames it.
    """
    app.options.no_passphrase = no_passphrase
    profile = app.profile
    profile.check_free()
    data = _read(file)
    check_export(data)
    portable = open_export(data, _given_passphrase(app))
    seen, people = _seen(portable), _people(portable)
    keyfile = seal_identity(portable.identity, app.passphrase().new(app.ui), os.urandom)
    _settle(profile, AccountFacts(portable.link, portable.root), keyfile, seen, people)
    user, shown = portable.identity.user, portable.identity.bundle.fingerprint
    app.ui.say(f"The keys of {user} are in {profile.folder}; log in with 'fsclient login'.")
    app.ui.result(
        {"user": user, "server": str(portable.link.address), "fingerprint": shown},
        f"fingerprint {shown}",
    )


def _portable(app: App) -> Portable:
    """Return the contents of this profile for the export."""
    facts = app.profile.facts()
    identity = app.keeper().identity(typed=True)
    with closing(SeenVersions(app.profile.memory)) as memory:
        seen = [
            Seen(one.node, one.what, one.point.version, one.point.lineage, one.point.hash)
            for one in memory.everything()
        ]
    with closing(PinStore(app.profile.people)) as store:
        people = pack_people(store.everything())
    parts = {PART_SEEN: pack_seen(seen), PART_PEOPLE: people}
    return Portable(identity, facts.link, facts.root, parts)


def _seen(portable: Portable) -> list[Sighting]:
    """Return the versions that the other machine had seen; `IntegrityError` if malformed."""
    if PART_SEEN not in portable.parts:
        return []
    try:
        seen = unpack_seen(portable.parts[PART_SEEN])
    except ValueError:
        raise IntegrityError("The exported profile is damaged.") from None
    return [
        Sighting(
            NodeId(one.node),
            one.what,
            LineagePoint(one.version, Hash(one.lineage), Hash(one.hash)),
        )
        for one in seen
    ]


def _people(portable: Portable) -> KnownPeople | None:
    """Return the people's keys that the other machine had; `IntegrityError` if malformed."""
    if PART_PEOPLE not in portable.parts:
        return None
    try:
        return unpack_people(portable.parts[PART_PEOPLE])
    except ValueError:
        raise IntegrityError("The exported profile is damaged.") from None


def _settle(
    profile: Profile,
    facts: AccountFacts,
    keyfile: bytes,
    seen: list[Sighting],
    people: KnownPeople | None,
) -> None:
    """Create the profile; a failure leaves none."""
    with (
        profile.arriving(facts, keyfile) as folder,
        closing(SeenVersions(folder / "memory.db")) as memory,
        closing(PinStore(folder / "people.db")) as store,
    ):
        memory.remember(seen)
        if people is not None:
            store.take_over(people)


def _new_passphrase(app: App) -> str:
    """Return a passphrase for the file; `UsageError` if none is given."""
    ui, given = app.ui, app.options.export_passphrase
    if given is None and not ui.can_ask():
        raise UsageError(
            "There is no terminal to ask for a passphrase for the file.",
            hint="Set FSCLIENT_EXPORT_PASSPHRASE.",
        )
    first = ui.ask_secret("Passphrase for the file: ") if given is None else given
    if not first:
        raise UsageError("Keys are not exported without a passphrase; nothing was written.")
    if given is None and ui.ask_secret("The same again: ") != first:
        raise UsageError("The two passphrases differ; nothing was written.")
    return first


def _given_passphrase(app: App) -> str:
    """Return the passphrase that the user gives for the sealed file."""
    if app.options.export_passphrase is not None:
        return app.options.export_passphrase
    if not app.ui.can_ask():
        raise WrongPassphraseError(
            "The file has a passphrase and there is no terminal to ask for it.",
            hint="Set FSCLIENT_EXPORT_PASSPHRASE.",
        )
    return app.ui.ask_secret("Passphrase of the file: ")


def _check_target(path: Path, *, force: bool) -> None:
    """Raise `UsageError` for a folder, and `ExistsError` for a file unless `force` is set."""
    shown = for_terminal(str(path))
    if path.is_dir():
        raise UsageError(f"The local '{shown}' is a folder.", hint="Give the name of a file.")
    if not force and os.path.lexists(path):
        raise ExistsError(
            f"The local '{shown}' exists already.",
            hint="Choose another name, or give --force to replace it.",
        )


def _write(path: Path, data: bytes, *, force: bool) -> None:
    """Write a file (0600) that is whole or not there."""
    with local_errors(path):
        if force:
            write_private(path, data)
            return
        with new_file(path) as out:
            out.write(data)


def _read(file: str) -> bytes:
    """Return the bytes of an exported profile; read only the start of a file that is too long."""
    if file == _STANDARD:
        return binary_stdin().read(MAX_EXPORT + 1)
    with local_errors(Path(file)), Path(file).open("rb") as source:
        return source.read(MAX_EXPORT + 1)
