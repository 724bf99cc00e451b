"""A hostile server with several branches of its data; a plan chooses the branch of each answer.

A branch is a copy of the data directory, with an honest `fsd` on it. A client connects to one of
them. A plan says which questions another branch answers, and which answers are changed.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec.structs import fields, replace

from fsd.net.dispatch import Dispatcher
from fsproto import crypto
from fsproto.errors import ConflictError, NotFoundError
from fsproto.messages.base import Done, Message
from fsproto.messages.files import Commit
from fsproto.messages.keylog import Rotate, RotatePart
from fsproto.types import Hash
from tests.support.hostile_server import Answers, HostileServer, Lie
from tests.support.sqlite_files import opened

Deed = tuple[str, int]
"""A kind of `DEEDS`, and a number that chooses among what there is for it."""
Pause = tuple[int, bool]
"""The number of a question, and whether its answer waits (true) or the question itself (false)."""
DEEDS = ("other branch", "earlier answer", "leave out", "deny", "store nothing", "lose the answer")
"""What the server can do to one question:

- `other branch`: another branch answers it;
- `earlier answer`: an answer to an earlier question of this kind is given again;
- `leave out`: one item of a list in the answer is left out;
- `deny`: it says that there is nothing;
- `store nothing`: a commit is acknowledged and not made; any other question is answered;
- `lose the answer`: what was asked is done, and a failure is reported.
"""


@dataclass
class Plan:
    """What happens to the questions of one command; the first question has number 0."""

    deeds: Mapping[int, Deed] = field(default_factory=dict)
    usual: str | None = None
    """The branch for all other requests; None: the branch that the client connected to."""
    pauses: Mapping[Pause, Callable[[], None]] = field(default_factory=dict)
    """What happens while a question of the command waits, or its answer."""
    asked: int = 0
    """How many questions came."""
    unstored: int = 0
    """How many commits were acknowledged and not made."""


class Branch(Lie):
    """One branch: an honest server on a data directory; its answers pass through the plan."""

    def __init__(self, name: str, home: Path, mind: ForkingServer) -> None:
        self.name, self.home, self._mind = name, home, mind
        self._rotation = threading.local()
        self.server = HostileServer(home, now_ms=mind.now_ms)
        self.server.lie = self

    def answer(self, ask: Message, honestly: Callable[[Message], Message]) -> Message:
        """Answer, and report each commit that is made."""
        said = honestly(ask)
        if isinstance(ask, Commit) and isinstance(said, Done):
            self._mind.made(self.name, ask)
        return said

    def parts(self, parts: list[RotatePart]) -> list[RotatePart]:
        """Note what a key rotation renews, which this thread makes next."""
        self._rotation.renews = renews = Commit([], [], [], [], [])
        for part in parts:
            renews.states.extend(part.states)
            renews.manifests.extend(part.manifests)
            renews.removals.extend(part.removals)
            renews.members.extend(part.members)
        return parts

    def serve(self, ask: Message, by: Callable[[Dispatcher | None], Answers]) -> Answers:
        """Answer as the plan says, and report each key rotation that is made."""
        said = self._mind.serve(ask, by)
        if isinstance(ask, Rotate) and isinstance(said, Done):
            self._mind.rotated(self.name, self._rotation.renews)
        return said


class ForkingServer:
    """All branches, and the plan of the command that runs now."""

    def __init__(
        self,
        home: Path,
        folder: Path,
        made: Callable[[str, Commit], None],
        now_ms: Callable[[], int],
    ) -> None:
        """Take the data directory of the branch `main`, and a folder for the others.

        `made` is told the branch of each commit that is made.
        """
        self.now_ms, self.made = now_ms, made
        self.rotated: Callable[[str, Commit], None] = lambda *_: None
        """Is told the branch of each key rotation that is made, and what it renews."""
        self.plans = [Plan()]
        """The plan of each running command; a command that runs inside another one comes last."""
        self._folder = folder
        self._opened = ExitStack()
        self._earlier = defaultdict[type[Message], list[list[Message]]](list)
        self.branches: dict[str, Branch] = {}
        self._open("main", home)

    def close(self) -> None:
        """Stop all branches."""
        self._opened.close()

    def fork(self, name: str, new: str) -> None:
        """Copy a branch as it is now."""
        home, there = self.branches[name].home, self._folder / new
        shutil.copytree(home, there, ignore=shutil.ignore_patterns("fsd.db*", "blobs"))
        (there / "blobs" / "staging").mkdir(parents=True)  # what these teams write is in the rows
        with opened(home / "fsd.db") as was, opened(there / "fsd.db") as copy:
            was.backup(copy)
        self._open(new, there)

    def enrol(self, name: str, user: str) -> None:
        """Add a new person's keys to the key log of a branch."""
        log, key = self.branches[name].server.dispatcher.log, crypto.SigningKey(os.urandom(32))
        with log._database.write() as db:
            log._keeper.enrolled(db, user, Hash(os.urandom(32)), key.public)

    def _open(self, name: str, home: Path) -> None:
        self.branches[name] = branch = Branch(name, home, self)
        self._opened.enter_context(branch.server)

    @contextmanager
    def planned(self, plan: Plan) -> Iterator[None]:
        """Follow a plan in the block, which runs one command, and then the plan of before."""
        self.plans.append(plan)
        try:
            yield
        finally:
            self.plans.pop()

    def serve(self, ask: Message, by: Callable[[Dispatcher | None], Answers]) -> Answers:
        """Answer a question of the command that runs now."""
        plan = self.plans[-1]
        number, plan.asked = plan.asked, plan.asked + 1
        plan.pauses.get((number, False), _nothing)()
        said = self._answers(ask, by, plan, plan.deeds.get(number, ("", 0)))
        plan.pauses.get((number, True), _nothing)()
        return said[0] if len(said) == 1 else iter(said)

    def _answers(
        self, ask: Message, by: Callable[[Dispatcher | None], Answers], plan: Plan, deed: Deed
    ) -> list[Message]:
        what, which = deed
        branch, earlier = plan.usual, self._earlier[type(ask)]
        if what == "deny":
            raise NotFoundError("There is nothing.")
        if what == "store nothing" and isinstance(ask, Commit):
            plan.unstored += 1
            return [Done()]
        if what == "earlier answer" and earlier:
            plan.unstored += isinstance(ask, Commit)
            return earlier[which % len(earlier)]
        if what == "other branch":
            branch = list(self.branches)[which % len(self.branches)]
        said = by(None if branch is None else self.branches[branch].server.dispatcher)
        parts = [said] if isinstance(said, Message) else list(said)
        earlier.append(parts)
        if what == "lose the answer":
            raise ConflictError("It was changed in the meantime.")
        return _without_one(parts, which) if what == "leave out" else parts


def _nothing() -> None:
    """Do nothing while a question waits."""


def _without_one(parts: Sequence[Message], which: int) -> list[Message]:
    """Return an answer without one item of its lists; unchanged if there is none."""
    places = [
        (at, name.name, index)
        for at, part in enumerate(parts)
        for name in fields(part)
        if isinstance(items := getattr(part, name.name), list)
        for index in range(len(items))
    ]
    changed = list(parts)
    if places:
        at, name, index = places[which % len(places)]
        left: list[Any] = list(getattr(parts[at], name))
        del left[index]
        changed[at] = replace(parts[at], **{name: left})
    return changed
