"""Vectors of keys: shared RSA keys, key tree, grants, bundles, keyfiles, enrolment links."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from fsproto import crypto, labels
from fsproto.errors import (
    FsError,
    IntegrityError,
    RemoteProtocolError,
    SignatureError,
    UsageError,
    WrongPassphraseError,
)
from fsproto.errors import InvalidNameError as BadName
from fsproto.keys.grants import FORMAT, Role, RootGrant, unwrap, wrap
from fsproto.keys.identity import Identity
from fsproto.keys.key_file import MAGIC, seal_identity
from fsproto.keys.tree import KeyedNode
from fsproto.link import parse_link
from fsproto.signed import Signed, sign
from tests.support.fixed_keys import TIME_MS, Seeded, aged_node, keyed_node, person, rsa_key
from tests.vectors import Vector
from tests.vectors.fields import to_json
from tests.vectors.makers import Files, Kept
from tests.vectors.makers.content import replaced

RSA_KEYS = ("host", "other-host", "alice", "bob")
PASSPHRASE = "correct horse bättery staple"


def make_rsa_keys(kept: Kept) -> list[Vector]:
    """Return the RSA keys, which the other makers use."""

    def good(der: bytes) -> bool:
        return bool(crypto.RsaKey(der).public)

    keys = {
        name: crypto.RsaKey(
            kept.get("keys", name, "pkcs8", good=good) or crypto.RsaKey.generate().der
        )
        for name in RSA_KEYS
    }
    return [
        {"name": name, "pkcs8": key.der.hex(), "spki": key.public.hex(), "error": None}
        for name, key in keys.items()
    ]


def make(kept: Kept) -> Files:
    """Return all files of keys except the RSA keys."""
    return {
        "node": _nodes(),
        "link": _links(),
        "grant": _grants(kept),
        "bundle": _bundles(),
        "keyfile": _keyfiles(),
        "enroll": _enroll_links(),
    }


# --- the key tree


def _nodes() -> list[Vector]:
    folder = keyed_node("folder")
    aged = [aged_node("folder", 4, names_since=since) for since in (1, 2, 4)]
    return [
        {
            "name": f"tokens_since_{node.names_since}",
            "node_key": node.key.hex(),
            "former": [key.hex() for key in node.former],
            "generation": node.generation,
            "names_since": node.names_since,
            "file_name": "q3.pdf",
            "tokens": [token.hex() for token in node.tokens("q3.pdf")],
            "error": None,
        }
        for node in aged
    ] + [
        {
            "name": name,
            "node_key": folder.key.hex(),
            "metadata_key": folder.metadata_key.hex(),
            "file_name": typed,
            "token": folder.token(typed).hex(),
            "error": None,
        }
        for name, typed in (
            ("token_ascii", "q3.pdf"),
            ("token_composed", "\u00fcbersicht"),
            ("token_decomposed", "u\u0308bersicht"),
            ("token_upper_case_differs", "Q3.pdf"),
        )
    ]


def _links() -> list[Vector]:
    parent, child = keyed_node("folder", 2), aged_node("file", 5)
    later, first = aged_node("folder", 4), child
    false = replace(child, former=(child.former[0], child.key, *child.former[2:]))

    def vector(
        name: str,
        link: bytes,
        error: type[FsError] | None,
        parent: KeyedNode = parent,
        child: KeyedNode = child,
        under: int | None = None,
        committed: KeyedNode | None = None,
    ) -> Vector:
        return {
            "name": name,
            "parent": parent.node.hex(),
            "parent_generation": parent.generation,
            "parent_key": parent.key.hex(),
            "parent_former": [key.hex() for key in parent.former],
            "link_generation": under or parent.generation,
            "child": child.node.hex(),
            "child_generation": child.generation,
            "child_key": None if error else child.key.hex(),
            "former": former.hex(),
            "key_commitment": (committed or first).key_commitment.hex(),
            "former_commitment": (committed or first).former_commitment.hex(),
            "link": link.hex(),
            "error": error.code if error else None,
        }

    link, former = parent.seal_link(child, Seeded("link")), child.seal_former(Seeded("former"))
    before = later.at(2).seal_link(child, Seeded("link of before"))
    return [
        vector("link", link, None),
        vector("link_under_a_former_key", before, None, parent=later, under=2),
        vector("link_under_another_former_key", before, IntegrityError, parent=later, under=3),
        vector("link_under_a_key_never_had", before, IntegrityError, parent=later, under=5),
        vector(
            "link_other_parent",
            link,
            IntegrityError,
            parent=replace(parent, node=keyed_node("root").node),
        ),
        vector(
            "link_other_parent_key",
            link,
            IntegrityError,
            parent=replace(parent, key=child.key),
        ),
        vector(
            "link_other_parent_generation",
            link,
            IntegrityError,
            parent=replace(parent, generation=3),
        ),
        vector(
            "link_other_child",
            link,
            IntegrityError,
            child=replace(child, node=keyed_node("root").node),
        ),
        vector(
            "link_other_child_generation",
            link,
            IntegrityError,
            child=replace(child, generation=4),
        ),
        vector(
            "link_to_another_key_than_committed_to",
            link,
            IntegrityError,
            committed=replace(child, key=parent.key),
        ),
        vector("link_other_former_keys_than_committed_to", link, IntegrityError, committed=false),
        vector("link_byte_changed", link[:-1] + bytes([link[-1] ^ 1]), IntegrityError),
        vector("link_nonce_changed", bytes([link[0] ^ 1]) + link[1:], IntegrityError),
        vector("link_cut", link[:-1], IntegrityError),
        vector("link_no_bytes", b"", IntegrityError),
    ]


# --- grants


def _grants(kept: Kept) -> list[Vector]:
    alice, bob = person("alice"), person("bob")
    root = keyed_node("root")

    def opens(sealed: bytes) -> bool:
        return unwrap(sealed, root.node, root.generation, Role.OWNER, alice).key == root.key

    sealed = kept.get("grant", "grant", "sealed", good=opens) or wrap(
        root, alice.bundle, Role.OWNER, Seeded("grant")
    )
    body = RootGrant(FORMAT, root.node, 1, "alice", alice.signing.public, sealed, TIME_MS)
    signed = sign(alice.signing, labels.SIGN_ROOT_GRANT, body)

    def vector(name: str, signed: Signed, error: type[FsError] | None, **fields: object) -> Vector:
        return {
            "name": name,
            "to": "alice",
            "payload": signed.payload.hex(),
            "signature": signed.signature.hex(),
            **fields,
            "error": error.code if error else None,
        }

    def refused(name: str, error: type[FsError], **changes: object) -> Vector:
        changed = replaced(body, **changes)
        return vector(name, sign(alice.signing, labels.SIGN_ROOT_GRANT, changed), error)

    def sealed_changed(name: str, at: int) -> Vector:
        changed = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        return refused(name, IntegrityError, sealed=changed)

    by_bob = sign(bob.signing, labels.SIGN_ROOT_GRANT, body)
    as_bundle = sign(alice.signing, labels.SIGN_BUNDLE, body)
    good = vector(
        "grant", signed, None, sealed=sealed.hex(), fields=to_json(body), node_key=root.key.hex()
    )
    return [
        good,
        vector("grant_signed_by_another", by_bob, SignatureError),
        vector("grant_signed_as_bundle", as_bundle, SignatureError),
        refused("grant_names_another_person", SignatureError, user="bob"),
        refused("grant_format_2", RemoteProtocolError, format=2),
        refused("grant_node_short", RemoteProtocolError, node=root.node[:-1]),
        refused("grant_generation_negative", RemoteProtocolError, generation=-1),
        refused("grant_generation_2_to_32", RemoteProtocolError, generation=1 << 32),
        refused("grant_other_node", IntegrityError, node=keyed_node("folder").node),
        refused("grant_other_generation", IntegrityError, generation=2),
        sealed_changed("grant_rsa_part_changed", 100),
        sealed_changed("grant_kem_part_changed", 500),
        sealed_changed("grant_key_part_changed", 384 + 1088),
        refused("grant_cut", IntegrityError, sealed=sealed[:-1]),
        refused("grant_no_bytes", IntegrityError, sealed=b""),
    ]


# --- bundles


def _bundles() -> list[Vector]:
    alice, bob = person("alice"), person("bob")
    body = alice.bundle.body

    def vector(
        name: str,
        signed: Signed,
        error: type[FsError] | None,
        user: str = "alice",
        **fields: object,
    ) -> Vector:
        return {
            "name": name,
            "user": user,
            "payload": signed.payload.hex(),
            "signature": signed.signature.hex(),
            **fields,
            "error": error.code if error else None,
        }

    def refused(name: str, error: type[FsError], **changes: object) -> Vector:
        changed = replaced(body, **changes)
        return vector(name, sign(alice.signing, labels.SIGN_BUNDLE, changed), error)

    def good(name: str, whose: Identity) -> Vector:
        return vector(
            name,
            whose.bundle.signed,
            None,
            whose.user,
            private={
                "ed25519": whose.signing.seed.hex(),
                "rsa": whose.user,
                "kem": whose.kem.seed.hex(),
            },
            fields=to_json(whose.bundle.body),
            hash=whose.bundle.hash.hex(),
            fingerprint=whose.bundle.fingerprint,
        )

    return [
        good("bundle", alice),
        good("bundle_of_bob", bob),
        vector("bundle_other_person", bob.bundle.signed, SignatureError),
        vector(
            "bundle_signed_by_another", sign(bob.signing, labels.SIGN_BUNDLE, body), SignatureError
        ),
        vector(
            "bundle_signed_as_login", sign(alice.signing, labels.SIGN_LOGIN, body), SignatureError
        ),
        refused("bundle_key_of_another", SignatureError, ed25519=bob.signing.public),
        refused("bundle_key_short", SignatureError, ed25519=body.ed25519[:-1]),
        refused("bundle_kem_key_short", RemoteProtocolError, kem=body.kem[:-1]),
        refused("bundle_format_2", RemoteProtocolError, format=2),
        refused("bundle_version_0", RemoteProtocolError, version=0),
        vector("bundle_empty", Signed(b"", bytes(64)), RemoteProtocolError),
    ]


# --- keyfiles


def _keyfiles() -> list[Vector]:
    alice = person("alice")
    plain = seal_identity(alice, None, Seeded("keyfile"))
    sealed = seal_identity(alice, PASSPHRASE, Seeded("keyfile"))

    def vector(
        name: str, data: bytes, passphrase: str | None, error: type[FsError] | None
    ) -> Vector:
        return {
            "name": name,
            "passphrase": passphrase,
            "keyfile": data.hex(),
            "user": None if error else "alice",
            "error": error.code if error else None,
        }

    def costs(name: str, place: int, cost: int) -> Vector:
        kdf, nonce, body = msgspec.msgpack.decode(sealed[len(MAGIC) :])
        kdf[place] = cost
        changed = MAGIC + msgspec.msgpack.encode((kdf, nonce, body))
        return vector(name, changed, PASSPHRASE, IntegrityError)

    keys = msgspec.msgpack.decode(plain[len(MAGIC) :])[2]
    of_bob = keys.replace(alice.signing.seed, person("bob").signing.seed)
    check = crypto.sha256(labels.KEYFILE, of_bob)
    mixed = MAGIC + msgspec.msgpack.encode((None, check, of_bob))
    at = plain.index(alice.rsa.der) + 1000  # in a number that private-key operations use
    unchecked = MAGIC + msgspec.msgpack.encode((None, bytes(32), keys))
    damaged = plain[:at] + bytes([plain[at] ^ 1]) + plain[at + 1 :]
    return [
        vector("keyfile_plain", plain, None, None),
        vector("keyfile_sealed", sealed, PASSPHRASE, None),
        vector("keyfile_wrong_passphrase", sealed, "correct horse", WrongPassphraseError),
        vector("keyfile_no_passphrase", sealed, None, WrongPassphraseError),
        vector(
            "keyfile_byte_changed",
            sealed[:-1] + bytes([sealed[-1] ^ 1]),
            PASSPHRASE,
            WrongPassphraseError,
        ),
        costs("keyfile_no_passes", 1, 0),
        costs("keyfile_too_many_passes", 1, 17),
        costs("keyfile_too_many_lanes", 2, 17),
        costs("keyfile_too_much_memory", 3, (1 << 20) + 1),
        vector("keyfile_other_magic", b"FSKEY2\n" + plain[7:], None, IntegrityError),
        vector("keyfile_cut", plain[:-1], None, IntegrityError),
        vector("keyfile_bytes_behind_end", plain + b"\n", None, IntegrityError),
        vector("keyfile_empty", b"", None, IntegrityError),
        vector("keyfile_plain_byte_changed", damaged, None, IntegrityError),
        vector("keyfile_plain_check_changed", unchecked, None, IntegrityError),
        vector("keyfile_signing_key_not_of_bundle", mixed, None, IntegrityError),
    ]


# --- enrolment links


def _enroll_links() -> list[Vector]:
    key = crypto.fingerprint(rsa_key("host").public)
    encoded = key.replace("/", "%2F").replace("+", "%2B")
    good = {
        "enroll_host_and_port": f"fs://alice@files.example.org:2222/?host-key={key}",
        "enroll_default_port": f"fs://alice@files.example.org/?host-key={key}",
        "enroll_ipv4": f"fs://alice@192.0.2.7:65432/?host-key={key}",
        "enroll_ipv6": f"fs://a.b-c_1@[2001:db8::1]:2222/?host-key={key}",
        "enroll_percent_encoded": f"fs://alice@host:1/?host-key={encoded}",
    }
    bad = {
        "enroll_no_host_key": ("fs://alice@host/", UsageError),
        "enroll_host_key_short": (f"fs://alice@host/?host-key={key[:-1]}", UsageError),
        "enroll_host_key_long": (f"fs://alice@host/?host-key={key}A", UsageError),
        "enroll_other_scheme": (f"http://alice@host/?host-key={key}", UsageError),
        "enroll_no_user": (f"fs://@host/?host-key={key}", UsageError),
        "enroll_user_upper_case": (f"fs://Alice@host/?host-key={key}", BadName),
        "enroll_port_too_large": (f"fs://alice@host:65536/?host-key={key}", UsageError),
        "enroll_two_keys": (f"fs://alice@host/?host-key={key}&host-key={key}", UsageError),
    }
    vectors: list[Vector] = []
    for name, text in good.items():
        link = parse_link(text)
        vectors.append(
            {
                "name": name,
                "link": text,
                "user": link.user,
                "host": link.address.host,
                "port": link.address.port,
                "host_key": link.host_key,
                "error": None,
            }
        )
    return vectors + [
        {"name": name, "link": text, "error": error.code} for name, (text, error) in bad.items()
    ]
