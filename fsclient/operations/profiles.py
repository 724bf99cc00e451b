"""The profiles of this machine: what each is and holds, and how one is renamed or removed."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fsclient.default_profile import default_name, keep_default_name
from fsclient.profile import ENROLLING, Profile, is_profile_name
from fsclient.profile_errors import profile_errors
from fsclient.profile_use import is_used, used_alone
from fsclient.transfer.local.trash import trashed
from fskit.clock import now_ms
from fskit.files import remove_tree
from fskit.text import count_text, size_text
from fsproto.errors import ExistsError, IntegrityError, NotAllowedError, NotFoundError
from fsproto.names import for_terminal
from fsproto.values import Value

_REMOVED = ".removed-"


class ProfileSummary(Value, frozen=True):
    """A profile as listed."""

    name: str
    user: str | None
    server: str | None
    """Both None if the profile is damaged or its enrolment is not complete."""
    state: str
    """`session`, `no session`, `enrolling` or `damaged`."""
    session_ends_ms: int | None
    used: bool
    """Whether a program uses it now."""
    folder: Path


class LocalState(Value, frozen=True):
    """What a profile holds that no server has."""

    trashed_files: int
    trashed_bytes: int
    unfinished_uploads: int
    synced_pairs: int

    @property
    def lines(self) -> list[str]:
        """What is lost with the profile, except for its keys."""
        files, size = count_text(self.trashed_files, "local file"), size_text(self.trashed_bytes)
        uploads = count_text(self.unfinished_uploads, "unfinished upload")
        pairs = count_text(self.synced_pairs, "pair of folders", "pairs of folders")
        return [
            *([f"{files} that 'sync' moved to the trash ({size})"] if self.trashed_files else []),
            *([f"the progress of {uploads}"] if self.unfinished_uploads else []),
            *([f"what 'sync' remembers of {pairs}"] if self.synced_pairs else []),
        ]


class Profiles:
    """All profiles in one folder."""

    def __init__(self, home: Path) -> None:
        """Take the client's folder `home`."""
        self._home = home
        self._all = home / "profiles"

    @property
    def default(self) -> str:
        """The name of the default profile."""
        return default_name(self._home)

    def summaries(self) -> list[ProfileSummary]:
        """Return all profiles by name, with unfinished enrolments and damaged ones."""
        return [self._summary(name) for name in sorted(set(self._names()))]

    def choose(self, name: str) -> None:
        """Make an existing profile the default one."""
        self._existing(name)
        keep_default_name(self._home, name)

    def rename(self, name: str, new: str) -> None:
        """Rename a profile that no program uses; the default follows."""
        profile, other = self._existing(name), Profile(self._home, new)
        for taken in (other.folder, other.enrolling):
            if os.path.lexists(taken):
                raise ExistsError(f"There is a profile '{new}' already.")
        with used_alone(profile.folder), profile_errors(profile.folder):
            is_default = self._is_default(name)
            profile.folder.rename(other.folder)
            if is_default:
                keep_default_name(self._home, new)

    def local_state(self, name: str) -> LocalState:
        """Return what would be lost with a profile."""
        profile = self._existing(name)
        files = trashed(profile.trash)
        return LocalState(
            trashed_files=len(files),
            trashed_bytes=sum(one.size for one in files),
            unfinished_uploads=len(_inside(profile.transfers)),
            synced_pairs=sum("." not in one.name for one in _inside(profile.pairs)),
        )

    def summary(self, name: str) -> ProfileSummary:
        """Return one profile; `NotFoundError` if it does not exist."""
        self._existing(name)
        return self._summary(name)

    @contextlib.contextmanager
    def unused(self, name: str) -> Iterator[None]:
        """Raise `ConflictError` if a program uses a profile; keep others from it in the block."""
        folder = self._existing(name).folder
        with used_alone(folder) if folder.is_dir() else contextlib.nullcontext():
            yield

    def remove(self, name: str) -> None:
        """Delete a profile, and an unfinished enrolment of the same name.

        The profile no longer exists from the first moment on, however long deleting takes.
        """
        profile = self._existing(name)
        if profile.folder.is_symlink():
            raise NotAllowedError(
                f"The local '{for_terminal(str(profile.folder))}' is a symbolic link.",
                hint="Remove the link, and the folder where it leads.",
            )
        if self._is_default(name):
            keep_default_name(self._home, "default")
        for folder in (profile.folder, profile.enrolling):
            if folder.is_dir():
                with profile_errors(folder):
                    hidden = tempfile.mkdtemp(prefix=f".{name}{_REMOVED}", dir=self._all)
                    folder.replace(hidden)
        for left in self._all.glob(f".{name}{_REMOVED}*"):  # also of an interrupted removal
            with profile_errors(left):
                remove_tree(left)

    def _existing(self, name: str) -> Profile:
        profile = Profile(self._home, name)
        if profile.folder.is_dir() or profile.enrolling.is_dir():
            return profile
        raise NotFoundError(
            f"There is no profile '{name}'.", hint="'fsclient profiles' lists them."
        )

    def _is_default(self, name: str) -> bool:
        try:
            return self.default == name
        except IntegrityError:  # a damaged choice names none
            return False

    def _names(self) -> Iterator[str]:
        for path in _inside(self._all):
            name = path.name
            if name.startswith(".") and name.endswith(ENROLLING):
                name = name[1 : -len(ENROLLING)]
            if is_profile_name(name) and path.is_dir():
                yield name

    def _summary(self, name: str) -> ProfileSummary:
        profile = Profile(self._home, name)
        user = server = ends = None
        if not profile.folder.is_dir():
            state = "enrolling"
        else:
            try:
                link = profile.facts().link
                profile.keyfile()
            except (NotFoundError, IntegrityError, NotAllowedError):
                state = "damaged"
            else:
                user, server = link.user, str(link.address)
                ends = profile.session_ends_ms() if profile.ticket() is not None else None
                state = "session" if (ends or 0) > now_ms() else "no session"
        return ProfileSummary(
            name=name,
            user=user,
            server=server,
            state=state,
            session_ends_ms=ends if state == "session" else None,
            used=is_used(profile.folder),
            folder=profile.folder if state != "enrolling" else profile.enrolling,
        )


def _inside(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    with profile_errors(folder):
        return list(folder.iterdir())
