"""Vectors of the channel: handshake, records and messages."""

from __future__ import annotations

import enum
import typing
from typing import Any

from fsproto import crypto
from fsproto.errors import FsError, HostKeyError, NotFsdError, RemoteProtocolError
from fsproto.errors import VersionMismatchError as OtherVersion
from fsproto.limits import MAX_RECORD, RECORDS_PER_KEY
from fsproto.messages import MESSAGES, Message, account, encode, files
from fsproto.packing import Record
from fsproto.wire.handshake import ClientHandshake
from fsproto.wire.records import CONTROL, CONTROL_HEADER, DATA, DATA_HEADER, RecordSealer
from tests.support import reference
from tests.support.fixed_keys import Seeded, host_key, rsa_key, stretch
from tests.support.reference import u16, u32
from tests.vectors import Vector
from tests.vectors.fields import declared, to_json
from tests.vectors.makers import Files, Kept

SMALL_ORDER_POINT = bytes(32)

Arrivals = dict[str, tuple[tuple[str, bytes, type[FsError]], ...]]
"""For each end: (name of the vector, bytes that arrive, error that must refuse them)."""


def make(kept: Kept) -> Files:
    """Return the three files of the channel."""
    return {"handshake": _handshakes(kept), "records": _records(), "messages": _messages()}


# --- handshake


def _handshakes(kept: Kept) -> list[Vector]:
    good = _handshake(kept)
    hello, answer, key = (
        bytes.fromhex(good[name]) for name in ("client_hello", "server_hello", "client_key")
    )
    spki = host_key().public
    other = rsa_key("other-host").public
    before_key = answer[: -len(spki) - 2]
    other_host = before_key + u16(len(other)) + other
    hello_point = hello[:38] + SMALL_ORDER_POINT + hello[70:]
    answer_point = answer[:38] + SMALL_ORDER_POINT + answer[70:]
    kem_key_out_of_range = hello[:70] + b"\xff" * 3 + hello[73:]
    broken = RemoteProtocolError
    first: Arrivals = {
        "client": (
            ("server_hello_cut", _framed(answer[:-1]), broken),
            ("server_hello_too_short", _framed(answer[:100]), broken),
            ("server_hello_bytes_behind_end", _framed(answer + b"\0"), broken),
            ("server_hello_small_order_point", _framed(answer_point), broken),
            ("server_hello_version_alone", _framed(answer[:6]), broken),
            ("server_hello_no_bytes", _framed(b""), broken),
            ("server_hello_other_host_key", _framed(other_host), HostKeyError),
            ("server_hello_host_key_changed", _framed(_changed(answer, -9)), HostKeyError),
            ("server_hello_other_version", _framed(_version(answer, 3)), OtherVersion),
            ("server_hello_other_magic", _framed(b"FSP2" + answer[4:]), NotFsdError),
            ("server_hello_http", b"HTTP/1.1 400 Bad Request\r\n", NotFsdError),
            ("server_hello_ssh", b"SSH-2.0-OpenSSH_9.9\r\n", NotFsdError),
        ),
        "server": (
            ("client_hello_cut", _framed(hello[:-1]), broken),
            ("client_hello_bytes_behind_end", _framed(hello + b"\0"), broken),
            ("client_hello_small_order_point", _framed(hello_point), broken),
            ("client_hello_kem_key_out_of_range", _framed(kem_key_out_of_range), broken),
            ("client_hello_no_bytes", _framed(b""), broken),
            ("client_hello_other_version", _framed(_version(hello, 3)), OtherVersion),
            ("client_hello_http", b"GET / HTTP/1.1\r\n\r\n", NotFsdError),
        ),
    }
    later: Arrivals = {
        "client": (
            ("server_confirm_wrong", _framed(bytes(32)), broken),
            ("server_confirm_cut", _framed(bytes(31)), broken),
        ),
        "server": (
            ("client_key_secret_changed", _framed(_changed(key, 100)), broken),
            ("client_key_confirm_changed", _framed(_changed(key, 400)), broken),
            ("client_key_cut", _framed(key[:-1]), broken),
        ),
    }
    return [good] + [
        {"name": name, "to": to, "step": step, "arrives": arrives.hex(), "error": error.code}
        for step, table in enumerate((first, later), 1)
        for to, vectors in table.items()
        for name, arrives, error in vectors
    ]


