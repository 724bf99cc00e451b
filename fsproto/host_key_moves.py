"""Changing a server's host key without an alarm: the old key signs the new one.

    Move      = [payload, RSA-PSS-SHA256(old key, "fs/2 host key move" ‖ payload) 384]
    payload   = packed [format 1, old key's SPKI, SHA-256 of the new key's SPKI 32, time_ms]

A client that sees an unexpected host key opens another connection. Its first message there asks for
the chain of statements from the expected key to the one that the server shows on that connection:

    question  = "FSP1" ‖ u16 version ‖ "moved" ‖ SHA-256 of the expected key's SPKI 32
    answer    = "FSP1" ‖ u16 version ‖ packed [[Move, …]], at most 8

A server that is about to change its host key, or whose other nodes have changed it already, holds
both keys. It shows the expected key if it holds it; the chain is empty then. The handshake follows.

Nothing here is secret, and the client trusts only the signatures: the first must be by the expected
key, each further one by the key that the previous one names. A holder of a former key can therefore
sign a statement for any other key: a change of the host key does not help after a theft.
Compare RFC 5011 (a trust anchor introduces its successor) and OpenSSH's `UpdateHostKeys`.
"""

from __future__ import annotations

from collections.abc import Sequence

from fsproto import crypto, labels
from fsproto.errors import FsError, HostKeyError, RemoteProtocolError
from fsproto.limits import MAX_HOST_KEY_MOVES, PROTOCOL_VERSION
from fsproto.packing import Record, pack, unpack
from fsproto.ranges import Uint63

FORMAT = 1
_START = b"FSP1" + PROTOCOL_VERSION.to_bytes(2, "big")
_ASKS = b"moved"
_VERSION_SIZE = 2
_QUESTION_SIZE = len(_START) + len(_ASKS) + crypto.HASH_SIZE


class Statement(Record, frozen=True):
    """The statement of an old key that a new one is its successor."""

    format: int
    old: bytes
    """SPKI DER."""
    new: bytes
    """SHA-256 of the new key's SPKI, 32 bytes."""
    time_ms: Uint63

    @property
    def successor(self) -> str:
        """Fingerprint of the new key."""
        return crypto.as_fingerprint(self.new)


class Move(Record, frozen=True):
    """A packed `Statement` and the old key's signature."""

    payload: bytes
    signature: bytes


class Moves(Record, frozen=True):
    """A chain of moves, the oldest first."""

    moves: list[Move]


def sign_move(old: crypto.RsaKey, new_spki: bytes, time_ms: int) -> Move:
    """Sign with the old host key that a new one is its successor."""
    payload = pack(Statement(FORMAT, old.public, crypto.sha256(new_spki), time_ms))
    return Move(payload, old.sign(labels.SIGN_HOST_KEY_MOVE, payload))


def verify_move(move: Move) -> Statement:
    """Return the statement; `HostKeyError` unless the old key in it has signed it."""
    try:
        said = unpack(move.payload, Statement)
        if said.format != FORMAT or len(said.new) != crypto.HASH_SIZE:
            raise crypto.CryptoError("another format")
        crypto.rsa_verify(said.old, move.signature, labels.SIGN_HOST_KEY_MOVE, move.payload)
    except (FsError, crypto.CryptoError):
        raise HostKeyError("A statement about a former host key is not signed by it.") from None
    return said


# --- asking


def question(expected: bytes) -> bytes:
    """Return the question; `expected` is SHA-256 of the expected key's SPKI."""
    return _START + _ASKS + expected


def is_question(message: bytes) -> bool:
    """Return whether a client's first message is a question, of any protocol version."""
    return (
        len(message) == _QUESTION_SIZE
        and message[len(_START) :].startswith(_ASKS)
        and message.startswith(_START[:-_VERSION_SIZE])
    )


def expected_in(asked: bytes) -> bytes:
    """Return the hash in a question: that of the expected key's SPKI."""
    return asked[-crypto.HASH_SIZE :]


def answer(asked: bytes, moves: Sequence[Move], current_spki: bytes) -> bytes:
    """Return the answer: the statements from the key in the question to the current one.

    The list is empty if there is no such chain, or if it is too long.
    """
    return _START + pack(Moves(_path(expected_in(asked), moves, current_spki)))


def _path(expected: bytes, moves: Sequence[Move], current_spki: bytes) -> list[Move]:
    """Follow the statements from the expected key; the last statement of a key counts."""
    leads = {}
    for move in moves:
        said = unpack(move.payload, Statement)
        leads[crypto.sha256(said.old)] = (said.new, move)
    path: list[Move] = []
    at, end = expected, crypto.sha256(current_spki)
    while at != end:
        if at not in leads or len(path) == MAX_HOST_KEY_MOVES:
            return []
        at, move = leads[at]
        path.append(move)
    return path


def follow(answered: bytes, expected: str) -> Statement | None:
    """Return the last statement of a chain that starts at the expected fingerprint.

    None for an empty answer. `HostKeyError` for an invalid chain; `RemoteProtocolError` if the
    bytes are not an answer. This does not prove that the server holds the last key; a handshake
    does.
    """
    if not answered.startswith(_START):
        raise RemoteProtocolError("The server's answer about its former host key cannot be read.")
    moves = unpack(answered[len(_START) :], Moves).moves
    if len(moves) > MAX_HOST_KEY_MOVES:
        raise HostKeyError("There are too many statements about former host keys.")
    said = None
    at, seen = expected, {expected}
    for move in moves:
        said = verify_move(move)
        if crypto.fingerprint(said.old) != at:
            raise HostKeyError("The statements about former host keys do not follow each other.")
        at = said.successor
        if at in seen:
            raise HostKeyError("The statements about former host keys form a circle.")
        seen.add(at)
    return said
