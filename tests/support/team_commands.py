"""Commands of the devices of an honest team: how they are given, and what their results say.

Alice shares `reports` with bob and carol (`tests.support.team.gathered`), and later whatever her
commands share. Each person has devices. All places are those of alice's tree.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from hypothesis import strategies as st

from fsclient.app import App
from tests.support.team import DEEP as DEEP_FILE
from tests.support.team_record import (
    ARCHIVE,
    DEEP,
    DEEP_ENTRY,
    FOLDERS,
    PEOPLE,
    PLACES,
    REPORTS,
    TOP,
    History,
    Shown,
    Where,
    members_of,
)
from tests.support.world import FILES, Person, Ran, ran

FILES_AT: list[Where] = [
    *[(REPORTS, "q1.txt"), (DEEP, "d.txt"), (ARCHIVE, "old.txt")],
    *[(folder, "a") for folder in FOLDERS],
]
"""The files that commands are about."""


def _first(folder: str) -> dict[str, str]:
    return {
        name: content.decode()
        for path, content in FILES["alice"].items()
        for above, _, name in [path.rpartition("/")]
        if above == folder != TOP
    }


FIRST: dict[str, Shown] = {
    TOP: {},
    REPORTS: _first(REPORTS) | {DEEP_ENTRY: DEEP_ENTRY},
    ARCHIVE: _first(ARCHIVE),
    DEEP: {"d.txt": DEEP_FILE.decode()},
    members_of(REPORTS): {"bob": "writer", "carol": "reader"},
    PEOPLE: {},
}
"""What each folder shows before the first command; of the top, only `deep` is recorded."""
Claim = tuple[str, Callable[[Shown], bool]]
"""A folder, and what a command says of it."""


class Device:
    """One device of a person: a profile, a local folder, and a shell that stays open."""

    verbs: ClassVar[Mapping[str, str]] = {}
    """The verbs that it gives in place of those that it does not have."""

    def __init__(self, name: str, person: Person) -> None:
        """Take a name, and the person with the profile."""
        self.name, self.person = name, person
        self.branch = "main"
        """The branch that the server shows to it."""
        self._shell: App | None = None

    @property
    def profile(self) -> str:
        """The name of its profile in the record of what was seen."""
        return self.name

    @property
    def user(self) -> str:
        """The person's name."""
        return self.person.name

    @property
    def local(self) -> Path:
        """The local folder that `sync` makes equal to `reports`."""
        return self.person.home / "local"

    def path(self, way: str) -> str:
        """Return a path of alice's tree as this person writes it."""
        return way if self.user == "alice" else f"alice:{way}"

    def run(self, *args: str | Path, quickly: bool) -> Ran:
        """Run a command, over a new connection or (`quickly`) in the shell's session."""
        if not quickly:
            return self.person.run(*args)
        if self._shell is None:
            self._shell = App(self.person.patience)
            self._shell.options.home = self.person.client
            self._shell.enter_shell()
        with self._shell.line():
            return ran(self._shell, *args)

    @property
    def key_file(self) -> Path:
        """The file of the person's keys on this device."""
        return self.person.profile / "identity.key"

    def close(self) -> None:
        """Close what stays open between commands."""
        if self._shell is not None:
            self._shell.drop_session()
        self._shell = None

    def have(self) -> dict[Where, str]:
        """Return the content of the files in the local folder, and that `deep` is in it."""
        have = {}
        for path in self.local.rglob("*"):
            folder = REPORTS if path.parent == self.local else DEEP
            if path.is_file():
                have[folder, path.name] = path.read_text()
            else:
                have[folder, f"{path.name}/"] = f"{path.name}/"
        return have


