"""The fields of every `--json` result of fsadmin; docs/json.md is generated from them.

A name with dots is a field of a field; `[]` is each element of a list, `*` any name.
"""

from __future__ import annotations

Fields = dict[str, str]

_ENROLMENT: Fields = {
    "user": "the account",
    "secret": "the secret of the one-time passwords, Base32",
    "otpauth_uri": "the same for authenticator apps",
    "enroll_link": "the link for `fsclient enroll`",
}
_ACCOUNT: Fields = {
    "user": "the account",
    "enrolled": "whether the user has registered keys",
    "disabled": "whether logins are refused",
    "expires_ms": "when the account expires; null: never",
    "expired": "whether it has expired",
    "note": "the note for administrators",
    "created_ms": "when it was added",
    "digits": "digits of a one-time password",
    "period": "seconds for which it is valid",
    "algorithm": "its hash",
    "fingerprint": "the fingerprint of the public keys, or null",
    "clock_ms": "how far the user's clock is ahead of the server's, in milliseconds",
    "refused_code_off_s": "if a code was refused since the last login that is valid at another "
    "time: how many seconds from then (negative: in the past); else null",
    "refused_code_ms": "when that code was refused; null: none was",
    "locked_ms": "since when the account is locked; null: it is not",
    "refused_over_ssh": "codes in a row that were refused over SSH",
    "held_until_ms": "until when some attempts are delayed; 0: none are",
    "new_secret_ms": "since when a new secret waits for its first use; null: there is none",
    "recovery_codes": "number of unused recovery codes",
    "sessions": "number of active sessions",
    "devices": "the names of the devices of these sessions, as the user's client gave them",
    "files": "number of existing files",
    "folders": "number of existing folders",
    "stored_bytes": "all stored bytes, with older versions and removed files",
    "used_bytes": "sealed sizes of the existing files, which count towards the quota",
    "quota_bytes": "the quota; null: no limit",
    "quota_files": "the quota; null: no limit",
    "handed_over_to": "the user in whose quota a closed account counts; else null",
    "holds": "the closed accounts that count in the quota of this one",
}
_GROUP: Fields = {
    "group": "its name",
    "note": "its note",
    "created_ms": "when it was made",
    "members": "the people in it",
    "members[].user": "the person",
    "members[].enrolled": "whether the person has registered keys",
    "members[].disabled": "whether the account is disabled",
    "members[].expired": "whether the account has expired",
}
_DROP_KEY: Fields = {
    "user": "the account",
    "fingerprint": "the fingerprint of the SSH key",
    "kind": "the kind of the key",
    "note": "its note",
    "added_ms": "when it was added",
}
_BACKUP: Fields = {
    "made_ms": "when the backup was made",
    "version": "the version of fsd that made it",
    "revision": "the schema of its database",
    "host_key": "the fingerprint of the host key in it",
    "people": "number of accounts",
    "files": "number of existing files",
    "blobs": "number of contents that are larger than 64 KiB, with older versions",
    "blob_bytes": "their bytes",
    "missing": "names of blobs that were missing",
    "damaged": "names of blobs that were damaged",
}
_ARCHIVE: Fields = {
    "file": "the new file",
    "first": "number of its first entry",
    "last": "number of its last entry",
    "entries": "how many it has",
}
_SCHEMA: Fields = {"current": "the schema now", "head": "the schema that this version needs"}


def _each(fields: Fields) -> Fields:
    return {f"[].{name}": text for name, text in fields.items()}


