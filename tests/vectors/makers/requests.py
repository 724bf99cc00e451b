"""Vectors of request links: secrets, descriptions, records, URLs, drops, bodies of uploads."""

from __future__ import annotations

import struct
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fsproto import crypto, labels
from fsproto.drop import Drop, DropContent, RequestedDrop, content_ad
from fsproto.errors import FsError, IntegrityError, RemoteProtocolError, UsageError
from fsproto.keys.tree import KeyedNode
from fsproto.keys.wrapping import seal_to
from fsproto.packing import Record, pack
from fsproto.requests.description import RequestDescription, seal_request
from fsproto.requests.drop import NewDrop, RequestDropKeys, RequestNote, open_request_drop
from fsproto.requests.record import RequestRecord, seal_record
from fsproto.requests.secret import RequestSecret
from fsproto.requests.upload import FinishUpload, StartUpload, UploadState
from fsproto.requests.url import RequestUrl
from fsproto.sealed.integrity import blob_root
from fsproto.sealed.stream import StreamSealer
from fsproto.signed import payload_hash
from fsproto.types import DropId, Hash, NodeId, NodeKey, RequestId, Root, Salt
from tests.support.fixed_keys import TIME_MS, Seeded, person, stretch
from tests.vectors import Vector
from tests.vectors.fields import to_json
from tests.vectors.makers import Files, Kept
from tests.vectors.makers.content import replaced
from tests.vectors.makers.padding import padded, wrong_paddings

OPEN = RequestSecret.new(guarded=False, random=Seeded("request link"))
GUARDED = RequestSecret.new(guarded=True, random=Seeded("request link with a password"))
PASSWORD = "  Zebra-Ü 7\t"
PLAIN = b"page 1\n"
ID, SECRET = DropId(stretch("requested drop id", 16)), stretch("requested drop secret", 32)
SALT = Salt(stretch("requested drop salt", 32))
NOTE = RequestNote(1, "scans/seite 1 ü.pdf", len(PLAIN), 1_699_999_999_123_456_789, "Bob")


def make(kept: Kept) -> Files:
    """Return the files of request links."""
    return {
        "requestlink": _links(),
        "requestrecord": _records(),
        "requesturl": _urls(),
        "requestdrop": _drops(kept),
        "requestupload": _uploads(),
    }