@dataclass(frozen=True)
class Act:
    """A command that a device can be given."""

    verb: str
    """`members` shows all shares, `move` moves `deep`, `rotate` replaces the person's keys; the
    others are commands of the client."""
    at: Where
    to: Where
    """Where `mv` moves it."""
    place: str
    """The folder that `move` moves `deep` into."""
    share: str
    """The folder to share, or not to share any more."""
    member: str
    """The person to share with, or to remove."""
    writes: bool
    """Whether the person may write."""
    now: bool
    """Whether `unshare` and `rotate` renew everything at once, and `mv` replaces a file."""
    directly: bool
    """Whether a member reaches `deep` as a share of its own, if it is one."""

    def given_by(self, device: Device, history: History) -> Act:
        """Return the command that a device gives instead, so that few have nothing to do."""
        verb = device.verbs.get(self.verb, self.verb)
        if device.user != "alice":
            verb = {"share": "put", "unshare": "sync", "members": "ls"}.get(verb, verb)
            if verb in ("put", "rm", "mv", "move") and not self.now:
                writes = history.role(device.user, self.at[0]) == "writer"
                verb = verb if writes else "ls"
        if verb in ("cat", "rm", "mv", "history") and not (self.now or self._is_there(history)):
            verb = "put" if history.role(device.user, self.at[0]) in ("owner", "writer") else "ls"
        return replace(self, verb=verb, to=(self.place, DEEP_ENTRY) if verb == "move" else self.to)

    def _is_there(self, history: History) -> bool:
        folder, name = self.at
        return name in history.now(folder)

    def way(self, device: Device, where: Where, history: History) -> str:
        """Return the path of a name as a device writes it, now on its branch."""
        folder, name = where
        above = history.place_of_deep
        is_way = history.role(device.user, above) is not None
        is_top = device.user in history.now(members_of(DEEP))
        if folder == DEEP and above and not (is_top and (self.directly or not is_way)):
            folder = f"{above}/{DEEP}"
        return device.path(f"{folder}/{name}")

    def arguments(self, device: Device, number: int, history: History) -> list[str | Path]:
        """Return the words of the command line; `number` is the content of a new file."""
        path = self.way(device, self.at, history)
        match self.verb:
            case "put":
                return ["put", device.person.write(f"new {number}", str(number).encode()), path]
            case "cat" | "rm":
                return [self.verb, path]
            case "mv":
                to = self.way(device, self.to, history)
                return ["mv", *(["-f"] if self.now else []), path, to]
            case "move":
                deep = (history.place_of_deep, DEEP)
                return ["mv", *(self.way(device, one, history) for one in (deep, (self.to[0], "")))]
            case "history":
                return ["history", path]
            case "ls" | "find" | "doctor":
                return [self.verb, path.rpartition("/")[0]]
            case "sync":
                return ["sync", "--down", "--delete", device.local, device.path(REPORTS)]
            case "share" | "unshare":
                share = self.way(device, (self.share, ""), history).rstrip("/")
                if self.verb == "share":
                    return ["share", share, self.member, *(["--write"] if self.writes else [])]
                return ["unshare", *(["--now"] if self.now else []), share, self.member]
            case "rotate":
                code = device.person.app.fresh()
                return ["--otp", code, "keys", "rotate", *(["--now"] if self.now else [])]
        return ["--json", "shares"]

    def changes(self, number: int, history: History) -> dict[Where, str | None]:
        """Return what this command changes on a branch."""
        match self.verb:
            case "put":
                return {self.at: str(number)}
            case "rm":
                return {self.at: None}
            case "mv":
                folder, name = self.at
                return {self.at: None, self.to: history.now(folder)[name]}
            case "move":
                return {(history.place_of_deep, DEEP_ENTRY): None, self.to: DEEP_ENTRY}
            case "share":
                return {(members_of(self.share), self.member): self.role}
            case "unshare":
                return {(members_of(self.share), self.member): None}
        return {}

    @property
    def role(self) -> str:
        """The role that `share` gives."""
        return "writer" if self.writes else "reader"

    def must_succeed(self, device: Device, history: History) -> bool | None:
        """Return whether it succeeds with an honest server, as the folders are now; None: unknown.

        `unshare --now` succeeds also if the person is out already.
        """
        role, there = history.role(device.user, self.at[0]), self._is_there(history)
        may_write = role in ("owner", "writer")
        match self.verb:
            case "put":
                return may_write
            case "rm":
                return may_write and there
            case "mv":
                is_free = self.now or self.to[1] not in history.now(self.to[0])
                may_put = history.role(device.user, self.to[0]) in ("owner", "writer")
                return may_write and there and may_put and is_free
            case "move":
                is_new = self.to[0] != history.place_of_deep
                return True if device.user == "alice" and is_new else None
            case "cat":
                return role is not None and there
            case "history":  # also of what was removed, if the server still has it
                return role is not None and (there or None)
            case "ls" | "find" | "doctor":
                return role is not None
            case "sync":
                return history.role(device.user, REPORTS) is not None
            case "rotate":
                return None  # a few are allowed each day
            case "unshare":
                return self.now or self.member in history.now(members_of(self.share))
        return True

    def claims(self, device: Device, done: Ran, had: Mapping[Where, str]) -> Iterator[Claim]:
        """Yield what its result says of folders; `had` is the local folder before."""
        missing = _missing(done.err)
        if self.verb == "sync":
            yield from _local_claims(device, had, whole=done.status == 0)
        elif missing is not None:
            yield missing[0], lambda shown: missing[1] not in shown
        elif done.status == 0:
            yield from self._claims_of_success(done)

    def _claims_of_success(self, done: Ran) -> Iterator[Claim]:
        folder, name = self.at
        match self.verb:
            case "cat":
                yield folder, lambda shown: shown.get(name) == done.out.decode()
            case "ls":
                names = set(done.out.decode().splitlines())
                yield folder, lambda shown: names == set(shown)
            case "members":
                shares = {one["path"]: one["members"] for one in json.loads(done.out)["by_me"]}
                roles = {
                    path.rpartition("/")[2]: {one["user"]: one["role"] for one in members}
                    for path, members in shares.items()
                }
                for one in FOLDERS:
                    yield members_of(one), lambda shown, one=one: shown == roles.get(one, {})  # type: ignore[misc]
            case "share":
                yield members_of(self.share), lambda shown: shown.get(self.member) == self.role
            case "unshare":
                yield members_of(self.share), lambda shown: self.member not in shown
                yield self.share, lambda _: True
            case "put":
                yield folder, lambda _: True
            case "rm":
                yield folder, lambda shown: name not in shown
            case "mv" | "move":
                yield self.to[0], lambda shown: self.to[1] in shown


