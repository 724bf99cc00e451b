"""The fields of every `--json` result of fsclient; docs/json.md is generated from them.

A name with dots is a field of a field; `[]` is each element of a list.
"""

from __future__ import annotations

Fields = dict[str, str]

FAILED: Fields = {
    "failed": "failures that did not stop the command",
    "failed[].error": "the code of the error",
    "failed[].message": "a sentence",
    "failed[].hint": "what to do, or null",
}
_LEFT: Fields = {
    "left": "what keeps its old keys; with `--now`, the exit status is then not 0",
    "left[].path": "null if it is unknown",
    "left[].error": "the code of the error",
    "left[].message": "a sentence",
}
_TOTALS: Fields = {
    "files": "number of files that were sent or received",
    "folders": "number of folders that were created",
    "bytes": "plaintext bytes that were transferred",
    "seconds": "duration of the transfer, without the login",
    "bytes_per_second": "null if the duration is too short to measure",
    "skipped": "number of files that are the same already",
    "touched": "number of files of which only the time or mode was set",
    "moved": "number of files and folders that were moved because they were moved on the other "
    "side (`sync --two-way`)",
    "removed": "number of files and folders that were removed",
    "excluded": "number of files and folders that filters left out",
    "sparse": "paths of sparse files, whose holes were sent as zeros",
    "actions": "with `--dry-run` only: what would be done",
    "actions[].action": "one word",
    "actions[].path": "the path",
    "actions[].size": "bytes, or null",
}
_LEFT_OUT: Fields = {"left_out": "local paths that were left out, for example symbolic links"}
_TRANSFER = _TOTALS | _LEFT_OUT | FAILED
_DROPPED: Fields = {
    "[].dropped": "for a file that was accepted from a drop, else null",
    "[].dropped.id": "the id of the drop; of a file that was sent with a request link, `key` is "
    "`request`, `label` the note of the request link, and `address` how the uploader signed",
    "[].dropped.arrived_ms": "when it arrived",
    "[].dropped.address": "the address of the sender",
    "[].dropped.key": "fingerprint of the sender's SSH key; null for a one-time password",
    "[].dropped.label": "the note of that key, or null",
}
_ENTRIES: Fields = {
    "[].name": "the last part of `path`",
    "[].path": "the remote path",
    "[].kind": "`file`, `folder`, `symlink`; `refused` for an entry that does not verify: the "
    "other fields are then null but `author` (whose signature was verified) and `refused`",
    "[].size": "bytes",
    "[].mtime_ns": "time of the last change",
    "[].executable": "whether the file may be executed",
    "[].version": "number of the version",
    "[].author": "null if the author's signature does not verify; the exit status is then 7",
    **_DROPPED,
    "[].shared_with": "with `ls -l`: the members of a file or folder that you share, without those "
    "of folders above it; null without `-l`, and in `find` and `tree`",
    "[].refused": "null, except for an entry that does not verify",
    "[].refused.id": "the id of the node, for `rm --id`; null for a share of another user",
    "[].refused.folder": "the path of the folder",
    "[].refused.state_author": "if `author` is null: the author of the folder's newest state, who "
    "vouches for the entry; else null",
    "[].refused.message": "why the entry does not verify",
}
_REMOVED: Fields = {
    "name": "the last part of `path`",
    "path": "the former path",
    "kind": "`file`, `folder` or `symlink`",
    "size": "bytes",
    "version": "the last version",
    "id": "for `restore --id`",
    "removed_ms": "when it was removed",
    "removed_by": "the user who removed it",
    "replaced": "whether another file took its name",
}
_PERSON: Fields = {
    "user": "the account",
    "server": "the address of the server",
    "fingerprint": "the fingerprint of the public keys",
}
_AGENT: Fields = {
    "running": "whether there is an agent; the other fields are only there if it is true",
    "pid": "its process",
    "socket": "the path of its socket",
    "hold_seconds": "how long it keeps a key",
    "keys": "the keys that it has",
    "keys[].file": "the identity file that the key opens",
    "keys[].ends_ms": "when it is wiped",
}
_PROFILES: Fields = {
    "[].name": "the name of the profile",
    "[].user": "the account, or null if it is not known",
    "[].server": "the address of the server, or null",
    "[].default": "whether commands without `--profile` use it",
    "[].state": "`session`, `no session`, `enrolling` or `damaged`",
    "[].session_ends_ms": "when the session ends; null: there is none",
    "[].in_use": "whether a gateway, mount, watch or shell uses it",
    "[].folder": "its folder",
}

