"""What libraries may disagree about: Ed25519 signatures, and encodings of one value."""

from __future__ import annotations

import hashlib

import msgspec

from fsproto import crypto
from fsproto.errors import FsError, RemoteProtocolError, SignatureError
from fsproto.packing import pack
from fsproto.sealed.folder import FolderState
from fsproto.types import Hash
from tests.support import curve
from tests.support.fixed_keys import LOG_HEAD, TIME_MS, keyed_node, person, stretch
from tests.vectors import Vector
from tests.vectors.fields import to_json
from tests.vectors.makers import Files, Kept


def make(kept: Kept) -> Files:
    """Return both files."""
    return {"ed25519": _signatures(), "packing": _packings()}


# --- Ed25519


def _signatures() -> list[Vector]:
    key = crypto.SigningKey(stretch("strict", 32))
    message = b"fs/2 test message"
    good = key.sign(message)
    scalar = curve.secret_scalar(key.seed)
    torsion = curve.TORSION
    mixed = curve.encoded(curve.add(curve.times(scalar, curve.BASE), torsion))
    identity = curve.encoded(curve.NEUTRAL)

    def vector(
        name: str,
        signature: bytes,
        public: bytes = key.public,
        text: bytes = message,
        error: type[FsError] | None = SignatureError,
    ) -> Vector:
        return {
            "name": f"ed25519_{name}",
            "public": public.hex(),
            "message": text.hex(),
            "signature": signature.hex(),
            "error": error.code if error else None,
        }

    def signed(public: bytes, point: bytes, nonce: int, text: bytes) -> bytes:
        """Return R = `point` and the S that fits it, for the public key `public`."""
        return point + curve.scalar(nonce + curve.challenge(point, public, text) * scalar)

    def weak(name: str, public: bytes) -> Vector:
        """Return the signature that a key of small order has for one message in eight or more."""
        text = next(each for each in texts if curve.challenge(identity, public, each) % 8 == 0)
        return vector(name, identity + bytes(32), public, text)

    nonce = int.from_bytes(hashlib.sha512(b"nonce").digest(), "little") % curve.ORDER
    commit = curve.encoded(curve.times(nonce, curve.BASE))
    texts = [b"message %d" % number for number in range(64)]
    fits = {curve.challenge(commit, mixed, text) % 8 == 0: text for text in texts}
    moved = curve.encoded(curve.add(curve.times(nonce, curve.BASE), torsion))
    too_large = good[:32] + (int.from_bytes(good[32:], "little") + curve.ORDER).to_bytes(
        32, "little"
    )
    p = curve.FIELD
    return [
        vector("good", good, error=None),
        vector("r_neutral", signed(key.public, identity, 0, message), error=None),
        vector(
            "key_with_torsion", signed(mixed, commit, nonce, fits[True]), mixed, fits[True], None
        ),
        vector("other_message", good, text=b"fs/2 other message"),
        vector("s_plus_order", too_large),
        vector("r_neutral_not_canonical", signed(key.public, _y(p + 1), 0, message)),
        vector("r_with_torsion", signed(key.public, moved, nonce, message)),
        vector(
            "key_with_torsion_cofactor",
            signed(mixed, commit, nonce, fits[False]),
            mixed,
            fits[False],
        ),
        weak("key_neutral", identity),
        weak("key_neutral_not_canonical", _y(p + 1)),
        weak("key_neutral_sign_bit", _y(1 | 1 << 255)),
        weak("key_of_order_2", _y(p - 1)),
        weak("key_of_order_4", bytes(32)),
        weak("key_of_order_8", curve.encoded(torsion)),
        vector("key_not_on_the_curve", good, _y(2)),
        vector("key_short", good, key.public[:-1]),
        vector("signature_short", good[:-1]),
    ]


def _y(number: int) -> bytes:
    return number.to_bytes(32, "little")


# --- packed values


def _packings() -> list[Vector]:
    body = FolderState(
        format=1,
        folder=keyed_node("folder").node,
        version=2,
        lineage=Hash(stretch("folder state 1", 32)),
        root=Hash(stretch("root", 32)),
        generation=1,
        author="alice",
        author_key=person("alice").signing.public,
        time_ms=TIME_MS,
        log_head=LOG_HEAD,
    )
    packed = pack(body)

    def refused(name: str, old: bytes, new: bytes) -> Vector:
        assert packed.count(old) >= 1
        return {
            "name": f"packing_{name}",
            "payload": packed.replace(old, new, 1).hex(),
            "error": RemoteProtocolError.code,
        }

    node, end = b"\xc4\x10" + body.folder, b"\xc4\x28" + LOG_HEAD
    values = list(msgspec.msgpack.decode(packed))
    cut, longer = (msgspec.msgpack.encode(some) for some in (values[:-1], [*values, 1]))
    named = msgspec.msgpack.encode(to_json(body) | {"folder": body.folder})
    assert packed.endswith(end)
    return [
        {
            "name": "packing_shortest",
            "payload": packed.hex(),
            "fields": to_json(body),
            "error": None,
        },
        refused("array_16", b"\x9a", b"\xdc\x00\x0a"),
        refused("array_32", b"\x9a", b"\xdd\x00\x00\x00\x0a"),
        refused("uint_8", b"\x9a\x01", b"\x9a\xcc\x01"),
        refused("int_64", b"\x9a\x01", b"\x9a\xd3" + bytes(7) + b"\x01"),
        refused("float", b"\x9a\x01", b"\x9a\xcb\x3f\xf0" + bytes(6)),
        refused("true_for_1", b"\x9a\x01", b"\x9a\xc3"),
        refused("nil_for_1", b"\x9a\x01", b"\x9a\xc0"),
        refused("bin_16", node, b"\xc5\x00\x10" + body.folder),
        refused("str_for_bin", node, b"\xb0" + bytes(16)),
        refused("str_8", b"\xa5alice", b"\xd9\x05alice"),
        refused("bin_for_str", b"\xa5alice", b"\xc4\x05alice"),
        refused("str_not_utf_8", b"\xa5alice", b"\xa5alic\xff"),
        {"name": "packing_field_missing", "payload": cut.hex(), "error": RemoteProtocolError.code},
        {"name": "packing_field_added", "payload": longer.hex(), "error": RemoteProtocolError.code},
        {"name": "packing_map", "payload": named.hex(), "error": RemoteProtocolError.code},
        refused("byte_after_the_end", end, end + b"\0"),
        refused("cut", end, end[:-1]),
    ]
