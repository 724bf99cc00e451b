"""Writes every vector again: `python -m tests.vectors.generate`.

What follows from seeds is computed anew. What came from the operating system's randomness (RSA
keys, RSA-OAEP and ML-KEM ciphertexts) is kept from the files as they are as long as it is good,
so that without a change of the formats every file comes out byte for byte as it was.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.vectors import HERE, Vector, load
from tests.vectors.makers import (
    Files,
    Kept,
    carried,
    channel,
    content,
    drops,
    folders,
    keys,
    shares,
    signing,
)

ABOUT = {
    "keys": "RSA-3072 private keys that the other vectors name.",
    "handshake": "One whole key exchange, and what must end one.",
    "records": "Records of one direction.",
    "messages": "Plaintexts of records.",
    "stream": "Sealed content.",
    "integrity": "Leaves and roots of stored blobs.",
    "manifest": "Signed manifests and their sealed metadata.",
    "signed": "Payloads that were signed many at once.",
    "tree": "Roots of prefix trees.",
    "proof": "Proofs from prefix trees.",
    "state": "Signed folder states.",
    "node": "What follows from a node key.",
    "link": "Node keys sealed to their folder.",
    "grant": "Root grants.",
    "bundle": "Public keys of a person.",
    "former": "A node's earlier keys, sealed under its newest.",
    "members": "Signed member lists, and node keys sealed to members.",
    "entry": "Entries of the key log, and what may follow what.",
    "head": "Signed heads of the key log.",
    "keyfile": "Files that hold an identity.",
    "enroll": "Enrolment links.",
    "export": "Exported profiles.",
    "drop": "Drops, with their content.",
    "recovery": "Backups of an identity under a recovery phrase.",
}


def present() -> Files:
    """Return the vectors that are there."""
    return {name: load(name) for name in ABOUT if (HERE / f"{name}.json").exists()}


def make(kept: Kept) -> dict[str, str]:
    """Return the text of every file by its name; the RSA keys must be there already."""
    files: Files = {"keys": keys.make_rsa_keys(kept)}
    for maker in (channel, content, folders, keys, shares, signing, carried, drops):
        files |= maker.make(kept)
    return {name: _text(name, vectors) for name, vectors in files.items()}


def _text(name: str, vectors: list[Vector]) -> str:
    whole = {"about": ABOUT[name], "vectors": vectors}
    return json.dumps(whole, indent=1, ensure_ascii=True) + "\n"


def _write(name: str, text: str) -> None:
    path: Path = HERE / f"{name}.json"
    path.write_text(text, "utf-8", newline="\n")
    print(path.name)


def main() -> None:
    """Write all files."""
    first = keys.make_rsa_keys(Kept(present()))
    _write("keys", _text("keys", first))
    for name, text in make(Kept(present())).items():
        _write(name, text)


if __name__ == "__main__":
    main()
