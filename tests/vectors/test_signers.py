"""The vectors of whose signature counts, against the client's rules and the plain ones."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from types import SimpleNamespace
from typing import Any

from fsclient.trust.authorship import AuthorRules
from fsclient.trust.seen import SeenVersions
from fsclient.trust.sightings import Gap
from fsproto.errors import SignatureError
from fsproto.keylog.log import KeyLog
from fsproto.keys.member_list import stated_members
from fsproto.keys.tree import KeyedNode
from fsproto.sealed.folder import FolderState
from fsproto.sealed.manifest import Manifest
from fsproto.signed import Signed
from fsproto.types import NO_HASH, Hash, NodeId, NodeKey
from tests.support import reference
from tests.support.fixed_keys import TIME_MS
from tests.support.key_logs import key_log
from tests.vectors import Vector
from tests.vectors.cases import good, octets
from tests.vectors.makers.content import file_manifest, replaced


class _Server:
    """Answers with the lists of a vector."""

    def __init__(self, vector: Vector) -> None:
        self._lists = {
            octets(step, "node"): Signed(
                octets(step["members"], "payload"), octets(step["members"], "signature")
            )
            for step in vector["way"]
            if step["members"] is not None
        }

    def member_lists(self, nodes: Sequence[NodeId]) -> list[Signed]:
        return [self._lists[node] for node in nodes if node in self._lists]

    def may_read(self, node: NodeId) -> bool:
        raise AssertionError(node)

    def lineages(self, gaps: Sequence[Gap]) -> dict[Gap, list[Hash]]:
        raise AssertionError(gaps)


def _log(vector: Vector) -> KeyLog:
    return key_log(bytes.fromhex(entry) for entry in vector["log"])


def _rules(vector: Vector, memory: SeenVersions) -> AuthorRules:
    log, owner_key = _log(vector), octets(vector, "owner_key")
    people: Any = SimpleNamespace(
        log=log,
        identity_keys=lambda user: [one.ed25519 for one in log.all_of(user, owner_key)],
        check_heads=lambda *_: None,
        check_age=lambda *_: None,
        read_for=lambda *_: None,
    )
    server: Any = _Server(vector)
    rules = AuthorRules(server, people, memory)
    top, *below = vector["way"]
    rules.register_top(_node(top), vector["owner"], None)
    rules.forget_lists()
    above = _node(top).node
    for step in below:
        rules.places.register(above, _node(step), step["link_generation"])
        above = _node(step).node
    return rules


def _node(step: Vector) -> KeyedNode:
    return KeyedNode(NodeId(octets(step, "node")), step["generation"], NodeKey(bytes(32)))


def _counts(
    rules: AuthorRules, folder: NodeId, body: FolderState | Manifest, *, ever: bool
) -> bool:
    if rules._is_owners(folder, body):
        return True
    try:
        rules._check_writer(folder, body, ever=ever)
    except SignatureError:
        return False
    return True


@good("signers")
def test_whose_signature_counts_in_a_folder(vector: Vector):
    folder = _node(vector["way"][-1])
    for case in vector["cases"]:
        author, key = case["author"], octets(case, "key")
        generation = folder.generation
        state = FolderState(
            1, folder.node, 1, NO_HASH, NO_HASH, generation, author, key, TIME_MS, b""
        )
        manifest = replaced(file_manifest(), parent=folder.node, author=author, author_key=key)
        with closing(SeenVersions(None)) as memory:
            rules = _rules(vector, memory)
            counts = [
                _counts(rules, folder.node, state, ever=False),
                _counts(rules, folder.node, manifest, ever=True),
            ]
        assert counts == [case["counts_for_state"], case["counts_for_manifest"]], case


@good("signers")
def test_whose_signature_counts_by_the_plain_rule(vector: Vector):
    log, way = _log(vector), [_plain(step) for step in vector["way"]]
    for case in vector["cases"]:
        author, key = case["author"], octets(case, "key")
        is_owner = author == vector["owner"] and log.same_person(
            author, octets(vector, "owner_key"), key
        )
        for ever, expected in (
            (False, case["counts_for_state"]),
            (True, case["counts_for_manifest"]),
        ):
            counts = reference.signature_counts(
                way, author, key, is_owner=is_owner, same_person=log.same_person, ever=ever
            )
            assert counts == expected, (case, ever)


def _plain(step: Vector) -> reference.Step:
    named: list[tuple[str, bytes, int | None]] = []
    if step["members"] is not None:
        signed = Signed(octets(step["members"], "payload"), octets(step["members"], "signature"))
        body = stated_members(signed)
        named = [(one.user, one.ed25519, None) for one in body.members if one.role == 3]
        named += [(one.user, one.ed25519, None) for one in body.above]
        named += [(one.user, one.ed25519, one.generation) for one in body.former]
    return reference.Step(step["generation"], step["link_generation"], named)
