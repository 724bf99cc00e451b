"""Numbers. First those of the protocol, which both ends must share; then those of this program."""

from __future__ import annotations

# --- of the protocol -----------------------------------------------------------------------

PROTOCOL_VERSION = 1
DEFAULT_PORT = 65432

SEGMENT_SIZE = 1 << 20
"""Bytes of a stored segment with its tag, the stream's header counted in the first (Tink 1MB)."""
MAX_SEGMENTS = 1 << 32
"""A segment's number is 32 bits of the nonce."""

MAX_HANDSHAKE_MESSAGE = 8 * 1024
"""Bytes of one handshake message; the largest, the server's hello, has about 1,600."""
MAX_RECORD = SEGMENT_SIZE + 16 * 1024
"""Bytes of a sealed record without its length: a whole segment, its addressing and the tag."""
MAX_LOGIN = 64 * 1024
"""Bytes of a sealed record before the login was answered: strangers get no more memory."""
MAX_CONTROL = SEGMENT_SIZE
"""Bytes of one packed control message."""
RECORDS_AHEAD = 2
"""Records that a server receives while nobody takes its answer to the one before: who sends no more
long ones ahead than that never waits for a server that waits for them."""
RECORDS_PER_KEY = 4096
"""Records under one key before it ratchets: at most 2^28 AES blocks, far below 2^34 (SP 800-38D
with the margin of RFC 8446 section 5.5)."""

MAX_NAME_BYTES = 255
"""UTF-8 bytes of one name after NFC, as file systems have it."""
MAX_PATH_PARTS = 128
MAX_LINK_TARGET = 4096
"""Bytes of where a symbolic link leads."""
MAX_METADATA = 16 * 1024
"""Bytes of a node's sealed metadata."""
METADATA_BLOCK = 128
"""Metadata is filled up to a multiple of this many bytes, so that its size hides a name's."""

MAX_GENERATION = 1024
"""Keys that one node can take in its life; each manifest carries those before the last."""
MAX_FORMER = MAX_GENERATION * 32 + 28
"""Bytes of a node's sealed former keys."""
MAX_MEMBERS = 1000
"""People in one member list."""
MAX_GROUP = 400
"""People in one group, or with whom a client shares a node; their sealed keys fit in a commit."""
MAX_CAME = 4 * MAX_MEMBERS
"""Ways by which the people in one member list came to it."""
LOG_HEAD_SIZE = 40
"""Bytes by which an author names the key log that was seen: u64 size, root 32."""

MAX_COMMIT_NODES = 1000
"""Manifests and removals in one commit."""
MAX_FETCH = 500
"""Files whose content one `fetch` asks for."""
MAX_UPLOADS = 16
"""Uploads that one connection has begun and not ended."""
MAX_INLINE_BLOB = 64 * 1024
"""Sealed bytes up to which a blob travels inside its commit and lives in the database."""

MAX_BACKUP = 64 * 1024
"""Bytes of a sealed backup of somebody's identity, with what else is in it."""
MAX_HOST_KEY_MOVES = 8
"""Changes of the host key that one answer vouches for; so many fit into a handshake message."""

MAX_DROP_NAME = 1024
"""UTF-8 bytes of a drop's name: one or several names joined by '/'."""
MAX_DROP_PARTS = 32
"""Names that a drop's name is made of, at most."""
MAX_DROP_TEXT = 255
"""Characters of what is said of where a drop came from."""
MAX_DROPS_NAMED = 1000
"""Drops that one `removedrops` names."""

RSA_BITS = 3072
RSA_CIPHERTEXT = RSA_BITS // 8

# --- of this implementation ----------------------------------------------------------------

PART_BYTES = 256 * 1024
"""About how many bytes one part of an answer in parts carries."""
