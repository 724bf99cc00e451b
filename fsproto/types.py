"""Distinct types for kinds of bytes, so that a type checker finds mixed-up arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import NewType

NodeId = NewType("NodeId", bytes)
"""16 random bytes that name a node for life."""
DropId = NewType("DropId", bytes)
"""16 random bytes that name a drop."""
LinkId = NewType("LinkId", bytes)
"""16 bytes that name a public link; derived from its secret."""
RequestId = NewType("RequestId", bytes)
"""16 bytes that name a request link; derived from its secret."""
NodeKey = NewType("NodeKey", bytes)
"""32 random bytes; a folder's opens its children, a file's its metadata."""
FileKey = NewType("FileKey", bytes)
"""32 random bytes, new for every version of every file."""
Token = NewType("Token", bytes)
"""32 bytes: HMAC of a name under its folder's key, what the server looks names up by."""
Salt = NewType("Salt", bytes)
"""32 random bytes, new for every version; salts leaves and root."""
Root = NewType("Root", bytes)
"""32 bytes: the salted SHA-256 over a sealed file's leaves; also names the stored blob."""
Hash = NewType("Hash", bytes)
"""32 bytes of SHA-256 over a signed payload, under the label of its kind."""

Random = Callable[[int], bytes]
"""Gives that many random bytes; `os.urandom` outside the tests."""

NO_NODE = NodeId(bytes(16))
"""The parent of a root."""
NO_HASH = Hash(bytes(32))
"""The hash before the first version; also the root of an empty folder."""
NO_TOKEN = Token(bytes(32))
"""The name token of a root."""
