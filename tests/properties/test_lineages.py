"""Lineages against a server that forks, joins, replays, hides or reorders versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fsclient.trust.seen import SeenVersions
from fsclient.trust.sightings import STATE, Gap, Sighting
from fsproto import crypto
from fsproto.errors import RollbackError
from fsproto.proofs.lineage import NO_LINEAGE, LineagePoint, lineage_after, next_lineage
from fsproto.types import Hash, NodeId
from tests.support.lineages import reached

NODE = NodeId(b"n" * 16)
DEVICES = 4
HASHES = st.binary(min_size=32, max_size=32).map(Hash)


@dataclass(frozen=True)
class Commit:
    """A committed version, and the version that it was made from."""

    point: LineagePoint
    before: Commit | None

    def ancestry(self) -> list[Commit]:
        """Return this version and all its ancestors, newest first."""
        found: list[Commit] = []
        at: Commit | None = self
        while at is not None:
            found.append(at)
            at = at.before
        return found


@dataclass
class Device:
    """One machine of an honest user: its seen versions, and its acknowledged commits."""

    memory: SeenVersions = field(default_factory=lambda: SeenVersions(None))
    acknowledged: list[Commit] = field(default_factory=list)
    seen: list[Commit] = field(default_factory=list)


class ForkingServer(RuleBasedStateMachine):
    """Honest devices, and a server that shows each of them any version it likes."""

    @initialize()
    def start(self) -> None:
        """Start with one version."""
        first = LineagePoint(1, NO_LINEAGE, Hash(crypto.sha256(b"first")))
        self.commits = [Commit(first, None)]
        self.devices = [Device() for _ in range(DEVICES)]

    def teardown(self) -> None:
        for device in getattr(self, "devices", ()):
            device.memory.close()

    @rule(who=st.integers(0, DEVICES - 1), what=st.integers(0, 10_000), data=st.data())
    def look(self, who: int, what: int, data: st.DataObject) -> None:
        """Show a device some version."""
        self._show(who, what, data)

    def _show(self, who: int, what: int, data: st.DataObject) -> Commit | None:
        """Show a device some version; return the version if the device accepts it."""
        device, shown = self.devices[who], self.commits[what % len(self.commits)]
        try:
            device.memory.check(
                [Sighting(NODE, STATE, shown.point)],
                device.memory.mark(),
                lambda gaps: self._proofs(shown, gaps, data),
            )
        except RollbackError:
            return None
        device.seen.append(shown)
        return shown

    @rule(who=st.integers(0, DEVICES - 1), what=st.integers(0, 10_000), data=st.data())
    def change(self, who: int, what: int, data: st.DataObject) -> None:
        """Let a device commit a change to the version it is shown; acknowledge the commit."""
        before = self._show(who, what, data)
        if before is None:
            return
        device, point = self.devices[who], before.point
        name = b"%d" % len(self.commits)
        made = Commit(
            LineagePoint(point.version + 1, point.next_lineage, Hash(crypto.sha256(name))), before
        )
        device.memory.check(
            [Sighting(NODE, STATE, made.point)],
            device.memory.mark(),
            lambda gaps: self._proofs(made, gaps, data),
        )
        self.commits.append(made)
        device.acknowledged.append(made)
        device.seen.append(made)

    @invariant()
    def nothing_is_lost(self) -> None:
        """Every version that a device has seen or made is an ancestor of all later ones."""
        for device in getattr(self, "devices", ()):
            for earlier, later in zip(device.seen, device.seen[1:], strict=False):
                assert earlier in later.ancestry()
            if device.seen:
                newest = device.seen[-1].ancestry()
                assert all(made in newest for made in device.acknowledged)

    def _proofs(
        self, shown: Commit, gaps: Sequence[Gap], data: st.DataObject
    ) -> Mapping[Gap, Hash]:
        """Return where the true hashes of the shown branch lead, or invented ones."""
        branch = {one.point.version: one.point.hash for one in shown.ancestry()}
        proofs = {}
        for gap in gaps:
            size = gap.later.version - gap.earlier.version - 1
            if data.draw(st.booleans()):
                between = range(gap.earlier.version + 1, gap.later.version)
                hashes = [branch.get(version, Hash(bytes(32))) for version in between]
            else:
                hashes = data.draw(st.lists(HASHES, max_size=size + 1))
            proofs[gap] = reached(gap, hashes)
        return proofs


TestForkingServer = ForkingServer.TestCase


def _line(length: int) -> list[LineagePoint]:
    points = [LineagePoint(1, NO_LINEAGE, Hash(crypto.sha256(b"1")))]
    for version in range(2, length + 1):
        made = Hash(crypto.sha256(b"%d" % version))
        points.append(LineagePoint(version, points[-1].next_lineage, made))
    return points


@given(
    st.lists(
        st.tuples(st.sampled_from(["write", "ask", "receive"]), st.integers(0, 10_000)), max_size=60
    )
)
def test_an_honest_server_is_never_accused_however_commands_overtake_each_other(steps) -> None:
    line, now = _line(61), 1
    waiting: list[tuple[int, int]] = []

    def prove(gaps: Sequence[Gap]) -> Mapping[Gap, Hash]:
        return {
            gap: reached(
                gap, [one.hash for one in line[gap.earlier.version : gap.later.version - 1]]
            )
            for gap in gaps
        }

    with closing(SeenVersions(None)) as memory:
        for step, number in steps:
            if step == "write":
                now += 1
            elif step == "ask":
                waiting.append((memory.mark(), now))
            elif waiting:
                mark, answer = waiting.pop(number % len(waiting))
                memory.check([Sighting(NODE, STATE, line[answer - 1])], mark, prove)


@given(st.integers(1, 40), st.integers(1, 40), st.data())
def test_only_the_true_hashes_lead_from_one_version_to_another(earlier, gap, data) -> None:
    line = _line(earlier + gap)
    seen, shown = line[earlier - 1], line[-1]
    true = [one.hash for one in line[earlier:-1]]
    assert seen.leads_to(shown, true)
    assert lineage_after(seen.version + 1, seen.next_lineage, true) == shown.lineage
    other = data.draw(st.lists(HASHES | st.sampled_from([one.hash for one in line]), max_size=gap))
    if other != true:
        assert not seen.leads_to(shown, other)


@pytest.mark.parametrize("version", [1, 2, 1 << 62])
def test_the_fold_is_the_hash_that_the_protocol_says(version: int) -> None:
    lineage, made = Hash(bytes(range(32))), Hash(bytes(range(32, 64)))
    said = b"fs/2 lineage" + version.to_bytes(8, "big") + lineage + made
    assert next_lineage(version, lineage, made) == crypto.sha256(said)
