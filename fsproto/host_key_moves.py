"""How a server changes its host key without a scare: the old key vouches for the new one.

    Move      = [payload, RSA-PSS-SHA256(old key, "fs/1 host key move" ‖ payload) 384]
    payload   = packed [format 1, old key's SPKI, SHA-256 of the new key's SPKI 32, time_ms]

A client that is shown a host key other than the one it expects asks, over a connection of its own
and before it says anything else, for the statements that lead from the one to the other:

    question  = "FSP1" ‖ u16 version ‖ "moved" ‖ SHA-256 of the expected key's SPKI 32
    answer    = "FSP1" ‖ u16 version ‖ packed [[Move, …]], at most 8

Nothing here needs to be secret, and nothing is believed but the signatures: the first must be by
the very key that was expected, each further one by the key that the one before it names. So whoever
holds a former key can vouch for any other: a stolen key is not made good by moving away from it.
Compare RFC 5011 (a trust anchor introduces its successor) and OpenSSH's `UpdateHostKeys`.
"""

from __future__ import annotations

from collections.abc import Sequence

from fsproto import crypto, labels
from fsproto.errors import FsError, HostKeyError, RemoteProtocolError
from fsproto.limits import MAX_HOST_KEY_MOVES, PROTOCOL_VERSION
from fsproto.packing import Record, pack, unpack

FORMAT = 1
_START = b"FSP1" + PROTOCOL_VERSION.to_bytes(2, "big")
_ASKS = b"moved"
_VERSION_SIZE = 2
_QUESTION_SIZE = len(_START) + len(_ASKS) + crypto.HASH_SIZE


class Statement(Record, frozen=True):
    """What an old key says: that the new one is its successor."""

    format: int
    old: bytes
    """SPKI DER."""
    new: bytes
    """SHA-256 of the new key's SPKI, 32 bytes."""
    time_ms: int

    @property
    def successor(self) -> str:
        """Fingerprint of the new key."""
        return crypto.as_fingerprint(self.new)


class Move(Record, frozen=True):
    """A packed `Statement` and the old key's signature."""

    payload: bytes
    signature: bytes


class Moves(Record, frozen=True):
    """Several, one after the other."""

    moves: list[Move]


def sign_move(old: crypto.RsaKey, new_spki: bytes, time_ms: int) -> Move:
    """Have the old host key vouch for a new one."""
    payload = pack(Statement(FORMAT, old.public, crypto.sha256(new_spki), time_ms))
    return Move(payload, old.sign(labels.SIGN_HOST_KEY_MOVE, payload))


def verify_move(move: Move) -> Statement:
    """Return what was said; `HostKeyError` unless the key that it names as the old one said it."""
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
    """Return what to ask; `expected` is SHA-256 of the expected key's SPKI."""
    return _START + _ASKS + expected


def is_question(message: bytes) -> bool:
    """Tell whether a client's first message is a question, in whatever version."""
    return (
        len(message) == _QUESTION_SIZE
        and message[len(_START) :].startswith(_ASKS)
        and message.startswith(_START[:-_VERSION_SIZE])
    )


def answer(asked: bytes, moves: Sequence[Move], current_spki: bytes) -> bytes:
    """Return the statements that lead from the key that was asked about to the current one.

    There are none in it if there are none, or too many.
    """
    return _START + pack(Moves(_path(asked[-crypto.HASH_SIZE :], moves, current_spki)))


def _path(expected: bytes, moves: Sequence[Move], current_spki: bytes) -> list[Move]:
    """Walk back from the current key; of several statements of one key the newest counts."""
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
    """Return the last step of those that lead away from the key with the expected fingerprint.

    None if the server vouches for nothing. `HostKeyError` for a chain that does not hold;
    `RemoteProtocolError` for what is no answer. That the server holds the key that the last step
    names is for a handshake to show.
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
            raise HostKeyError("The statements about former host keys go round in a circle.")
        seen.add(at)
    return said
