"""Labels separate the inputs of hashes, signatures and derived keys."""

from __future__ import annotations

from itertools import combinations, permutations

from fsproto import labels

LABELS: dict[str, bytes] = {name: value for name, value in vars(labels).items() if name.isupper()}

KINDS = {
    "signed": {name for name in LABELS if name.startswith("SIGN_")},
    "hashed": {name for name in LABELS if name.startswith("HASH_")}
    | {"LINEAGE", "TRANSCRIPT", "FORMER_COMMITMENT"},
    "keys of a channel": {
        "CHANNEL_CLIENT_KEY",
        "CHANNEL_SERVER_KEY",
        "CHANNEL_CLIENT_CONFIRM",
        "CHANNEL_SERVER_CONFIRM",
        "CHANNEL_ID",
        "CHANNEL_RATCHET",
    },
    "keys of a node": {
        "NODE_KEY_COMMITMENT",
        "NODE_LINK_KEY",
        "NODE_NAME_KEY",
        "NODE_METADATA_KEY",
        "NODE_FORMER_KEY",
        "NODE_PUBLIC_LINK_KEY",
        "NODE_REQUEST_KEY",
    },
    "derived from secrets": {
        "CHANNEL_SECRET",
        "WRAP",
        "DROP_WRAP",
        "REQUEST_DROP_WRAP",
        "REQUEST_DROP_KEYS",
    },
    "keys of a drop": {"DROP_FILE_KEY", "DROP_NOTE_KEY"},
    "derived from the secret of a public link": {
        "PUBLIC_LINK_ID",
        "PUBLIC_LINK_ACCESS",
        "PUBLIC_LINK_SALT",
        "PUBLIC_LINK_PASSWORD",
        "PUBLIC_LINK_PROOF",
        "PUBLIC_LINK_KEY",
    },
    "derived from the secret of a request link": {
        "REQUEST_ID",
        "REQUEST_ACCESS",
        "REQUEST_SALT",
        "REQUEST_PASSWORD",
        "REQUEST_PROOF",
        "REQUEST_KEY",
        "REQUEST_MARK",
    },
    "derived from a file key": {
        "CONTENT",
        "CONTENT_COMMITMENT",
        "CONTENT_HEADER",
        "DROP_CONTENT",
        "BACKUP",
    },
    "derived from a recovery phrase": {"RECOVERY_SIGNING", "RECOVERY_KEY"},
    "associated data": {
        "LINK",
        "FORMER",
        "METADATA",
        "DROP_NOTE",
        "KEYFILE",
        "EXPORT",
        "NODE_EXPORT",
        "SERVER_KEY",
        "SERVER_OTP_SECRET",
        "PUBLIC_LINK",
        "PUBLIC_LINK_RECORD",
        "REQUEST",
        "REQUEST_RECORD",
        "REQUEST_DROP_NOTE",
    },
    "derived from the mark of a request link": {"REQUEST_JOURNAL"},
    "derived from an identity": {"JOURNAL", "SYNC_STATE", "LISTING"},
    "derived from a public bundle": {"SAFETY_NUMBER"},
    "names of a client's own files": {"UNFINISHED", "SYNC_PAIR"},
    "the server's own": {
        "SERVER_AUDIT_ENTRY",
        "SERVER_AUDIT_HEAD",
        "SERVER_AUDIT_ARCHIVE",
        "SERVER_RECOVERY_CODE",
        "SERVER_LINK_TICKETS",
        "SERVER_REQUEST_TICKETS",
    },
}
"""Labels by kind of input; within a kind, labels must not be confused."""


def test_every_label_belongs_to_one_kind():
    for one, other in combinations(KINDS.values(), 2):
        assert not one & other
    assert set().union(*KINDS.values()) == set(LABELS)


def test_no_label_is_used_for_two_things():
    assert len(set(LABELS.values())) == len(LABELS)


def test_no_label_is_the_start_of_another_of_its_kind():
    clashes = [
        (kind, one, other)
        for kind in KINDS
        for one, other in permutations(sorted(KINDS[kind]), 2)
        if LABELS[one].startswith(LABELS[other])
    ]
    assert clashes == []


def test_a_label_names_the_protocol_and_is_readable():
    for name, label in LABELS.items():
        assert label.startswith(b"fs/2 "), name
        assert label.decode("ascii", "replace").isprintable(), name
        assert label.isascii(), name
