"""The vectors of host keys that move."""

from __future__ import annotations

import pytest

from fsproto import crypto
from fsproto.errors import FsError
from fsproto.host_key_moves import Move, follow, question, verify_move
from tests.support.fixed_keys import rsa_key
from tests.vectors import Vector
from tests.vectors.cases import bad, good, named_error, octets


@good("moves", lambda vector: "old" in vector)
def test_a_statement_is_signed_by_the_old_key(vector: Vector):
    said = verify_move(Move(octets(vector, "payload"), octets(vector, "signature")))
    assert said.old == rsa_key(vector["old"]).public
    assert said.successor == crypto.fingerprint(rsa_key(vector["new"]).public)


@good("moves", lambda vector: "answer" in vector)
def test_an_answer_leads_to_the_present_key(vector: Vector):
    assert question(crypto.digest_of(vector["pinned"])) == octets(vector, "question")
    said = follow(octets(vector, "answer"), vector["pinned"])
    assert (said and said.successor) == vector["successor"]


@bad("moves")
def test_an_answer_that_leads_nowhere_is_refused(vector: Vector):
    with pytest.raises(FsError) as refused:
        follow(octets(vector, "answer"), vector["pinned"])
    assert type(refused.value) is named_error(vector)