def _handshake(kept: Kept) -> Vector:
    client_random = stretch("handshake client", 160)
    server_random = stretch("handshake server", 96)
    client_secret = client_random[:32]
    client = ClientHandshake(crypto.fingerprint(host_key().public), Seeded("handshake client"))
    kem = crypto.KemKey(client_random[64:128])
    x25519 = crypto.X25519(server_random[:32])

    def opens(sealed: bytes) -> bool:
        return host_key().open(sealed) == client_secret

    def decapsulates(ciphertext: bytes) -> bool:
        return kem.decapsulate(ciphertext) == kept.get("handshake", "handshake", "kem_secret")

    sealed = kept.get("handshake", "handshake", "rsa_ciphertext", good=opens)
    sealed = sealed or crypto.rsa_seal(host_key().public, client_secret)
    ciphertext = kept.get("handshake", "handshake", "kem_ciphertext", good=decapsulates)
    ciphertext = ciphertext or crypto.kem_encapsulate(kem.public)[1]

    spki = host_key().public
    answer = b"FSP1" + u16(2) + server_random[32:64] + x25519.public + ciphertext
    answer += u16(len(spki)) + spki
    shared = x25519.exchange(client.hello[38:70])
    secrets = client_secret + shared + kem.decapsulate(ciphertext)
    follows = reference.key_schedule(secrets, client.hello, answer, sealed)
    values = {
        "client_random": client_random,
        "server_random": server_random,
        "rsa_secret": client_secret,
        "rsa_ciphertext": sealed,
        "x25519_secret": shared,
        "kem_ciphertext": ciphertext,
        "kem_secret": kem.decapsulate(ciphertext),
        "client_hello": client.hello,
        "server_hello": answer,
        "client_key": sealed + follows["client_confirm"],
        **follows,
    }
    return {
        "name": "handshake",
        "host_key": "host",
        "fingerprint": crypto.fingerprint(spki),
        **{name: value.hex() for name, value in values.items()},
        "error": None,
    }


def _framed(message: bytes) -> bytes:
    return u32(len(message)) + message


def _changed(data: bytes, at: int) -> bytes:
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def _version(hello: bytes, version: int) -> bytes:
    return hello[:4] + u16(version) + hello[6:]


# --- records


def _records() -> list[Vector]:
    secret = stretch("records", 44)
    other = stretch("records of the other direction", 44)

    def plain(number: int) -> bytes:
        return b"record %d" % number

    sealer = RecordSealer(secret)
    made = [sealer.seal(plain(number)) for number in range(2 * RECORDS_PER_KEY + 1)]

    def vector(name: str, number: int, record: bytes, error: type[FsError] | None = None) -> Vector:
        return {
            "name": name,
            "secret": secret.hex(),
            "number": number,
            "plaintext": plain(number).hex() if error is None else None,
            "record": record.hex(),
            "error": error.code if error else None,
        }

    def refused(name: str, number: int, record: bytes) -> Vector:
        return vector(name, number, record, RemoteProtocolError)

    last = RECORDS_PER_KEY - 1
    key, iv = secret[:32], secret[32:]
    no_ratchet = int.from_bytes(iv[4:], "big") ^ RECORDS_PER_KEY
    header = u32(len(plain(last + 1)) + 16)
    unratcheted = header + crypto.Aead(key).seal(
        iv[:4] + no_ratchet.to_bytes(8, "big"), plain(last + 1), header
    )
    return [
        vector("record_first", 0, made[0]),
        vector("record_second", 1, made[1]),
        vector("record_last_under_first_key", last, made[last]),
        vector("record_first_under_second_key", last + 1, made[last + 1]),
        vector("record_first_under_third_key", 2 * RECORDS_PER_KEY, made[2 * RECORDS_PER_KEY]),
        refused("record_repeated", 1, made[0]),
        refused("record_ahead", 0, made[1]),
        refused("record_4096_earlier", last + 1, made[0]),
        refused("record_without_ratchet", last + 1, unratcheted),
        refused("record_other_direction", 0, RecordSealer(other).seal(plain(0))),
        refused("record_byte_changed", 0, _changed(made[0], 6)),
        refused("record_tag_changed", 0, _changed(made[0], len(made[0]) - 1)),
        refused("record_length_one_less", 0, u32(len(made[0]) - 5) + made[0][4:-1]),
        refused("record_shorter_than_a_tag", 0, u32(15) + bytes(15)),
        refused("record_no_bytes", 0, u32(0)),
        refused("record_too_long", 0, u32(MAX_RECORD + 1)),
    ]


