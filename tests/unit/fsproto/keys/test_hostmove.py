"""Statements about former host keys: the server's answers, and those that a client follows."""

from __future__ import annotations

import os
from itertools import pairwise

import pytest

from fsproto import crypto, host_key_moves
from fsproto.errors import HostKeyError, RemoteProtocolError
from fsproto.host_key_moves import Moves, answer, follow, question, sign_move, verify_move
from fsproto.limits import MAX_HANDSHAKE_MESSAGE, MAX_HOST_KEY_MOVES
from fsproto.packing import pack
from fsproto.wire.handshake import ClientHandshake, ServerHandshake
from tests.support.fixed_keys import TIME_MS, rsa_key

A, B, C = rsa_key("host"), rsa_key("other-host"), rsa_key("alice")
A_B, B_C = sign_move(A, B.public, TIME_MS), sign_move(B, C.public, TIME_MS + 1)


def asked(key: crypto.RsaKey) -> bytes:
    return question(crypto.sha256(key.public))


def fingerprint(key: crypto.RsaKey) -> str:
    return crypto.fingerprint(key.public)


def test_the_statements_from_any_former_key_are_sent_and_followed():
    for start, steps in ((A, 2), (B, 1)):
        told = answer(asked(start), [A_B, B_C], C.public)
        said = follow(told, fingerprint(start))
        assert said is not None
        assert (said.successor, said.time_ms) == (fingerprint(C), TIME_MS + 1)
        assert told.count(b"\xc5\x01\x80") == steps  # one 384-byte signature per step


@pytest.mark.parametrize(
    ("start", "moves", "now"),
    [(A, [], B), (C, [A_B], B), (A, [A_B], C), (A, [B_C], C), (A, [A_B], A)],
)
def test_where_no_way_leads_there_is_no_answer(start, moves, now):
    assert follow(answer(asked(start), moves, now.public), fingerprint(start)) is None


def test_of_two_statements_of_one_key_the_newer_counts():
    stray = sign_move(A, rsa_key("bob").public, TIME_MS)
    said = follow(answer(asked(A), [stray, A_B], B.public), fingerprint(A))
    assert said is not None
    assert said.successor == fingerprint(B)


def test_the_longest_answer_fits_into_a_message_of_the_handshake():
    moves = [sign_move(one, other.public, 2**53) for one, other in pairwise([A, B] * 5)]
    assert len(pack(Moves(moves[:MAX_HOST_KEY_MOVES]))) + 6 < MAX_HANDSHAKE_MESSAGE


def test_a_statement_holds_for_the_key_that_signed_it_alone():
    assert verify_move(A_B).successor == fingerprint(B)
    forged = host_key_moves.Move(A_B.payload, sign_move(C, B.public, TIME_MS).signature)
    with pytest.raises(HostKeyError, match="not signed"):
        verify_move(forged)


def test_an_invalid_answer_is_refused():
    for told in (b"", b"FSP1", b"HTTP/1.1 400"):
        with pytest.raises(RemoteProtocolError):
            follow(told, fingerprint(A))


def test_a_question_is_distinguished_from_a_hello():
    assert host_key_moves.is_question(asked(A))
    assert not host_key_moves.is_question(asked(A) + b"\0")
    assert not host_key_moves.is_question(b"FSP1\0\1" + bytes(37))


def shaken_hands(server: ServerHandshake, expected: crypto.RsaKey) -> None:
    """Complete a handshake with a server; `HostKeyError` if it shows another key."""
    client = ClientHandshake(fingerprint(expected), os.urandom)
    key, _ = client.receive_hello(server.receive_hello(client.hello))
    client.receive_confirm(server.receive_key(key)[0])


def test_a_server_shows_another_key_that_it_holds_to_a_client_that_expects_it():
    server = ServerHandshake(A, os.urandom, [A_B], [B])
    assert follow(server.receive_question(asked(B)), fingerprint(B)) is None
    shaken_hands(server, B)


@pytest.mark.parametrize("expected", [A, C])
def test_a_server_shows_its_current_key_to_a_client_that_expects_no_other_one(expected):
    server = ServerHandshake(A, os.urandom, [A_B], [B])
    assert follow(server.receive_question(asked(expected)), fingerprint(expected)) is None
    if expected is C:
        with pytest.raises(HostKeyError):
            shaken_hands(server, C)
    else:
        shaken_hands(server, A)


def test_the_answer_leads_to_the_key_that_the_same_connection_shows():
    server = ServerHandshake(C, os.urandom, [A_B, B_C], [])
    said = follow(server.receive_question(asked(A)), fingerprint(A))
    assert said is not None
    assert said.successor == fingerprint(C)
    shaken_hands(server, C)


def test_a_second_question_on_one_connection_is_an_error():
    server = ServerHandshake(A, os.urandom, [A_B], [B])
    server.receive_question(asked(B))
    with pytest.raises(RemoteProtocolError, match="asked twice"):
        server.receive_question(asked(A))


@pytest.mark.parametrize("text", ["", "SHA256:", "SHA256:AAAA", "SHA256:" + "!" * 43, "MD5:00"])
def test_an_invalid_fingerprint_is_refused(text):
    with pytest.raises(crypto.CryptoError):
        crypto.digest_of(text)


def test_a_fingerprint_and_its_digest_are_the_same():
    assert crypto.digest_of(fingerprint(A)) == crypto.sha256(A.public)