RESULTS: dict[str, Fields] = {
    "add-user": _ENROLMENT,
    "rotate-secret": _ENROLMENT,
    "add-users": {
        "added": "the new accounts",
        **{f"added[].{name}": text for name, text in _ENROLMENT.items()},
        "sheets": "the folder with the sheets, or null",
    },
    "link": {"[].user": "the account", "[].enroll_link": "its link"},
    "list-users": _each(_ACCOUNT),
    "show-user": {
        **_ACCOUNT,
        "limits": "by name: `nodes`, `record_bytes`, `kept_bytes`, `sessions`, `connections`, "
        "`requests`, `rotations_a_day`, `shares_with_one`",
        "limits.*": "one limit",
        "limits.*.used": "what is used; null: not counted",
        "limits.*.most": "the limit; null: none",
    },
    "change-user": _ACCOUNT,
    "disable-user": _ACCOUNT,
    "enable-user": _ACCOUNT,
    "reset-keys": _ACCOUNT,
    "remove-user": {
        "user": "the account",
        "removed": "false: it was closed and handed over",
        "handed_over_to": "to this user, or null",
        "files": "number of its files",
        "folders": "number of its folders",
        "stored_bytes": "its stored bytes",
        "shared": "how many of its files and folders were shared",
        "shared_with": "with how many people",
    },
    "recovery-codes": {"user": "the account", "recovery_codes": "the new codes"},
    "unlock-user": {"user": "the account", "unlocked": "true"},
    "sessions": {
        "[].session": "number of the session",
        "[].user": "the account",
        "[].began_ms": "when it started",
        "[].used_ms": "when it was last used",
        "[].expires_ms": "when it ends",
        "[].address": "the address of the login",
        "[].door": "the listener: `native` or `ssh`",
        "[].device": "the name of the device; empty: none was given",
    },
    "revoke": {"ended": "number of sessions that were ended"},
    "add-group": _GROUP,
    "show-group": _GROUP,
    "add-member": _GROUP,
    "remove-member": _GROUP,
    "list-groups": _each(_GROUP),
    "remove-group": {"group": "its name", "removed": "true"},
    "add-drop-key": _DROP_KEY,
    "list-drop-keys": _each(_DROP_KEY),
    "remove-drop-key": _DROP_KEY | {"removed": "true"},
    "host-key": {
        "host_key": "the fingerprint that clients pin",
        "ssh": "the fingerprints of the SSH listener's keys by kind; empty if it was never open",
        "ssh.*": "the fingerprint",
    },
    "rotate-host-key": {
        "before": "the former fingerprint",
        "host_key": "the new fingerprint",
    },
    "rotate-master-key": {"secrets": "number of secrets that were sealed again"},
    "backup": _BACKUP
    | {
        "file": "the backup",
        "size": "its bytes",
        "deleted": "the older backups that `--keep` deleted",
    },
    "restore": _BACKUP
    | {
        "home": "the new data directory; not with `--test`",
        "rows": "number of database rows; not with `--test`",
        "store": "where its blobs are: `local`, or the bucket; not with `--test`",
    },
    "migrate-blobs": {
        "store": "the store that has all blobs now",
        "fallback": "the store that they were copied from",
        "blobs": "number of blobs that are in the store now",
        "copied": "number of blobs that this run copied",
        "copied_bytes": "their bytes",
        "missing": "blobs that are in neither store",
        "damaged": "blobs that are damaged, which were not copied",
    },
    "migrate-database": {
        "database": "the new database, without its password",
        "rows": "number of rows that were copied",
        "tables": "the tables, by name",
        "tables.*.rows": "number of rows",
        "tables.*.sum": "the sum of the SHA-256 hashes of its rows, in hex",
    },
    "check": {
        "blobs": "number of blobs (contents larger than 64 KiB)",
        "bytes": "their bytes",
        "nodes": "number of files and folders",
        "findings": "what is wrong",
        "findings[].kind": "a word",
        "findings[].what": "the blob, node or row",
        "findings[].owner": "the user, or null",
        "findings[].done": "what `--repair` did, or null",
        "quarantine": "the folder of moved blobs, or null",
    },
    "doctor": {
        "[].name": "what was checked",
        "[].state": "`fine`, `note` or `bad`",
        "[].sentence": "the result",
        "[].advice": "what to do, or null",
    },
    "hooks": {
        "targets": "the hooks in the settings: `command`, `webhook`",
        "waiting": "the events that wait for their delivery",
        "waiting[].id": "the id of the event",
        "waiting[].target": "the hook",
        "waiting[].event": "the event",
        "waiting[].user": "the account, or null",
        "waiting[].at_ms": "when it happened",
        "waiting[].count": "how often it happened",
        "waiting[].tries": "number of tries so far",
        "waiting[].next_ms": "time of the next try",
        "waiting[].error": "why the last try failed, or null",
        "dropped": "number of events that had to make room for newer ones",
    },
    "hooks test": {
        "id": "the id of the event",
        "results": "the results",
        "results[].target": "the hook",
        "results[].delivered": "whether the hook took it",
        "results[].answer": "the answer in words",
        "results[].output": "the output of the command, or the body of the answer",
    },
    "hooks secret": {"secret": "the secret that signs events for the webhook"},
    "hooks retry": {"due": "number of events that are tried again now"},
    "nodes": {
        "[].id": "its id, hex; new at each start",
        "[].name": "the host name",
        "[].address": "the address of its native listener",
        "[].version": "the version of fsd",
        "[].alive": "whether it was seen in the last minute",
        "[].started_ms": "when it started",
        "[].seen_ms": "when it was last seen",
        "[].connections": "its open connections",
        "[].requests_a_second": "its requests a second, over the last seconds",
        "[].clock_ahead_ms": "how far its clock is ahead of the database's; negative: behind",
    },
    "node export": {
        "file": "the new file",
        "database": "the URL of the database without its password",
    },
    "node import": {
        "home": "the data directory",
        "new": "false: an existing one has taken the master key",
        "database": "the URL of the database without its password",
    },
    "page": {
        "sha256": "the SHA-256 of the page, hex",
        "path": "the file that was written, or null",
    },
    "audit": {
        "[].seq": "number of the entry",
        "[].at_ms": "when it was recorded",
        "[].event": "the event",
        "[].actor": "the user who acted or tried to; `fsadmin:NAME` on the server's machine",
        "[].subject": "the account; empty if it is about none",
        "[].address": "the address of the client; empty for an action at the server",
        "[].detail": "further details, as text",
    },
    "audit verify": {
        "right": "whether nothing is wrong",
        "first": "number of the first entry of the log",
        "last": "number of the last entry",
        "end": "the hash of the last entry, hex",
        "entries": "number of entries in the log",
        "archives": "the archives that were given",
        "archives[].file": "the file",
        "archives[].first": "number of its first entry",
        "archives[].last": "number of its last entry",
        "findings": "a sentence for each finding",
    },
    "audit export": _ARCHIVE,
    "audit rotate": _ARCHIVE,
    "db current": _SCHEMA,
    "db upgrade": {"before": "the schema before, or null", **_SCHEMA},
}
WITHOUT = ("print-unit", "print-man", "completion")
"""Commands without a JSON result."""
