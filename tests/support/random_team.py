"""A random team as a state machine: what its devices may do, and what must hold after that.

`tests/attacks/test_random_teams.py` runs it, and says what is checked.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
)

from fsproto.keys.member_list import stated_members
from fsproto.messages.files import Commit
from fsproto.packing import unpack
from fsproto.sealed.folder import FolderState
from fsproto.sealed.manifest import Manifest
from fsproto.types import NodeId
from tests.support.forking_server import ForkingServer, Pause, Plan
from tests.support.opened_by import OpenedBy
from tests.support.team import identity
from tests.support.team_commands import ACTS, FIRST, ROTATIONS, SHARES, Act, Device
from tests.support.team_gateway import GatewayDevice
from tests.support.team_record import (
    DEEP,
    PEOPLE,
    Change,
    History,
    Knowledge,
    Record,
    Where,
    members_of,
)
from tests.support.world import Ran, World

BRANCHES = 4
DEVICES = st.integers(0, 8)
PAUSE = st.tuples(st.integers(0, 12), st.booleans())
CALM = {0, 5, 6, 8}
"""The exit statuses that an honest server causes."""


Within = tuple[Pause, int, Act, bool]
"""A pause of a command, a device, its command then, and whether the next one runs within that."""
COMMITS = 1000
"""More commits than one command makes."""
ROTATIONS_OF_A_TEAM = 3
"""Rotations take longer than other commands, and only a few a day are allowed."""


@dataclass
class Running:
    """A command that runs now."""

    device: Device
    act: Act
    number: int
    knew: Knowledge
    """What its device knew when it started."""
    made: dict[str, list[Change]] = field(default_factory=lambda: defaultdict(list))
    """What each branch has made of it."""


class Team(RuleBasedStateMachine):
    """Commands of nine devices, one after the other or some within another."""

    hostile = False

    def __init__(self, first: World, nodes: Mapping[NodeId, str], folder: Path) -> None:
        super().__init__()
        self.folder, self.nodes = folder, nodes
        world = first.copy(folder / "world")
        again = {one.name: one.copy(folder / "second" / one.name) for one in world.everybody}
        self.devices = [
            Device(f"{person.name} {number}", person)
            for one in world.everybody
            for number, person in ((1, one), (2, again[one.name]))
        ]
        self.devices += [GatewayDevice(one, f"{one.name} 1") for one in world.everybody]
        self.clock = world.movable_clock()
        for device in self.devices:  # the devices of a person have one authenticator app
            device.person.app = getattr(world, device.user).app
        self.server = ForkingServer(world.home, folder, self._made, self.clock.now_ms)
        self.server.rotated = self._rotated
        self.rotations = 0
        self.have_new_keys: list[Device] = []
        """The devices whose new keys the person's other devices lack."""
        self.record = Record({"main": History(FIRST)})
        self.running: list[Running] = []
        self.numbers = 0
        self.readers = {
            one.name: OpenedBy(identity(one)) for one in world.everybody if one.name != "alice"
        }
        self.wrong: list[str] = []
        for reader in self.readers.values():
            with world.database() as db:
                reader.read_database(db)

    def teardown(self) -> None:
        for device in self.devices:
            device.close()
        self.server.close()
        shutil.rmtree(self.folder)

    @initialize(shares=st.lists(SHARES, max_size=4))
    def share_more(self, shares: list[Act]) -> None:
        """Start with more shares, and with folders that have taken new keys."""
        for act in shares:
            self._give(0, act, Plan(), quickly=True)

    @rule(who=DEVICES, act=ACTS, quickly=st.booleans())
    def command(self, who: int, act: Act, *, quickly: bool) -> None:
        """Give a device a command; its branch answers."""
        self._give(who, act, Plan(), quickly=quickly)

    @rule(
        who=DEVICES,
        act=ACTS,
        within=st.lists(st.tuples(PAUSE, DEVICES, ACTS, st.booleans()), min_size=1, max_size=3),
        quickly=st.booleans(),
    )
    def commands_within(self, who: int, act: Act, within: list[Within], *, quickly: bool) -> None:
        """Give a device a command, and other commands while questions of this command wait.

        Each of the others runs within the first command, or within the command before it.
        """
        self._give(who, act, self._pausing(within), quickly=quickly)

    @precondition(lambda self: not self.hostile and self.rotations < ROTATIONS_OF_A_TEAM)
    @rule(
        who=DEVICES,
        act=ROTATIONS,
        within=st.lists(st.tuples(PAUSE, DEVICES, ACTS, st.booleans()), max_size=2),
    )
    def rotation(self, who: int, act: Act, within: list[Within]) -> None:
        """Let a person rotate the keys, with commands of others while a question waits."""
        self._before_rotation()
        self._give(who, act, self._pausing(within), quickly=False)

    @precondition(lambda self: not self.hostile and self.rotations < ROTATIONS_OF_A_TEAM)
    @rule(who=DEVICES, act=ACTS, pause=PAUSE, other=DEVICES, rotates=ROTATIONS)
    def rotation_within(self, who: int, act: Act, pause: Pause, other: int, rotates: Act) -> None:
        """Give a device a command, and let another person rotate the keys while it waits."""
        self._before_rotation()
        self._give(who, act, self._pausing([(pause, other, rotates, False)]), quickly=False)

    def _before_rotation(self) -> None:
        self.rotations += 1
        self.clock.advance(120)  # so that the next code is not waited for

    def _pausing(self, within: list[Within]) -> Plan:
        """Return the plan of a command with other commands within it."""
        pauses = {}
        while within:
            (pause, who, act, deeper), *within = within
            inner, within = (within, []) if deeper else ([], within)
            pauses[pause] = partial(self._give_within, who, act, inner)
        return Plan(pauses=pauses)

    @rule(which=st.integers(0, BRANCHES - 1))
    def somebody_enrols(self, which: int) -> None:
        """Let a new person enrol with the server."""
        self.numbers += 1
        branch, name = self._branch(which), f"person{self.numbers}"
        self.server.enrol(branch, name)
        change = Change(self.numbers * COMMITS, frozenset({PEOPLE}), {(PEOPLE, name): name})
        self.record.branches[branch].changes.append(change)

    def _branch(self, which: int) -> str:
        return list(self.server.branches)[which % len(self.server.branches)]

    # --- one command

    def _give(self, who: int, act: Act, plan: Plan, *, quickly: bool) -> None:
        device = self.devices[who]
        history = self.record.branches[device.branch]
        act = act.given_by(device, history)
        plan.usual = device.branch
        device.person.meet(self.server.branches[plan.usual].server.address)
        self.numbers += 1
        if not quickly:  # from now on a gateway has no older answer in its cache
            self.record.known[device.name] = dict(self.record.known.get(device.profile, {}))
        running = Running(device, act, self.numbers, dict(self.record.known.get(device.name, {})))
        expected = act.must_succeed(device, self.record.branches["main"])
        words, had = act.arguments(device, running.number, history), device.have()
        had_keys = device.key_file.read_bytes()
        self.running.append(running)
        with self.server.planned(plan):
            done = device.run(*words, quickly=quickly)
        self.running.pop()
        if device.key_file.read_bytes() != had_keys:
            self.have_new_keys.append(device)
            if device.user in self.readers:
                self.readers[device.user].takes_keys(identity(device.person))
        while self.have_new_keys and not self.running:
            self._carry_keys(self.have_new_keys.pop())
        told = f"{device.name}: {words}: {done}"
        assert "Traceback" not in done.err, told
        self._check(running, done, had, told, unstored=plan.unstored > 0)
        is_cached = quickly and device.name != device.profile
        if not plan.deeds and not plan.pauses and not is_cached:
            self._check_alone(running, done, plan.usual, told, expected=expected)
        assert not self.wrong, (told, self.wrong)

    def _give_within(self, who: int, act: Act, within: list[Within]) -> None:
        """Give a device a command in a thread of the server, which hides no failure.

        A command that reads news of the key log locks the profile's file, and another command of
        the profile waits for it. Here, where one waits for the end of the other, they would wait
        for each other. So would two requests to one gateway, and two `sync` of two folders.
        """
        busy = {one.device.profile for one in self.running if self._reads_log(one.device)}
        used = {one.device.name for one in self.running if isinstance(one.device, GatewayDevice)}
        device = self.devices[who]
        if device.profile in busy or device.name in used:
            return
        users = {one.device.user for one in self.running}
        rotates = act.verb == "rotate" or any(one.act.verb == "rotate" for one in self.running)
        if rotates and device.user in users:  # the person's other devices lack the new keys yet
            return
        if device.user in {one.user for one in self.have_new_keys}:
            return
        if act.given_by(device, self.record.branches[device.branch]).verb == "sync":
            act = replace(act, verb="ls")
        try:
            self._give(who, act, self._pausing(within), quickly=False)
        except AssertionError as error:
            self.wrong.append(str(error))

    def _reads_log(self, device: Device) -> bool:
        """Return whether a command may read news of the key log."""
        known, there = (
            self.record.knows(device.profile, PEOPLE),
            self.record.branches[device.branch],
        )
        return known != there.numbers(PEOPLE)

    def _carry_keys(self, device: Device) -> None:
        """Bring new keys to the other devices of the person, which log in with them.

        What runs since before the rotation, a shell or a gateway, has the former keys: it ends.
        """
        for one in self.devices:
            if one.user != device.user:
                continue
            one.close()
            if one.profile != device.profile and one.profile == one.name:
                shutil.copy(device.key_file, one.key_file)
                one.person.meet(self.server.branches[one.branch].server.address)
                with self.server.planned(Plan()):
                    code = device.person.app.fresh()
                    one.run("login", "--otp", code, quickly=False).succeeds()

    # --- what the server makes

    def _made(self, branch: str, commit: Commit) -> None:
        """Note a commit that a branch has made, and whom it was sealed to."""
        running, history = self.running[-1], self.record.branches[branch]
        folders, lists = self._changed(commit)
        made = running.act.changes(running.number, history)
        before = running.made[branch]
        if any(one.made for one in before) or not {folder for folder, _ in made} <= folders:
            made = {}
        if any(
            lists[folder].get(who) != made[folder, who] for folder, who in made if folder in lists
        ):
            made = {}  # the list was renewed for another reason
        self._note(running, branch, commit, folders, made)

    def _rotated(self, branch: str, renewal: Commit) -> None:
        """Note a key rotation that a branch has made, and whom it was sealed to."""
        running = self.running[-1]
        folders, keys = self._changed(renewal)[0], f"keys {running.number}"
        self._note(running, branch, renewal, folders | {PEOPLE}, {(PEOPLE, keys): keys})

    def _changed(self, commit: Commit) -> tuple[set[str], dict[str, dict[str, str]]]:
        """Return the folders and lists that a commit changes, and the roles in its lists."""
        states = [unpack(one.payload, FolderState).folder for one in commit.states]
        stated = [stated_members(one.members) for one in commit.members]
        lists = {
            members_of(self.nodes[one.node]): {
                member.user: member.role.name.lower() for member in one.members
            }
            for one in stated
            if one.node in self.nodes  # a moved file has a list, too: of its authors
        }
        return {self.nodes[one] for one in states if one in self.nodes} | lists.keys(), lists

    def _note(
        self,
        running: Running,
        branch: str,
        commit: Commit,
        folders: set[str],
        made: Mapping[Where, str | None],
    ) -> None:
        history, before = self.record.branches[branch], running.made[branch]
        number = running.number * COMMITS + len(before)
        change = Change(number, frozenset(folders), made)
        before.append(change)
        history.changes.append(change)
        self._check_sealed(running, branch, commit)

    def _check_sealed(self, running: Running, branch: str, commit: Commit) -> None:
        """Check that a removed member can open nothing in a commit."""
        sent = [unpack(one.payload, Manifest) for one in commit.manifests]
        above = [self.nodes[one.parent] for one in sent if self.nodes.get(one.node) == DEEP]
        deep = next(iter(above), None)
        known = dict(running.knew)
        for change in running.made[branch]:
            for place in change.folders:
                known[place] = known.get(place, frozenset()) | {change.number}
        for name, reader in self.readers.items():
            for one in reader.read_commit(commit):
                folder = self.nodes.get(one.node) or self.nodes.get(one.parent)
                if folder is None:  # in the person's own tree
                    continue
                if not self.record.may_open(known, branch, name, folder, deep):
                    self.wrong.append(f"{name} opens {one.node.hex()} in '{folder}'")

    # --- what may come of it

    def _check(
        self, running: Running, done: Ran, had: dict[Where, str], told: str, *, unstored: bool
    ) -> None:
        """Check a command by what its device knows, and note what the device knows now.

        `unstored`: the server has acknowledged a commit and not made it. The device cannot know
        that yet, so that its success says nothing of any branch.
        """
        device, made = running.device, [one for some in running.made.values() for one in some]
        believes = unstored and done.status == 0
        for folder, shows in () if believes else running.act.claims(device, done, had):
            own = frozenset(one.number for one in made if folder in one.folders)
            known = running.knew.get(folder, frozenset()) | (own if done.status == 0 else set())
            names = device.name, device.profile
            explained = self.record.explained(names, folder, shows, known)
            assert explained, f"{folder}: nothing explains it: {told}"
        if done.status == 0 and running.act.verb in ("put", "rm") and not made:
            # It was acknowledged, and not stored: no branch ever shows it.
            assert unstored, f"it was never sent: {told}"
            self.record.learns(device.profile, running.act.at[0], frozenset({-running.number}))
        if not self.hostile:
            # The code of a rotation may be too old after the commands within it.
            late = {4} if running.act.verb == "rotate" else set()
            assert done.status in CALM | late, told

    def _check_alone(
        self, running: Running, done: Ran, branch: str, told: str, *, expected: bool | None
    ) -> None:
        """Check a command that one branch alone has answered."""
        if not self.hostile and expected is not None:
            assert (done.status == 0) == expected, told
        if done.status != 0:
            return
        device, history = running.device, self.record.branches[branch]
        for folder, shows in running.act.claims(device, done, {}):
            assert shows(history.now(folder)), told
            self.record.learns(device.profile, folder, history.numbers(folder))
        if not isinstance(device, GatewayDevice):  # it does not read the key log each time
            log = history.numbers(PEOPLE)
            known = self.record.knows(device.profile, PEOPLE)
            assert known <= log, f"the key log lacks something: {told}"
            self.record.learns(device.profile, PEOPLE, log)
