"""What really happened in a team, branch by branch, and what each device must not lose of it.

Plain records, which know nothing of versions, hashes or keys. A branch has made a list of changes.
A device knows a set of changes: those that it made, and those that explain what it was shown.
There must always be one state of one branch that has all of them and shows what the device is
shown.

Alice's tree has the folders `reports`, `archive` and `deep`; `deep` is in one of the other two or
at the top. Each of them may be shared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

TOP, REPORTS, ARCHIVE, DEEP = "", "reports", "archive", "deep"
FOLDERS = (REPORTS, ARCHIVE, DEEP)
"""The folders that commands change; all of them are always there."""
PLACES = (REPORTS, ARCHIVE, TOP)
"""The folders that `deep` may be in."""
DEEP_ENTRY = "deep/"
"""The name of `deep` in the folder that it is in."""
PEOPLE = "the key log"
OUT = "struck out"
Shown = Mapping[str, str]
"""The content of each name in a folder, or the role of each member. Names of folders end in `/`."""
Where = tuple[str, str]
"""A folder, and a name in it; or the members of a folder, and a person."""


def members_of(folder: str) -> str:
    """Return the name of a folder's member list in the record."""
    return f"the members of {folder}"


@dataclass(frozen=True)
class Change:
    """One commit; the same one may be made on several branches."""

    number: int
    folders: frozenset[str]
    """The folders and lists of which it makes a new version."""
    made: Mapping[Where, str | None] = field(default_factory=dict)
    """The new content of names and the new roles of members; None: removed."""

    def role(self, folder: str, user: str) -> str | None:
        """Return the new role of a person in a folder; `OUT`: struck out; None: not changed."""
        where = members_of(folder), user
        return (self.made[where] or OUT) if where in self.made else None


@dataclass
class History:
    """What one branch has made, in order."""

    first: Mapping[str, Shown]
    """What each folder showed before the first change."""
    changes: list[Change] = field(default_factory=list)

    def copy(self) -> History:
        """Return the branch of a fork."""
        return History(self.first, list(self.changes))

    def states(self, folder: str) -> Iterator[tuple[frozenset[int], Shown]]:
        """Yield each state of a folder, the oldest first: its changes, and what it shows."""
        shown, made = dict(self.first.get(folder, {})), set[int]()
        yield frozenset(made), dict(shown)
        for change in self.changes:
            if folder not in change.folders:
                continue
            for (place, name), content in change.made.items():
                if place == folder and content is None:
                    shown.pop(name, None)
                elif place == folder and content is not None:
                    shown[name] = content
            made.add(change.number)
            yield frozenset(made), dict(shown)

    def now(self, folder: str) -> Shown:
        """Return what a folder shows now."""
        return list(self.states(folder))[-1][1]

    def numbers(self, folder: str) -> frozenset[int]:
        """Return the changes of a folder."""
        return frozenset(one.number for one in self.changes if folder in one.folders)

    @property
    def place_of_deep(self) -> str:
        """The folder that `deep` is in now."""
        return next(one for one in PLACES if DEEP_ENTRY in self.now(one))

    def way_up(self, folder: str) -> tuple[str, ...]:
        """Return a folder and the folders above it that may be shared."""
        return way_up(folder, self.place_of_deep)

    def role(self, user: str, folder: str) -> str | None:
        """Return what a person may do in a folder: `owner`, `writer`, `reader`, or None."""
        if user == "alice":
            return "owner"
        roles = {self.now(members_of(one)).get(user) for one in self.way_up(folder)}
        return next((role for role in ("writer", "reader") if role in roles), None)


def way_up(folder: str, deep_is_in: str) -> tuple[str, ...]:
    """Return a folder and the folders above it that may be shared."""
    if folder == TOP:
        return ()
    return (DEEP, *way_up(deep_is_in, TOP)) if folder == DEEP else (folder,)


Knowledge = dict[str, frozenset[int]]
"""The changes of each folder and list that a device knows."""


@dataclass
class Record:
    """All branches, and what each device knows."""

    branches: dict[str, History]
    known: dict[str, Knowledge] = field(default_factory=dict)

    def fork(self, name: str, new: str) -> None:
        """Note that a branch was copied."""
        self.branches[new] = self.branches[name].copy()

    def knows(self, device: str, folder: str) -> frozenset[int]:
        """Return the changes of a folder that a device knows."""
        return self.known.setdefault(device, {}).get(folder, frozenset())

    def learns(self, device: str, folder: str, changes: frozenset[int]) -> None:
        """Note changes that a device knows from now on."""
        self.known.setdefault(device, {})[folder] = self.knows(device, folder) | changes

    def explained(
        self,
        devices: Iterable[str],
        folder: str,
        shows: Callable[[Shown], bool],
        known: frozenset[int],
    ) -> bool:
        """Return whether one state explains what a device is shown, with all that it knew.

        If there is such a state, all of `devices` know from now on what all such states have.
        """
        possible = [made for made, _ in self._possible(folder, known, shows)]
        if not possible:
            return False
        for one in devices:
            self.learns(one, folder, frozenset.intersection(*possible))
        return True

    def _possible(
        self, folder: str, known: frozenset[int], shows: Callable[[Shown], bool]
    ) -> Iterator[tuple[frozenset[int], Shown]]:
        for history in self.branches.values():
            for made, shown in history.states(folder):
                if known <= made and shows(shown):
                    yield made, shown

    # --- who may open what

    def may_open(
        self, known: Knowledge, branch: str, user: str, folder: str, deep_is_in: str | None
    ) -> bool:
        """Return whether a device may seal something in a folder so that a person can open it.

        It may if it takes the person for a member of the folder, or of a folder above it. `known`
        is what it knew when its command started. `deep_is_in` is the folder that `deep` is in; if
        it is None, `deep` is in any folder that the device may take for it.
        """
        places = {deep_is_in} if deep_is_in is not None else self._places_of_deep(known)
        ways = {way_up(folder, place) for place in places}
        return any(self._may_be_member(known, branch, user, one) for way in ways for one in way)

    def _places_of_deep(self, known: Knowledge) -> set[str]:
        return {
            place
            for place in PLACES
            for _ in self._possible(
                place, known.get(place, frozenset()), lambda shown: DEEP_ENTRY in shown
            )
        }

    def _may_be_member(self, known: Knowledge, branch: str, user: str, folder: str) -> bool:
        """Return whether a device may take a person for a member of a folder.

        It may not if it knows a change that struck the person out, and the branch has not shared
        the folder with the person again since. A branch that lacks this change shares with nobody,
        as far as the device goes.
        """
        numbers = known.get(members_of(folder), frozenset()) | known.get(folder, frozenset())
        on_branch = self.branches[branch].changes
        is_member = False
        for history in self.branches.values():
            is_member |= user in history.first.get(members_of(folder), {})
            for change in history.changes:
                role = change.role(folder, user)
                is_member |= role not in (None, OUT)
                if role == OUT and change.number in numbers and not _again(on_branch, change, user):
                    return False
        return is_member


def _again(on_branch: list[Change], strike: Change, user: str) -> bool:
    """Return whether a branch shares with a person again after the person was struck out."""
    (folder,) = (one for one, name in strike.made if name == user)
    after = False
    for change in on_branch:
        if after and change.made.get((folder, user)):
            return True
        after = after or change.number == strike.number
    return False