def _links() -> list[Vector]:
    alice = person("alice").bundle
    body = RequestDescription(
        1, "Your scans, please.", alice.signed.payload, TIME_MS + 86_400_000, 10, 1 << 33
    )
    keys = OPEN.keys()

    def vector(name: str, secret: RequestSecret, password: str | None, sealed: bytes) -> Vector:
        derived = secret.keys(password or "")
        return {
            "name": name,
            "secret": secret.secret.hex(),
            "bundle": alice.hash.hex(),
            "password": password,
            "request": derived.request.hex(),
            **{
                field: getattr(derived, field).hex()
                for field in (
                    *("access", "proof", "key", "commitment", "mark"),
                    *("access_hash", "proof_hash"),
                )
            },
            "sealed": sealed.hex(),
            "error": None,
        }

    def good(
        name: str, secret: RequestSecret, password: str | None, body: RequestDescription
    ) -> Vector:
        sealed = seal_request(secret.keys(password or ""), alice.hash, body)
        owner = to_json(alice.body)
        made = vector(name, secret, password, sealed)
        return {**made, "fields": to_json(body), "owner": owner}

    def bad(name: str, error: type[FsError], sealed: bytes) -> Vector:
        return {**vector(name, OPEN, None, sealed), "error": error.code}

    def said(vector: str, **changes: Any) -> Vector:
        made = seal_request(keys, alice.hash, replaced(body, **changes))
        return bad(vector, RemoteProtocolError, made)

    def filled(name: str, inside: bytes) -> Vector:
        binding = labels.REQUEST + keys.request + alice.hash
        sealed = keys.commitment + AESGCM(keys.key).encrypt(bytes(12), inside, binding)
        return bad(name, RemoteProtocolError, sealed)

    def of_keys(name: str, **changes: Any) -> Vector:
        """Return a vector whose URL and description name a bundle that is not usable."""
        payload = pack(replaced(alice.body, **changes))
        named = payload_hash(labels.HASH_BUNDLE, payload)
        sealed = seal_request(keys, named, replaced(body, bundle=payload))
        return {**bad(name, RemoteProtocolError, sealed), "bundle": named.hex()}

    sealed, packed = seal_request(keys, alice.hash, body), pack(body)
    bob = person("bob").bundle
    other = RequestSecret(bytes(32)).keys()
    of_bob = replaced(body, bundle=bob.signed.payload)
    return [
        good("request", OPEN, None, body),
        good(
            "request_without_limits", OPEN, None,
            replaced(body, note="", expires_ms=None, max_files=None, max_bytes=None),
        ),
        good("request_with_a_password", GUARDED, PASSWORD, body),
        good("request_with_a_decomposed_password", GUARDED, "Zebra-U\u0308 7", body),
        bad("description_changed", IntegrityError, _flipped(sealed, 60)),
        bad("description_commitment_changed", IntegrityError, _flipped(sealed, 0)),
        bad("description_cut", IntegrityError, sealed[:-1]),
        bad("description_empty", IntegrityError, b""),
        bad(
            "description_of_another_request", IntegrityError, seal_request(other, alice.hash, body)
        ),
        bad(
            "description_of_another_request_under_this_commitment",
            IntegrityError,
            keys.commitment + seal_request(other, alice.hash, body)[32:],
        ),
        bad(
            "description_for_another_bundle", IntegrityError, seal_request(keys, bob.hash, of_bob)
        ),
        bad(
            "description_with_another_bundle",
            IntegrityError,
            seal_request(keys, alice.hash, of_bob),
        ),
        *(
            filled(f"description_{what}", inside)
            for what, inside in wrong_paddings(packed).items()
        ),
        filled("description_bytes_behind_end", padded(packed + b"\0")),
        filled("description_not_shortest", padded(b"\xdc\0\6" + packed[1:])),
        said("description_of_format_2", format=2),
        said("description_note_too_long", note="x" * 1001),
        said("description_of_no_files", max_files=0),
        said("description_of_no_bytes", max_bytes=0),
        said("description_time_below_zero", expires_ms=-1),
        of_keys("bundle_of_format_2", format=2),
        of_keys("bundle_of_version_0", version=0),
        of_keys("bundle_kem_key_short", kem=alice.body.kem[:-1]),
        of_keys("bundle_rsa_key_cut", rsa=alice.body.rsa[:-1]),
        of_keys("bundle_of_no_user", user=""),
        of_keys("bundle_of_an_invalid_user", user="../alice"),
    ]  # fmt: skip


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def _records() -> list[Vector]:
    new, old = (NodeKey(stretch(f"root key {number}", 32)) for number in (2, 1))
    root = KeyedNode(NodeId(stretch("root node", 16)), 2, new, (old,))
    request, bundle = OPEN.request, person("alice").bundle.hash
    body = RequestRecord(1, "inbox/scans", "Your scans, please.", OPEN.keys().mark)
    record = seal_record(root, request, bundle, body, Seeded("request record"))

    def vector(name: str, error: type[FsError] | None = None, **changes: Any) -> Vector:
        values = {
            "generation": 2, "request": request, "bundle": bundle, "record": record, **changes,
        }  # fmt: skip
        shown = {name: to_json(value) for name, value in values.items()}
        fields = {} if error else {"fields": to_json(body)}
        return {
            "name": name, "root": root.node.hex(), "keys": [new.hex(), old.hex()], **shown,
            **fields, "error": error.code if error else None,
        }  # fmt: skip

    def sealed(body: RequestRecord) -> bytes:
        return seal_record(root, request, bundle, body, Seeded("faulty request record"))

    def filled(inside: bytes) -> bytes:
        key = crypto.hkdf_expand(new, labels.NODE_REQUEST_KEY)
        binding = labels.REQUEST_RECORD + request + bundle
        return bytes(12) + AESGCM(key).encrypt(bytes(12), inside, binding)

    before = seal_record(root.at(1), request, bundle, body, Seeded("older request record"))
    no_mark = sealed(replaced(body, mark=b""))
    return [
        vector("record"),
        vector("record_under_a_former_key", generation=1, record=before),
        vector("record_of_another_generation", IntegrityError, generation=1),
        vector("record_of_no_generation", IntegrityError, generation=3),
        vector("record_of_another_request", IntegrityError, request=RequestId(bytes(16))),
        vector("record_of_another_bundle", IntegrityError, bundle=Hash(bytes(32))),
        vector("record_changed", IntegrityError, record=_flipped(record, 20)),
        vector("record_empty", IntegrityError, record=b""),
        *(
            vector(f"record_{what}", IntegrityError, record=filled(inside))
            for what, inside in wrong_paddings(pack(body)).items()
        ),
        vector("record_without_mark", RemoteProtocolError, record=no_mark),
        vector(
            "record_of_format_2", RemoteProtocolError, record=sealed(replaced(body, format=2))
        ),
    ]  # fmt: skip