# --- messages


def _messages() -> list[Vector]:
    vectors: list[Vector] = []
    for number, kind in enumerate(MESSAGES, 1):
        for least in (False, True):
            message = sample(kind, kind.__name__, least=least)
            body = CONTROL_HEADER.pack(CONTROL, number) + encode(message)
            vector = {
                "name": f"control_{kind.__name__.lower()}" + ("_least" if least else ""),
                "request": number,
                "message": kind.__name__.lower(),
                "fields": to_json(message),
                "plaintext": body.hex(),
                "error": None,
            }
            if not least or vector["fields"] != vectors[-1]["fields"]:
                vectors.append(vector)
    payload = stretch("data", 24)
    for name, stream, index, part in (
        ("data", 7, 3, payload),
        ("data_largest_numbers", (1 << 32) - 1, (1 << 64) - 1, payload),
        ("data_no_bytes", 0, 0, b""),
    ):
        vectors.append(
            {
                "name": name,
                "stream": stream,
                "index": index,
                "payload": part.hex(),
                "plaintext": (DATA_HEADER.pack(DATA, stream, index) + part).hex(),
                "error": None,
            }
        )
    return vectors + _refused_messages()


def _refused_messages() -> list[Vector]:
    sent = encode(files.Sent(5))  # an array of two items: the name and one number
    control = {
        "control_not_msgpack": b"\xc1",
        "control_no_bytes": b"",
        "control_unknown_name": sent.replace(b"sent", b"tens"),
        "control_field_missing": b"\x91" + sent[1:-1],
        "control_field_too_many": b"\x93" + sent[1:] + b"\x05",
        "control_bytes_behind_end": sent + b"\x00",
        "control_text_for_number": sent[:-1] + b"\xa15",
        "control_fraction_for_number": sent[:-1] + b"\xca\x40\xa0\x00\x00",
        "control_nothing_for_number": sent[:-1] + b"\xc0",
        "control_map_for_array": b"\x82\xa4type\xa4sent\xabsealed_size\x05",
        "control_text_not_utf8": b"\x93\xa7failure\xa1\xff\xa0",
        "control_longer_than_its_array": encode(account.Logout()) * 2,
    }
    bodies = {name: CONTROL_HEADER.pack(CONTROL, 1) + body for name, body in control.items()}
    bodies |= {
        "control_header_cut": CONTROL_HEADER.pack(CONTROL, 1)[:-1],
        "data_header_cut": DATA_HEADER.pack(DATA, 1, 1)[:-1],
        "record_empty": b"",
        "record_type_0": b"\x00" + bytes(20),
        "record_type_3": b"\x03" + bytes(20),
    }
    return [
        {"name": name, "plaintext": body.hex(), "error": RemoteProtocolError.code}
        for name, body in bodies.items()
    ]


def sample(kind: type[Message], seed: str, *, least: bool) -> Message:
    """Return a message of the kind: all fields used or, with `least`, as few as possible."""
    message: Message = _sample(kind, seed, least=least)
    return message


def _sample(kind: Any, seed: str, *, least: bool) -> Any:
    kind, may_be_none = declared(kind)
    if may_be_none and least:
        return None
    if typing.get_origin(kind) is list:
        item = typing.get_args(kind)[0]
        return [] if least else [_sample(item, f"{seed} {n}", least=False) for n in range(2)]
    if issubclass(kind, Record):
        hints = typing.get_type_hints(kind)
        names = [name for name in hints if name in kind.__struct_fields__]
        return kind(**{n: _sample(hints[n], f"{seed} {n}", least=least) for n in names})
    if issubclass(kind, enum.Enum):
        return next(iter(kind))
    if kind is bytes:
        return b"" if least else stretch(seed, 32)
    if kind is str:
        return "" if least else f"{seed} ü"
    if kind is bool:
        return not least
    return 0 if least else int.from_bytes(stretch(seed, 6), "big")
