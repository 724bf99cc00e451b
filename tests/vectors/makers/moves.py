"""Host keys that move: statements of old keys, and the answers that carry them."""

from __future__ import annotations

from itertools import pairwise

from fsproto import crypto, labels
from fsproto.errors import FsError, HostKeyError, RemoteProtocolError
from fsproto.host_key_moves import Move, Moves, Statement, question
from fsproto.packing import pack
from tests.support.fixed_keys import TIME_MS, rsa_key
from tests.vectors import Vector
from tests.vectors.makers import Files, Kept

_START = b"FSP1\x00\x02"


def make(kept: Kept) -> Files:
    """Return the one file."""
    return {"moves": _moves(kept)}


def _moves(kept: Kept) -> list[Vector]:
    keys = {name: rsa_key(name) for name in ("host", "other-host", "alice", "bob")}

    def move(old: str, new: str) -> Move:
        """Return the statement; its signature is random, so it is kept."""
        payload = pack(Statement(1, keys[old].public, crypto.sha256(keys[new].public), TIME_MS))
        return _signed(kept, f"move_{old}_{new}", keys[old], payload)

    def statement(old: str, new: str) -> Vector:
        one = move(old, new)
        return {
            "name": f"move_{old}_{new}",
            "old": old,
            "new": new,
            "payload": one.payload.hex(),
            "signature": one.signature.hex(),
            "error": None,
        }

    def answered(
        name: str, *moves: Move, to: str | None = None, error: type[FsError] | None = None
    ) -> Vector:
        answer = _START + pack(Moves(list(moves)))
        return answer_vector(name, answer, to, error)

    def answer_vector(
        name: str, answer: bytes, to: str | None, error: type[FsError] | None
    ) -> Vector:
        return {
            "name": f"moves_{name}",
            "pinned": crypto.fingerprint(keys["host"].public),
            "question": question(crypto.sha256(keys["host"].public)).hex(),
            "answer": answer.hex(),
            "successor": None if to is None else crypto.fingerprint(keys[to].public),
            "error": error.code if error else None,
        }

    first, second, third = (
        move(*pair) for pair in pairwise(("host", "other-host", "alice", "bob"))
    )
    back = move("other-host", "host")
    other_format = _signed(
        kept,
        "moves_format_2",
        keys["host"],
        pack(Statement(2, keys["host"].public, crypto.sha256(keys["alice"].public), TIME_MS)),
    )
    forged = Move(first.payload, second.signature)
    return [
        statement("host", "other-host"),
        statement("other-host", "alice"),
        statement("alice", "bob"),
        statement("other-host", "host"),
        {
            **answered("format_2", other_format, error=HostKeyError),
            "payload": other_format.payload.hex(),
            "signature": other_format.signature.hex(),
        },
        answered("none"),
        answered("one", first, to="other-host"),
        answered("three", first, second, third, to="bob"),
        answered("begin_with_another_key", second, error=HostKeyError),
        answered("one_left_out", first, third, error=HostKeyError),
        answered("exchanged", second, first, error=HostKeyError),
        answered("circle", first, back, error=HostKeyError),
        answered("signed_by_another", forged, error=HostKeyError),
        answered("nine", *[first, back] * 4, first, error=HostKeyError),
        answer_vector(
            "of_protocol_1", b"FSP1\x00\x01" + pack(Moves([first])), None, RemoteProtocolError
        ),
        answer_vector("cut", (_START + pack(Moves([first])))[:-1], None, RemoteProtocolError),
    ]


def _signed(kept: Kept, vector: str, key: crypto.RsaKey, payload: bytes) -> Move:
    def good(signature: bytes) -> bool:
        crypto.rsa_verify(key.public, signature, labels.SIGN_HOST_KEY_MOVE, payload)
        return True

    found = kept.get("moves", vector, "signature", good=good)
    return Move(payload, found or key.sign(labels.SIGN_HOST_KEY_MOVE, payload))