def _urls() -> list[Vector]:
    bundle = person("alice").bundle.hash
    url = RequestUrl("https://files.example.org", OPEN, bundle)
    text = str(url)
    start, digits = text.split("#")

    def good(name: str, text: str, base: str = url.base) -> Vector:
        return {
            "name": name, "text": text, "base": base, "secret": OPEN.secret.hex(),
            "bundle": bundle.hex(), "error": None,
        }  # fmt: skip

    def bad(name: str, text: str) -> Vector:
        return {
            "name": name, "text": text, "base": None, "secret": None, "bundle": None,
            "error": UsageError.code,
        }  # fmt: skip

    wrapped = start.replace(":", "%3A").replace("/", "%2F") + "%23" + digits
    after = {"A": "B", "Q": "R", "g": "h", "w": "x"}[digits[-1]]
    return [
        good("url", text),
        good("url_with_a_port_and_a_path", f"http://[::1]:8080/files/r#{digits}",
             "http://[::1]:8080/files"),
        good("url_in_angle_brackets", f"<{text}>"),
        good("url_in_quotes", f'"{text}"'),
        good("url_with_blanks_and_line_ends", f"  {text[:30]}\r\n {text[30:70]}\n{text[70:]}\n"),
        good("url_percent_encoded", wrapped),
        good("url_percent_encoded_twice", wrapped.replace("%", "%25")),
        good("url_with_an_encoded_number_sign", text.replace("#", "%23")),
        good("url_inside_the_url_of_a_mail_filter",
             f"https://filter.example.com/?url={wrapped}&data=05%7C01"),
        good("url_with_a_parameter_before_the_fragment", f"{start}?utm_source=mail#{digits}"),
        good("url_with_a_parameter_after_the_fragment", f"{text}?fbclid=123"),
        good("url_with_a_full_stop", f"{text}."),
        good("url_with_a_slash_before_the_fragment", f"{start}/#{digits}"),
        bad("url_empty", ""),
        bad("url_of_another_scheme", text.replace("https", "ftp")),
        bad("url_without_fragment", start),
        bad("url_with_an_empty_fragment", f"{start}#"),
        bad("url_cut", text[:-1]),
        bad("url_cut_after_the_secret", f"{start}#{digits[:43]}"),
        bad("url_with_a_character_more", text + "A"),
        bad("url_with_padding_bits", text[:-1] + after),
        bad("url_of_something_else", f"https://files.example.org/x#{digits}"),
        bad("url_of_a_public_link", f"https://files.example.org/l#{digits[:43]}"),
        bad("url_without_host", f"https:///r#{digits}"),
        bad("url_with_a_user", f"https://a:b@files.example.org/r#{digits}"),
        bad("url_of_an_impossible_port", f"https://files.example.org:99999/r#{digits}"),
    ]  # fmt: skip


