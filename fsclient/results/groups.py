"""Fields that several results have, and results that are fields of others."""

from __future__ import annotations

Fields = dict[str, str]

FAILED: Fields = {
    "failed": "failures that did not stop the command",
    "failed[].error": "the code of the error",
    "failed[].message": "a sentence",
    "failed[].hint": "what to do, or null",
}
LEFT: Fields = {
    "left": "what keeps its old keys; with `--now`, the exit status is then not 0",
    "left[].path": "null if it is unknown",
    "left[].error": "the code of the error",
    "left[].message": "a sentence",
}
TOTALS: Fields = {
    "files": "number of files sent or received",
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
    "actions[].side": "with `sync --two-way` only: the side that changes, `local`, `remote` "
    "or null",
}
LEFT_OUT: Fields = {"left_out": "local paths that were left out, for example symbolic links"}
TRANSFER = TOTALS | LEFT_OUT | FAILED
DROPPED: Fields = {
    "[].dropped": "for a file that was accepted from a drop, else null",
    "[].dropped.id": "the id of the drop; of a file that was sent with a request link, `key` is "
    "`request`, `label` the note of the request link, and `address` how the uploader signed",
    "[].dropped.arrived_ms": "when it arrived",
    "[].dropped.address": "the address of the sender",
    "[].dropped.key": "fingerprint of the sender's SSH key; null for a one-time password",
    "[].dropped.label": "the note of that key, or null",
}
ENTRIES: Fields = {
    "[].name": "the last part of `path`",
    "[].path": "the remote path",
    "[].kind": "`file`, `folder`, `symlink`; `refused` for an entry that does not verify: the "
    "other fields are then null but `author` (whose signature was verified) and `refused`",
    "[].size": "bytes",
    "[].mtime_ns": "time of the last change",
    "[].executable": "whether the file may be executed",
    "[].version": "number of the version",
    "[].author": "null if the author's signature does not verify; the exit status is then 7",
    **DROPPED,
    "[].shared_with": "with `ls -l`: the members of a file or folder that you share, without those "
    "of folders above it; null without `-l`, and in `find` and `tree`",
    "[].refused": "null, except for an entry that does not verify",
    "[].refused.id": "the id of the node, for `rm --id`; null for a share of another user",
    "[].refused.folder": "the path of the folder",
    "[].refused.state_author": "if `author` is null: the author of the folder's newest state, who "
    "vouches for the entry; else null",
    "[].refused.message": "why the entry does not verify",
}
REMOVED: Fields = {
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
PERSON: Fields = {
    "user": "the account",
    "server": "the address of the server",
    "fingerprint": "the fingerprint of the public keys",
}
AGENT: Fields = {
    "running": "whether there is an agent; the other fields are only there if it is true",
    "pid": "its process",
    "socket": "the path of its socket",
    "hold_seconds": "how long it keeps a key",
    "keys": "the keys that it has",
    "keys[].file": "the identity file that the key opens",
    "keys[].ends_ms": "when it is wiped",
}
PROFILES: Fields = {
    "[].name": "the name of the profile",
    "[].user": "the account, or null if it is not known",
    "[].server": "the address of the server, or null",
    "[].default": "whether commands without `--profile` use it",
    "[].state": "`session`, `no session`, `enrolling` or `damaged`",
    "[].session_ends_ms": "when the session ends; null: there is none",
    "[].in_use": "whether a gateway, mount, watch or shell uses it",
    "[].folder": "its folder",
}

LINK: Fields = {
    "id": "the id of the link",
    "path": "the path of what it opens, when the link was made",
    "name": "the name that receivers see",
    "files": "number of files",
    "expires_ms": "when it ends; null: never",
    "max_downloads": "how many downloads it permits; null: any number",
    "password": "whether it has a password",
}

REQUEST: Fields = {
    "id": "the id of the request link",
    "folder": "the folder for accepted files",
    "note": "the text that uploaders see",
    "expires_ms": "when it ends; null: never",
    "max_files": "how many files it permits; null: any number",
    "max_bytes": "how many bytes it permits, for all files together; null: any number",
    "password": "whether it has a password",
}
