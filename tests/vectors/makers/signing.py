"""Vectors of batches: many payloads under one signature."""

from __future__ import annotations

from fsproto import crypto, labels
from fsproto.errors import FsError, SignatureError
from fsproto.proofs import merkle
from fsproto.signed import Signed, sign_many
from tests.support.fixed_keys import person, stretch
from tests.vectors import Vector
from tests.vectors.makers import Files, Kept

COUNTS = (2, 3, 5, 7, 8, 64)


def make(kept: Kept) -> Files:
    """Return the only file of this group."""
    return {"signed": _signed()}


def _signed() -> list[Vector]:
    key = person("alice").signing

    def vector(name: str, signed: Signed, error: type[FsError] | None = None) -> Vector:
        return {
            "name": name,
            "public": key.public.hex(),
            "payload": signed.payload.hex(),
            "signature": signed.signature.hex(),
            "error": error.code if error else None,
        }

    def many(count: int, label: bytes = labels.SIGN_MANIFESTS) -> list[Signed]:
        payloads = [stretch(f"payload {index} of {count}", 40 + index) for index in range(count)]
        return sign_many(key, labels.SIGN_MANIFEST, label, payloads)

    def changed(name: str, payload: bytes, signature: bytes) -> Vector:
        return vector(f"signed_{name}", Signed(payload, signature), SignatureError)

    good = [
        vector(f"signed_{index}_of_{count}", signed)
        for count in COUNTS
        for index, signed in enumerate(many(count))
        if index in {0, 1, count // 2, count - 1}
    ]
    three = many(3)
    first, last = three[0].payload, three[2].payload
    head = crypto.SIGNATURE_SIZE
    one, end = three[0].signature, three[2].signature
    inner = b"\x01" + merkle.leaf_hash(first) + merkle.leaf_hash(three[1].payload)
    return [
        *good,
        changed("payload_of_another", three[1].payload, one),
        changed("index_of_another", first, one[: head + 3] + b"\x01" + one[head + 4 :]),
        changed("index_behind_the_end", last, end[: head + 3] + b"\x03" + end[head + 4 :]),
        changed("other_count", first, one[: head + 7] + b"\x04" + one[head + 8 :]),
        changed("count_of_none", first, one[: head + 4] + bytes(4) + one[head + 8 :]),
        changed("path_cut", first, one[:-32]),
        changed("path_cut_within_a_hash", first, one[:-1]),
        changed("path_longer", first, one + bytes(32)),
        changed("path_missing", first, one[: head + 8]),
        changed("place_cut", first, one[: head + 7]),
        changed("path_of_the_last", first, one[: head + 8] + end[head + 8 :]),
        changed("inner_node_as_payload", inner, one[: head + 8] + one[-32:]),
        changed("head_changed", first, bytes([one[0] ^ 1]) + one[1:]),
        changed("head_alone", first, one[:head]),
        changed("nothing", first, b""),
        changed("under_the_label_of_one", *_parts(many(3, labels.SIGN_MANIFEST)[0])),
    ]


def _parts(signed: Signed) -> tuple[bytes, bytes]:
    return signed.payload, signed.signature