def _drops(kept: Kept) -> list[Vector]:
    alice, mark = person("alice"), OPEN.keys().mark
    keys = RequestDropKeys.of(OPEN.request, SECRET, mark)
    blob = StreamSealer(keys.file_key, content_ad(ID), SALT).seal(0, PLAIN, last=True)
    content = DropContent(SALT, blob_root(SALT, blob), len(blob))
    arrived = RequestedDrop(OPEN.request, TIME_MS)

    def note_of(body: RequestNote, keys: RequestDropKeys, seed: str) -> bytes:
        made = NewDrop(OPEN.request, ID, SALT, keys, SECRET, b"")
        return made.seal_note(content, body, Seeded(seed))

    sealed = note_of(NOTE, keys, "requested drop note")

    def wrapped_for(request: RequestId, vector: str) -> bytes:
        """Return the kept sealed secret of a vector, or a new one."""
        note = sealed
        if request != OPEN.request:
            other = RequestDropKeys.of(request, SECRET, mark)
            made = NewDrop(request, ID, SALT, other, SECRET, b"")
            note = made.seal_note(content, NOTE, Seeded("requested drop note"))

        def opens(wrapped: bytes) -> bool:
            drop = Drop(ID, alice.bundle.hash, wrapped, note, content, arrived)
            return bool(open_request_drop(drop, request, mark, alice))

        info = labels.REQUEST_DROP_WRAP + request + ID + b"alice"
        return kept.get("requestdrop", vector, "wrapped", good=opens) or seal_to(
            alice.bundle, info, SECRET, Seeded(vector)
        )

    wrapped = wrapped_for(OPEN.request, "drop")
    drop = Drop(ID, alice.bundle.hash, wrapped, sealed, content, arrived)

    def vector(name: str, made: Drop, error: type[FsError] | None, **fields: object) -> Vector:
        return {
            "name": name,
            "to": "alice",
            "request": OPEN.request.hex(),
            "mark": mark.hex(),
            "drop": made.drop.hex(),
            "bundle": made.bundle.hex(),
            "wrapped": made.wrapped.hex(),
            "note": made.note.hex(),
            "content": to_json(made.content),
            **fields,
            "error": error.code if error else None,
        }

    def refused(name: str, error: type[FsError] = IntegrityError, **changes: object) -> Vector:
        return vector(name, replaced(drop, **changes), error)

    def noted(vector: str, error: type[FsError], **changes: object) -> Vector:
        return refused(vector, error, note=note_of(replaced(NOTE, **changes), keys, vector))

    def filled(name: str, inside: bytes, error: type[FsError]) -> Vector:
        binding = labels.REQUEST_DROP_NOTE + OPEN.request + ID + SALT + content.root
        binding += struct.pack(">Q", content.sealed_size)
        note = bytes(12) + AESGCM(keys.note_key).encrypt(bytes(12), inside, binding)
        return refused(name, error, note=note)

    packed = pack(NOTE)
    other = RequestId(bytes(16))
    return [
        vector(
            "drop",
            drop,
            None,
            secret=SECRET.hex(),
            file_key=keys.file_key.hex(),
            note_key=keys.note_key.hex(),
            fields=to_json(NOTE),
            blob=blob.hex(),
            plaintext=PLAIN.hex(),
        ),
        refused("drop_other_id", drop=DropId(bytes(16))),
        {**refused("drop_of_another_request"), "request": other.hex()},
        {**refused("drop_with_another_mark"), "mark": bytes(32).hex()},
        refused(
            "drop_sealed_for_another_request",
            wrapped=wrapped_for(other, "drop_sealed_for_another_request"),
        ),
        refused("drop_to_another_person", bundle=person("bob").bundle.hash),
        refused("drop_rsa_part_changed", wrapped=_flipped(wrapped, 100)),
        refused("drop_kem_part_changed", wrapped=_flipped(wrapped, 500)),
        refused("drop_secret_changed", wrapped=_flipped(wrapped, 384 + 1088)),
        refused("drop_wrapped_cut", wrapped=wrapped[:-1]),
        refused("drop_note_changed", note=_flipped(sealed, 20)),
        refused("drop_note_cut", note=sealed[:-1]),
        refused("drop_no_note", note=b""),
        refused("drop_other_salt", content=replaced(content, salt=Salt(bytes(32)))),
        refused("drop_other_root", content=replaced(content, root=Root(bytes(32)))),
        refused("drop_other_size", content=replaced(content, sealed_size=len(blob) + 1)),
        refused("drop_no_size", RemoteProtocolError, content=replaced(content, sealed_size=0)),
        noted("note_of_another_size", IntegrityError, size=len(PLAIN) + 1),
        noted("note_of_a_size_below_zero", RemoteProtocolError, size=-1),
        noted("note_of_format_2", RemoteProtocolError, format=2),
        noted("note_sender_too_long", RemoteProtocolError, sender="x" * 256),
        *(
            noted(f"name_{what}", RemoteProtocolError, name=name)
            for what, name in (
                ("empty", ""),
                ("dot_dot", "../up"),
                ("absolute", "/etc/passwd"),
                ("ends_in_slash", "a/"),
                ("empty_part", "a//b"),
                ("control_character", "a\x1b[2J"),
                ("not_nfc", "u\u0308"),
                ("33_parts", "/".join(["x"] * 33)),
                ("too_long", "/".join(["x" * 200] * 6)),
            )
        ),
        *(
            filled(f"note_{what}", inside, IntegrityError)
            for what, inside in wrong_paddings(packed).items()
        ),
        filled("note_bytes_behind_end", padded(packed + b"\0"), RemoteProtocolError),
    ]


def _uploads() -> list[Vector]:
    start = StartUpload(ID, SALT, 1 << 33)
    state = UploadState(stretch("request ticket", 40), 3, finished=False)
    end = FinishUpload(Root(stretch("root", 32)), stretch("wrapped", 40), stretch("note", 50))

    def good(name: str, record: Record) -> Vector:
        kind = type(record).__name__
        return {
            "name": name, "kind": kind, "payload": pack(record).hex(),
            "fields": to_json(record), "error": None,
        }  # fmt: skip

    return [good("start", start), good("state", state), good("finish", end)]