def _missing(said: str) -> Where | None:
    """Return the entry that does not exist as an error says, if it is one of alice's folders."""
    found = re.search(r"There is no '(?:alice:|/@shared/alice/|/)?([^':]+)'", said)
    if found is None:
        return None
    *above, name = found[1].strip("/").split("/")
    if not above:
        return None  # the top of a tree, or a share of its own
    return above[-1], f"{name}/" if name in FOLDERS else name


def _local_claims(device: Device, had: Mapping[Where, str], *, whole: bool) -> Iterator[Claim]:
    """Yield what the local folder says after a sync: all of it, or what has changed in it."""
    have = device.have()
    for folder in (REPORTS, DEEP):
        here = {name: have[place, name] for place, name in have if place == folder}
        changed = {
            name: have.get((place, name))
            for place, name in had.keys() | have.keys()
            if place == folder and had.get((place, name)) != have.get((place, name))
        }
        if folder == DEEP and (REPORTS, DEEP_ENTRY) not in have:
            continue  # it was moved away; that is claimed of `reports`
        if whole:
            yield folder, here.__eq__
        elif changed:
            yield folder, lambda shown, some=changed: some == {n: shown.get(n) for n in some}  # type: ignore[misc]


ACTS = st.builds(
    Act,
    st.sampled_from(
        [
            *["put", "unshare", "sync", "cat", "mv", "share", "members", "ls", "rm"],
            *["put", "unshare", "move", "put", "mv", "history", "find", "doctor"],
        ]
    ),
    st.sampled_from(FILES_AT),
    st.sampled_from(FILES_AT),
    st.sampled_from(PLACES),
    st.sampled_from(FOLDERS),
    st.sampled_from(["bob", "carol"]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
).filter(lambda act: act.verb != "mv" or act.at != act.to)
ROTATIONS = ACTS.map(lambda act: replace(act, verb="rotate"))
SHARES = ACTS.filter(lambda act: act.verb in ("share", "unshare", "move"))
