"""The vectors of lineages, of older versions and of removals."""

from __future__ import annotations

import pytest

from fsproto.errors import FsError, RollbackError
from fsproto.packing import unpack
from fsproto.proofs.lineage import LineagePoint
from fsproto.sealed.folder import verify_state
from fsproto.sealed.manifest import (
    Manifest,
    VerifiedManifest,
    check_author,
    older_manifest,
    pinned_manifest,
)
from fsproto.sealed.removal import Removal, verify_removal
from fsproto.signed import Signed, Verifier
from fsproto.types import Hash
from tests.support import reference
from tests.vectors import Vector
from tests.vectors.cases import bad, good, named_error, octets


def _point(vector: Vector) -> LineagePoint:
    hash_of = Hash(octets(vector, "hash"))
    return LineagePoint(vector["version"], Hash(octets(vector, "lineage")), hash_of)


def _leads(vector: Vector) -> bool:
    earlier, later = _point(vector["earlier"]), _point(vector["later"])
    between = [Hash(bytes.fromhex(one)) for one in vector["between"]]
    leads = earlier.leads_to(later, between)
    plain = [(one.version, one.lineage, one.hash) for one in (earlier, later)]
    assert leads == reference.descends(plain[0], plain[1], between)
    for one in (vector["earlier"], vector["later"]):
        assert _point(one).next_lineage == octets(one, "next_lineage")
    return leads


@good("lineage")
def test_a_version_leads_to_those_that_follow_from_it(vector: Vector):
    assert _leads(vector)


@bad("lineage")
def test_a_version_leads_to_no_other(vector: Vector):
    assert named_error(vector) is RollbackError
    assert not _leads(vector)


def _chain(vector: Vector) -> list[VerifiedManifest]:
    newest = vector["newest"]
    chain = [pinned_manifest(Signed(octets(newest, "payload"), b""), Hash(octets(newest, "hash")))]
    for one in vector["older"]:
        signed = Signed(octets(one, "payload"), octets(one, "signature"))
        chain.append(older_manifest(signed, chain[-1]))
    return chain


@good("history")
def test_the_older_versions_of_a_file_follow_from_its_newest(vector: Vector):
    chain = _chain(vector)
    assert [one.body.version for one in chain] == vector["versions"]
    for one in chain[1:]:
        check_author(one, "alice", Verifier(octets(vector, "public")))


@bad("history")
def test_versions_that_do_not_follow_are_refused(vector: Vector):
    with pytest.raises(FsError) as refused:
        _chain(vector)
    assert type(refused.value) is named_error(vector)


def _removal(vector: Vector) -> Removal:
    """Verify a removal as a client does that knows whose signatures count."""
    key = octets(vector, "public")
    manifest, *signed = (
        Signed(octets(vector[one], "payload"), octets(vector[one], "signature"))
        for one in ("manifest", "before", "after")
    )
    folder = unpack(manifest.payload, Manifest).parent
    states = [verify_state(one, folder, "alice", key) for one in signed]
    proofs = [octets(vector[one], "proof") for one in ("before", "after")]
    found = verify_removal(manifest, states[0], proofs[0], states[1], proofs[1])
    check_author(found.manifest, "alice", Verifier(key))
    return found


@good("removed")
def test_a_removal_is_proved_by_two_states(vector: Vector):
    assert _removal(vector).replaced == vector["replaced"]


@bad("removed")
def test_a_false_removal_is_refused(vector: Vector):
    with pytest.raises(FsError) as refused:
        _removal(vector)
    assert type(refused.value) is named_error(vector)
