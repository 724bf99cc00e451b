"""Many programs of a team at once, several on each profile: no alarm, and no change is lost.

The server is honest. Shells of one profile share its memory of seen versions and its key log, and
a gateway uses them, too. Meanwhile alice shares, takes shares back and moves a shared folder, so
that folders take new keys under the hands of those who write.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fsproto.errors import ERRORS
from tests.conftest import TIER
from tests.support.team_gateway import GatewayDevice
from tests.support.world import Person, World

RUNS, LINES = {"test": (1, 5), "soak": (30, 60)}[TIER]
CALM = {2, 5, 6, 8}
"""The exit statuses that changes of others may cause: what a command names is gone, or taken."""
QUICKLY = 0.5
"""How often a gateway may use what it has looked up before."""
PATIENCE_S = 240
FOLDERS = ("reports", "reports/deep", "archive", "archive/deep")


@dataclass
class Script:
    """The commands of one program, and the files that are there if each of them succeeds."""

    person: Person
    name: str
    chance: random.Random
    lines: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    """The content of each file by its name, as far as the commands are done."""
    effects: list[dict[str, str | None]] = field(default_factory=list)
    """What each line changes; None: removed."""

    def path(self, folder: str) -> str:
        return folder if self.person.name == "alice" else f"alice:{folder}"

    def add(self, line: str, **effect: str | None) -> None:
        self.lines.append(line)
        self.effects.append(effect)

    def compose(self, count: int, *, owns: bool) -> None:
        """Write a script; `owns`: alice's, with the commands that only she may give."""
        chance, own = self.chance, list[tuple[str, str]]()
        for number in range(count):
            folder, what = self.path(chance.choice(FOLDERS)), chance.random()
            if owns and what < 0.5:
                self.add(self._sharing())
            elif what < 0.7 or not own:
                name = f"{self.name}-{number}"
                self.person.write(name, name.encode())
                self.add(f"put {self.person.folder / name} {folder}/{name}", **{name: name})
                own.append((folder, name))
            elif what < 0.8:
                there, name = own.pop(chance.randrange(len(own)))
                self.add(f"rm {there}/{name}", **{name: None})
            elif what < 0.9:
                there, name = own.pop(chance.randrange(len(own)))
                new = f"{name}+moved"
                content = name.partition("+")[0]
                self.add(f"mv {there}/{name} {folder}/{new}", **{name: None, new: content})
                own.append((folder, new))
            else:
                self.add(f"ls {folder}")

    def _sharing(self) -> str:
        chance = self.chance
        folder, member = chance.choice(FOLDERS), chance.choice(["bob", "carol"])
        return chance.choice(
            [
                f"share --write {folder} {member}",
                f"share --write {folder} {member}",
                f"share {folder} carol",
                f"unshare {folder} carol",
                f"unshare --now {folder} {member}",
                "mv reports/deep archive/",
                "mv archive/deep reports/",
                "shares",
            ]
        )

    def run(self) -> None:
        """Run the commands in a shell; each is followed by a line that marks its end."""
        given = "".join(f"{line}\n!echo end\n" for line in self.lines).encode()
        out, err = self.person.start("--json", "shell").communicate(given, timeout=PATIENCE_S)
        assert b"Traceback" not in err, err
        self._settle(out)

    def _settle(self, out: bytes) -> None:
        """Apply the commands that succeeded; check the errors of the others."""
        answers = out.decode().split("end\n")
        assert len(answers) == len(self.lines) + 1, out
        for line, answer, effect in zip(self.lines, answers, self.effects, strict=False):
            codes = [code for value in _values(answer) for code in _codes(value)]
            for code in codes:
                assert ERRORS[code].exit_status in CALM, (self.name, line, answer)
            if codes:
                continue
            for name, content in effect.items():
                if content is None:
                    self.files.pop(name, None)
                else:
                    self.files[name] = content


def _values(text: str) -> Iterator[Any]:
    decoder, text = json.JSONDecoder(), text.strip()
    while text:
        value, end = decoder.raw_decode(text)
        yield value
        text = text[end:].strip()


def _codes(value: Any) -> list[str]:
    """Return the error codes in a JSON result."""
    if isinstance(value, list):
        return [code for one in value for code in _codes(one)]
    if not isinstance(value, dict):
        return []
    own = [value["error"]] if "error" in value else []
    return own + _codes(list(value.values()))


def _through_the_gateway(
    device: GatewayDevice, chance: random.Random, kept: dict[str, str]
) -> None:
    """Write, read and list files through a gateway; note in `kept` those that it has taken."""
    for number in range(LINES):
        folder, name = device.path(chance.choice(FOLDERS)), f"{device.user}-gateway-{number}"
        local = device.person.write(name, name.encode())
        if (
            device.run("put", local, f"{folder}/{name}", quickly=chance.random() < QUICKLY).status
            == 0
        ):
            kept[name] = name
        done = device.run("ls", folder, quickly=chance.random() < QUICKLY)
        assert done.status in CALM | {0}, done


def _all_files(person: Person) -> dict[str, str]:
    """Return the content of each file in the shared folders by its name; no name is there twice."""
    found: dict[str, str] = {}
    for path in person.run("find", "/", "--type", "f").succeeds().decode().splitlines():
        name = path.rpartition("/")[2]
        assert name not in found, path
        found[name] = path
    return found


@pytest.mark.long
@pytest.mark.parametrize("seed", range(RUNS))
def test_programs_of_one_profile_and_of_others_at_once(
    team: World, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    phone = team.alice.copy(tmp_path / "phone")
    people = [team.alice, team.alice, phone, team.bob, team.bob, team.carol]
    scripts = [
        Script(person, f"{person.name}{number}", chance) for number, person in enumerate(people)
    ]
    for number, script in enumerate(scripts):
        script.compose(LINES, owns=number in (0, 2))
    with team.process() as server, ExitStack() as undo:
        phone.meet(server.address)
        team.alice.run("share", "archive", "bob", "--write").succeeds()
        gateways = [GatewayDevice(one, one.name) for one in (team.alice, team.bob)]
        for gateway in gateways:
            undo.callback(gateway.close)
        files: dict[str, str] = {}
        with ThreadPoolExecutor() as pool:
            work = [pool.submit(_through_the_gateway, one, chance, files) for one in gateways]
            work += [pool.submit(script.run) for script in scripts]
            for one in work:
                one.result()
        for script in scripts:
            files |= script.files
        there = _all_files(team.alice)
        assert files.keys() <= there.keys()
        for name, content in files.items():
            assert team.alice.cat(there[name]).decode() == content
        for person in (team.alice, phone):
            person.run("doctor").succeeds()
