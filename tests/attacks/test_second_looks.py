"""A second look takes back alarms about folders that were moved, and hides no forgery.

Before a client reports a signature without a right to write, it asks for the folders
above again. A server could try to use this: it shows a forgery first, and then something else.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fsproto.errors import ConflictError, NotFoundError
from fsproto.messages import Message
from fsproto.messages.base import Done
from fsproto.messages.files import Found, List, Lookup
from fsproto.types import NodeId
from tests.support.hostile_server import Answers, HostileServer, Lie
from tests.support.team import Accomplice
from tests.support.world import World

NOBODY = "may not write there"


class AfterTheForgery(Lie):
    """Answers falsely about the folders above once a forged folder was shown."""

    def __init__(self, forged: NodeId, falsely: Callable[[Found], Message]) -> None:
        """Take the forged folder; `falsely` is given an earlier answer about the same folder."""
        self._forged, self._falsely = forged, falsely
        self._earlier: dict[NodeId, Found] = {}
        self.records = self.starts = self._shown = False
        self.told = 0

    def answer(self, ask: Message, honestly: Callable[[Message], Message]) -> Message:
        if not isinstance(ask, Lookup):
            return honestly(ask)
        if self.starts and self._shown and ask.folder != self._forged:
            self.told += 1
            return self._falsely(self._earlier[ask.folder])
        said = honestly(ask)
        if isinstance(said, Found) and self.records:
            self._earlier[ask.folder] = said
        self._shown |= self.starts and ask.folder == self._forged
        return said

    def answers(self, ask: Message, honestly: Callable[[Message], Answers]) -> Answers:
        self._shown |= self.starts and isinstance(ask, List) and ask.folder == self._forged
        return honestly(ask)


def shows_it_as_it_was(earlier: Found) -> Message:
    return earlier


def says_that_it_is_gone(earlier: Found) -> Message:
    raise NotFoundError("There is no such file or folder.")


def says_that_it_has_changed(earlier: Found) -> Message:
    raise ConflictError("It was changed in the meantime.")


def says_something_else(earlier: Found) -> Message:
    return Done()


@pytest.mark.cases(3)
@pytest.mark.parametrize("command", ["ls", "cat", "put"])
@pytest.mark.parametrize(
    "falsely",
    [
        shows_it_as_it_was,
        says_that_it_is_gone,
        says_that_it_has_changed,
        says_something_else,
    ],
)
def test_a_forgery_is_an_alarm_whatever_the_server_says_about_the_folders_above(
    team: World,
    server: HostileServer,
    falsely: Callable[[Found], Message],
    command: str,
) -> None:
    alice, path = team.alice, "reports/deep/d.txt"
    given = {"ls": ("ls", "reports/deep"), "cat": ("cat", path)}
    deep = alice.find("reports/deep").keyed
    server.lie = lie = AfterTheForgery(deep.node, falsely)
    alice.run("mv", "reports/deep", "archive/").succeeds()
    lie.records = True
    alice.run("cat", path).fails(5)  # so that an earlier answer proves that it is not there
    lie.records = False
    alice.run("mv", "archive/deep", "reports/").succeeds()
    Accomplice(team, team.carol).adds(alice.find("reports/deep").keyed)
    lie.starts = True
    done = alice.run(*given.get(command, ("put", alice.write("x", b"x"), path)))
    assert NOBODY in done.fails(7)
    assert lie.told