_LINK: Fields = {
    "id": "the id of the link",
    "path": "the path of what it opens, when the link was made",
    "name": "the name that receivers see",
    "files": "number of files",
    "expires_ms": "when it ends; null: never",
    "max_downloads": "how many downloads it permits; null: any number",
    "password": "whether it has a password",
}

_REQUEST: Fields = {
    "id": "the id of the request link",
    "folder": "the folder for accepted files",
    "note": "the text that uploaders see",
    "expires_ms": "when it ends; null: never",
    "max_files": "how many files it permits; null: any number",
    "max_bytes": "how many bytes it permits, of all files together; null: any number",
    "password": "whether it has a password",
}

RESULTS: dict[str, Fields] = {
    "enroll": _PERSON,
    "login": {"user": "the account", "session_ends_ms": "when the session ends"},
    "logout": {
        "logged_out": "whether the session of this profile ended",
        "ended": "with `--session` only: the number of the session",
    },
    "repin": {
        "server": "the address from now on",
        "host_key": "the host key from now on",
        "before": "the host key before",
    },
    "sessions": {
        "[].session": "number of the session",
        "[].began_ms": "when it started",
        "[].used_ms": "when it was last used",
        "[].expires_ms": "when it ends",
        "[].address": "the address of the login",
        "[].this": "whether it is the session of this command",
        "[].door": "the listener: `native` or `ssh`",
        "[].device": "the name of the device; empty: none was given",
    },
    "recovery-codes": {"recovery_codes": "the new codes; former ones no longer work"},
    "otp rotate": {
        "user": "the account",
        "secret": "the new secret, Base32",
        "otpauth_uri": "the same for authenticator apps",
        "confirmed": "whether a code of the new secret was used already",
    },
    "whoami": _PERSON | {"host_key": "the trusted host key", "profile": "the name of the profile"},
    "status": {
        "user": "the account",
        "server": "the address of the server",
        "server_version": "the version of the server",
        "session_ends_ms": "when the session ends",
        "files": "number of existing files",
        "folders": "number of existing folders",
        "used_bytes": "sealed sizes of the existing files, which count towards the quota",
        "quota_bytes": "the quota; null: no limit",
        "quota_files": "the quota; null: no limit",
        "stored_bytes": "all stored bytes, with older versions and removed files",
        "key_backup": "whether the server says that it has a backup of the present keys",
        "recovery_codes": "how many recovery codes are unused, as the server says",
    },
    "put": _TRANSFER,
    "get": _TRANSFER,
    "link": _LINK | {"url": "the URL, with the secret; the server cannot show it again"},
    "links": {f"[].{name}": text for name, text in _LINK.items()}
    | {
        "[].path": "the same; null if the record of the link does not open, and the exit status is "
        "then 7",
        "[].name": "the same; null likewise",
        "[].made_ms": "when it was made",
        "[].downloads": "how often it was downloaded, as the server counts",
        "[].used_ms": "when the last download was started; 0: none was",
        "[].locked": "whether it was locked after too many wrong passwords",
    },
    "request": _REQUEST | {"url": "the URL, with the secret; the server cannot show it again"},
    "requests": {f"[].{name}": text for name, text in _REQUEST.items()}
    | {
        "[].folder": "the same; null if the record of the request link does not open, and the exit "
        "status is then 7",
        "[].note": "the same, or null",
        "[].made_ms": "when it was made",
        "[].files": "files that were sent or are being sent, as the server counts them",
        "[].bytes": "bytes in them",
        "[].waiting": "files of it that wait in the inbox",
        "[].used_ms": "when the last file was complete; 0 if there was none",
        "[].locked": "whether it was locked after too many wrong passwords",
        "[].open": "whether it takes files",
    },
    "unrequest": {"ended": "the ids of the request links that were ended"},
    "drop": {
        "sent": "the files that were sent",
        "sent[].name": "the name that the recipient sees",
        "sent[].size": "bytes",
        "sent[].id": "the id of the drop",
        "sent[].receipt": "the receipt: the recipient's `inbox` shows the same for this file",
        **_LEFT_OUT,
        **FAILED,
    },
    "unlink": {"ended": "the ids of the links that were ended"},
    "sync": {
        "direction": "`up` or `down`; with `--two-way`: `both`",
        **_TRANSFER,
        "conflicts": "with `--two-way` only: the files that changed on both sides",
        "conflicts[].path": "the path from the top folder",
        "conflicts[].copy": "the new path of one version; null if `--conflict` replaced it",
        "trash": "the folder to which local files were moved; null if none were. A conflict is in "
        "`failed`, with `error` `conflict`",
        "trash_expired": "number of files deleted from the local trash because they had been there "
        "for 30 days",
    },
    "cp": _TOTALS | FAILED,
    "check": {
        "same": "number of files and symbolic links with the same content",
        "only_local": "paths that the remote side lacks, from the top folder; a folder's ends in "
        "`/`",
        "only_remote": "paths that the local side lacks",
        "different": "what differs",
        "different[].path": "the path from the top folder",
        "different[].why": "`kind`, `size` or `content`",
        "excluded": "number of files and folders that filters left out",
        "seconds": "duration, without the login",
        **_LEFT_OUT,
        **FAILED,
    },
    "ls": _ENTRIES
    | {
        "[].note": "with the URL of a link only: the text of the person who made it. `version` and "
        "`author` are null there",
    },
    "find": _ENTRIES,
    "tree": _ENTRIES,
    "find --removed": {f"[].{name}": text for name, text in _REMOVED.items()},
    "du": {
        "[].path": "a folder or single file; the total of each path that was asked for is the "
        "last of its folders",
        "[].size": "bytes of the newest versions at and below it",
        "[].files": "their number",
    },
    "mkdir": {"made": "the paths of new folders", **FAILED},
    "mv": {
        "moved": "what was moved",
        "moved[].from": "the former path",
        "moved[].to": "the new path",
        **FAILED,
    },
    "rm": {"removed": "the paths that were removed", **FAILED},
    "history": {
        "path": "the requested path",
        "kind": "`file`, `folder` or `symlink`",
        "versions": "of a file, the newest first",
        "versions[].version": "number of the version",
        "versions[].time_ms": "time of the signature",
        "versions[].name": "the name that it had",
        "versions[].size": "bytes",
        "versions[].mtime_ns": "time of the last change",
        "versions[].executable": "whether the file may be executed",
        "versions[].author": "the user who signed it",
        "versions[].author_checked": "false if no client can determine whether the author was a "
        "writer there",
        "versions[].changes": "what changed, in words",
        **{f"versions{name}": text for name, text in _DROPPED.items()},
        "complete": "whether the versions go back to the first",
        "removed": "of a folder: a list of what was removed from it, the latest first; of a "
        "removed file: one object with the same fields (`removed.name` and so on)",
        **{f"removed[].{name}": text for name, text in _REMOVED.items()},
    },
    "restore": {
        "path": "the current path",
        "version": "the requested version",
        "was_removed": "whether the file or folder had been removed",
        "changed": "false if nothing had to change",
    },
    "trash list": {f"[].{name}": text for name, text in _REMOVED.items()},
    "trash list --local": {
        "[].path": "the local path in the trash; the oldest first",
        "[].former": "its former path from the top folder of the sync",
        "[].size": "bytes",
        "[].moved_ms": "when it was moved",
    },
    "trash restore": {"restored": "the paths that are back", **FAILED},
    "trash empty": {
        "deleted": "number of files and folders that were deleted for good",
        **FAILED,
    },
    "share": {
        "path": "the path of what is shared",
        "user": "with a person: the person",
        "compared": "with a person: whether safety numbers were compared",
        "role": "`reader` or `writer`, the role that now applies (with a group: the role that the "
        "group gives)",
        "changed": "false if nothing had to change",
        "seen_as": "the path under which the others see it",
        "group": "with a group: its name without the `@`",
        "members": "with a group: the people with whom it is now shared",
        "members[].user": "the person",
        "members[].new": "false: had the share already",
        "members[].known": "whether the person's keys were used here before",
        "members[].compared": "whether safety numbers were compared",
        "left_out": "with a group: people who have not enrolled, or whose keys are unusable",
    },
    "unshare": {
        "path": "the path",
        "user": "with a person: the person",
        "group": "with a group: its name",
        "members": "with a group: the people who lost access",
        "changed": "whether it was shared",
        "renewed": "number of new keys that `--now` created",
        **_LEFT,
    },
    "shares": {
        "by_me": "what the user shares",
        "by_me[].path": "the path",
        "by_me[].members": "the people who have it",
        "by_me[].members[].user": "the person",
        "by_me[].members[].role": "`reader` or `writer`",
        "by_me[].members[].compared": "whether safety numbers were compared",
        "by_me[].members[].state": "`ok`, `left`, `keys changed`",
        "by_me[].members[].alone": "whether they were also named individually, or only so",
        "by_me[].members[].groups": "the groups with which they were added",
        "by_me[].groups": "the groups with which it is shared",
        "by_me[].groups[].group": "its name",
        "by_me[].groups[].exists": "whether the server still knows it",
        "by_me[].groups[].waiting": "people who are now in it and do not have the share",
        "by_me[].groups[].not_enrolled": "people in it without keys",
        "by_me[].groups[].gone": "people with access by the group who have left it",
        "by_me[].groups[].writes": "whether a person with access by the group may write",
        "with_me": "what others share with the user",
        "with_me[].owner": "the other user",
        "with_me[].path": "null unless `state` is `ok`",
        "with_me[].kind": "null unless `state` is `ok`",
        "with_me[].role": "`reader`, `writer` or null",
        "with_me[].state": "`ok`, `refused`, `sealed to keys you had before`",
        "more": "the users of whom further shares are left out of `with_me`; empty with `--all`",
        "lost": "the user's own shares that do not verify; the exit status is then 7",
        "lost[].id": "the id of the node",
        "lost[].path": "where this client saw it last, or null",
        "lost[].message": "a sentence",
    },
    "leave": {"left": "the path of the share"},
    "block": {
        "blocked": "the user; without a user, the list of those whose shares are refused",
        "unblocked": "with `--undo`: the user",
    },
    "verify": {
        "user": "the other user",
        "number": "12 groups of five digits",
        "fingerprint": "the other user's fingerprint",
        "own_fingerprint": "the user's own",
        "state": "in words",
        "compared": "whether safety numbers were compared",
    },
    "doctor": {
        "[].path": "what differs; the folder's path if the client cannot open the name",
        "[].node": "the id of the node",
        "[].what": "in words",
        **{
            f"[].{which}{field}": text
            for which, what in (
                ("seen", "what this device saw"),
                ("shown", "what the server shows; null if it does not show the node"),
            )
            for field, text in (
                ("", what),
                (".version", "number of the version"),
                (".author", "the user who signed it"),
                (".time_ms", "time of the signature"),
            )
        },
    },
    "inbox": {
        "[].id": "the id of the drop; the oldest is first",
        "[].name": "the name that the sender gave it",
        "[].size": "bytes",
        "[].mtime_ns": "time of the last change, as the sender set it",
        "[].arrived_ms": "when it arrived",
        "[].address": "the address of the sender",
        "[].key": "fingerprint of the sender's SSH key; null for a one-time password",
        "[].label": "the note of that key, or null",
        "[].request": "the id of the request link with which it was sent; null for other drops. "
        "`address`, `key` and `label` are null if it is not",
        "[].note": "the note of the request link, or null",
        "[].sender": "how the uploader signed, or null; nothing proves it",
        "[].folder": "the folder for the file when it is accepted",
        "[].receipt": "the receipt that the uploader has of a file sent with a request link",
        "[].accepted_before": "whether it was accepted already",
        "[].refused": "null; for a drop that does not verify, a sentence, and only `id` beside "
        "it: the exit status is then 7",
    },
    "inbox accept": {
        "accepted": "the accepted drops",
        "accepted[].id": "the id",
        "accepted[].name": "the name of the new file",
        "accepted[].path": "null if it was accepted before",
        "accepted[].size": "bytes",
        "accepted[].receipt": "as in `inbox`",
        **FAILED,
    },
    "inbox reject": {
        "rejected": "the rejected drops",
        "rejected[].id": "the id",
        "rejected[].name": "null for a drop that does not verify",
    },
    "watch": {
        "event": "`watching`, `changed`, `drop`, `share` or `session`",
        "time_ms": "when it happened, or when this command noticed it",
        "path": "of `watching` and `changed`: the folder; of `share`: what is shared",
        "id": "of `drop`: the id",
        "name": "of `drop`: the name that the sender gave it",
        "size": "of `drop`: bytes",
        "address": "of `drop` and `session`: the address of the sender or of the login",
        "key": "of `drop`: fingerprint of the sender's SSH key; null for a one-time password",
        "label": "of `drop`: the note of that key, or null",
        "request": "of `drop`: the id of the request link with which it was sent, or null",
        "sender": "of `drop`: how the uploader with a request link signed, or null",
        "refused": "of `drop`: null; a sentence if the drop does not verify",
        "owner": "of `share`: the other user",
        "kind": "of `share`: `file`, `folder` or `symlink`",
        "role": "of `share`: `reader` or `writer`",
        "session": "of `session`: its number",
        "this": "of `session`: whether it is the session of this command",
        "door": "of `session`: the listener, `native` or `ssh`",
    },
    "gateway": {"address": "where it listens", "read_only": "whether it allows no changes"},
    "gateway --print-config": {
        "lines": "lines for programs, as text",
        "key_file": "the key for them",
    },
    "mount": {"mounted": "the local folder"},
    "agent start": _AGENT,
    "agent status": _AGENT,
    "agent lock": {"running": "whether there is an agent"},
    "agent stop": {"running": "false"},
    "profiles": _PROFILES,
    "profiles list": _PROFILES,
    "profiles default": {"default": "the profile from now on"},
    "profiles rename": {"name": "the new name", "before": "the former name"},
    "profiles remove": {
        "removed": "the profile",
        "trashed_files": "number of files in its local trash, which are lost",
        "unfinished_uploads": "number of uploads that can no longer be resumed",
        "synced_pairs": "number of pairs of folders whose last common state is lost",
    },
    "keys export": {
        "user": "the account",
        "file": "the new file; with `-`, only the export itself is printed",
        "fingerprint": "the fingerprint of the public keys",
    },
    "keys import": _PERSON,
    "keys recover": _PERSON,
    "keys backup": {
        "user": "the account",
        "phrase": "the words, separated by a blank. A person with these words can recover the keys",
    },
    "keys passphrase": {
        "user": "the account",
        "passphrase": "whether the keys have one now",
    },
    "keys rotate": {
        "user": "the account",
        "fingerprint": "the fingerprint of the new keys",
        "renewed": "number of files and folders that took a new key with `--now`",
        **_LEFT,
    },
    "keys republish": {
        "user": "the account",
        "fingerprint": "the fingerprint of the public keys",
        "registered": "how many of the keys the server lacked",
    },
    "keys file": {
        "file_key": "hex, as all others",
        "associated_data": "",
        "salt": "",
        "root": "the root of the content",
        "blob": "the name of the blob at the server: `blobs/ab/<blob>`, where `ab` is its start, "
        "or up to 64 KiB in the column `data` of the table `blobs`",
    },
}
WITHOUT = ("cat", "print-unit", "shell")
"""Commands without a JSON result; `shell` prints those of its commands."""
