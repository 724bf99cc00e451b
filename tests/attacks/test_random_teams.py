"""A random honest team, three devices each, and a random server: nothing is lost without an alarm.

The whole client runs: real profiles, real memories of seen versions, real sockets, a real `fsd`
behind. Each person has two profiles, a shell on each that stays open, and a gateway that runs on
the first profile. Alice shares three folders, one of them in another, moves it, and takes shares
back, so that folders are due for new keys and names have tokens under several keys. Up to three
commands run while questions of another one wait, also on one profile.

The server forks its data, lets a device meet one branch and later another one (join), an
older one (replay), answers single questions from another branch, with an earlier answer (reorder),
without some items or not at all (hide), acknowledges what it has not stored, and denies what it
has. `tests/support/team_record.py` keeps what really happened. At every step:

- what a device is shown, or told to be absent, is a state of one branch that has every change which
  this device has made or was shown before; anything else ends with an error, and deletes nothing;
- the key log that it is shown has everybody whose keys it has seen there;
- nothing that a device seals after it knows that a person was struck out opens with that person's
  keys;
- with an honest server no command raises an alarm, whatever runs between its questions: not even
  a key rotation of another person.

Each of these changes to the client was found, within 40 random teams: no comparison with the seen
versions; versions compared by number alone; states left out of the memory; own commits not
remembered; the head of the key log not compared; a listing not held against the folder's root; no
new key when a person is struck out; no new keys for folders that are due; and, with the honest
server, "known when the answer comes" in place of "known when the question is sent". Some were not
found in so few teams, as other checks stand in front: no memory of member lists, of manifests, or
of an entry that a look-up leaves out. `test_forks` and `test_lying_servers` try those.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test

from fsproto.names import parse_path
from fsproto.types import NodeId
from tests.conftest import TIER
from tests.support.forking_server import DEEDS, Deed, Plan
from tests.support.hostile_server import HostileServer
from tests.support.random_team import BRANCHES, DEVICES, Team
from tests.support.team_commands import ACTS, Act
from tests.support.team_record import ARCHIVE, DEEP, REPORTS, TOP
from tests.support.world import World

MANY_DEEDS = st.dictionaries(
    st.integers(0, 5), st.tuples(st.sampled_from(DEEDS), st.integers(0, 50)), min_size=1, max_size=2
)


class HostileTeam(Team):
    """The same commands, with a server that forks, joins, replays, hides and reorders."""

    hostile = True

    @initialize(who=DEVICES)
    def split(self, who: int) -> None:
        """Start with two branches; one device is on the second one."""
        self.fork(0)
        self.devices[who].branch = self._branch(1)

    @precondition(lambda self: len(self.server.branches) < BRANCHES)
    @rule(which=st.integers(0, BRANCHES - 1))
    def fork(self, which: int) -> None:
        """Copy a branch; the copy may be written to, or stay as it is."""
        was, new = self._branch(which), f"branch {len(self.server.branches)}"
        self.server.fork(was, new)
        self.record.fork(was, new)

    @rule(who=DEVICES, which=st.integers(0, BRANCHES - 1), act=ACTS, quickly=st.booleans())
    def turn(self, who: int, which: int, act: Act, *, quickly: bool) -> None:
        """Show a device another branch from now on, and give it a command."""
        self.devices[who].branch = self._branch(which)
        self._give(who, act, Plan(), quickly=quickly)

    @rule(who=DEVICES, act=ACTS, quickly=st.booleans(), deeds=MANY_DEEDS)
    def command_that_is_lied_to(
        self, who: int, act: Act, deeds: dict[int, Deed], *, quickly: bool
    ) -> None:
        """Give a device a command; some of its questions get other answers."""
        self._give(who, act, Plan(deeds), quickly=quickly)


EXAMPLES = {"test": (5, 14), "soak": (400, 40)}[TIER]


@pytest.fixture
def nodes(first_team: World, tmp_path: Path) -> dict[NodeId, str]:
    """The folders of alice's tree, by their nodes."""
    world = first_team.copy(tmp_path / "looked at")
    paths = {"/": TOP, "reports": REPORTS, "reports/deep": DEEP, "archive": ARCHIVE}
    with HostileServer(world.home) as server:
        world.meet(server.address)
        with world.alice.session() as session:
            found = {session.tree.find(parse_path(path)): name for path, name in paths.items()}
            return {one.keyed.node: name for one, name in found.items()}


@pytest.mark.timeout(3600 if TIER == "soak" else 300)
@pytest.mark.parametrize("team", [Team, HostileTeam])
def test_a_team_loses_nothing_without_an_alarm_and_is_alarmed_by_no_honest_server(
    team: type[Team], first_team: World, nodes: dict[NodeId, str], tmp_path: Path
) -> None:
    count = iter(range(1 << 62))
    examples, steps = EXAMPLES
    run_state_machine_as_test(
        lambda: team(first_team, nodes, tmp_path / str(next(count))),  # type: ignore[arg-type]
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            database=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
