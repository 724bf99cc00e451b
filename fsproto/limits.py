"""Limits: first those of the protocol, equal at both ends, then those of this program."""

from __future__ import annotations

# --- of the protocol -----------------------------------------------------------------------

PROTOCOL_VERSION = 2
DEFAULT_PORT = 65432

SEGMENT_SIZE = 1 << 20
"""Bytes of a stored segment with its tag, including the header in the first one (Tink 1MB)."""
MAX_SEGMENTS = 1 << 32
"""The number of a segment takes 32 bits of the nonce."""

MAX_HANDSHAKE_MESSAGE = 8 * 1024
"""Bytes of one handshake message; the largest, the server's hello, has about 1,600."""
MAX_RECORD = SEGMENT_SIZE + 16 * 1024
"""Bytes of a sealed record without its length: a whole segment, its addressing and the tag."""
MAX_LOGIN = 64 * 1024
"""Bytes of a sealed record before login, to limit memory for unauthenticated connections."""
MAX_CONTROL = SEGMENT_SIZE
"""Bytes of one packed control message."""
MAX_ITEMS = 1 << 15
"""Items of a list in a message without a lower limit: more than its bytes allow of real ones."""
RECORDS_AHEAD = 2
"""Records that a server still receives while the client does not read its previous answer. A client
that sends at most this many long records ahead cannot cause a deadlock."""
RECORDS_PER_KEY = 4096
"""Records under one key before it ratchets: at most 2^28 AES blocks, far below 2^34 (SP 800-38D
with the margin of RFC 8446 section 5.5)."""

MAX_NAME_BYTES = 255
"""UTF-8 bytes of one name after NFC, as file systems have it."""
MAX_PATH_PARTS = 128
MAX_LINK_TARGET = 4096
"""Bytes of the target of a symbolic link."""
MAX_METADATA = 16 * 1024
"""Bytes of a node's sealed metadata."""
MAX_MANIFEST = MAX_METADATA + 34 * 1024
"""Bytes of a packed manifest: its metadata, 1,024 former keys, and more than all else takes."""
MAX_ENTRIES = 1 << 20
"""Entries of one folder."""
METADATA_BLOCK = 128
"""Metadata is padded to a multiple of this many bytes, to hide the length of the name."""

MAX_GENERATION = 1024
"""Key generations of one node; each manifest contains all keys before the current one."""
MAX_GENERATION_BY_WRITERS = 512
"""Newest generation that a member may give a node; the others are left to the tree's owner, so that
no member can use up the keys that the owner needs to remove that member."""
LINK_SIZE = 60
"""Bytes of a link: nonce, sealed node key, tag."""
MAX_MEMBERS = 1000
"""People in one member list."""
MAX_GROUP = 400
"""People in one group, or with whom a client shares a node; their sealed keys fit in a commit."""
MAX_BLOCKED = 1000
"""People whose shares one person refuses."""
MAX_CAME = 4 * MAX_MEMBERS
"""Entries in `came` of one member list."""
LOG_HEAD_SIZE = 40
"""Bytes of an author's reference to the key log: u64 size, root 32."""

MAX_LOG_ENTRIES = 1 << 22
"""Entries of a key log that a client reads: about 1 GiB on its disk."""
MAX_LOG_ENTRIES_OF_ONE = 1 << 16
"""Entries about one person that a client takes into account."""

MAX_LINEAGE_RANGES = 1000
"""Ranges of versions whose hashes one `getlineage` asks for."""
MAX_LINEAGE_HASHES = 1 << 16
"""Hashes that one `getlineage` asks for."""
MAX_LINEAGE_GAP = 1 << 20
"""Versions between what a client has seen and what it is shown; more need the person's consent."""

MAX_COMMIT_NODES = 1000
"""Manifests and removals in one commit."""
MAX_ROTATE_PARTS = 64
"""Messages with what one key rotation renews in the owner's tree."""
MAX_FETCH = 500
"""Files in one `fetch`."""
MAX_TOKENS = 4096
"""Tokens in one request for the entries of a folder; a server may refuse more."""
MAX_LISTS = MAX_PATH_PARTS
"""Nodes in one request for member lists."""
MAX_STATES = 1000
"""Folders in one `getstates`; so many states fit into one message."""
MAX_WATCH_S = 60
"""Seconds after which a `watch` is answered, even without a change."""
MAX_WATCHED = 16
"""Folders whose `watch` a connection remembers."""
MAX_UPLOADS = 16
"""Unfinished uploads of one connection."""
MAX_INLINE_BLOB = 64 * 1024
"""Largest sealed size of a blob inside a commit; it is stored in the database."""

MAX_SHARES = 1 << 14
"""Shares in one answer to `getshares` or `getshared`."""
MAX_VERSIONS = 1 << 14
"""Manifests in one answer to `gethistory`."""
TICKET_SIZE = 32
"""Bytes of a session's ticket."""
MAX_NOTICES = 64
"""Notices in one `welcome`: at most one of each kind."""
MAX_DEVICE_NAME = 64
"""Characters of the name of a device."""
MAX_SESSIONS = 5000
"""Running sessions of one account; so many fit into one message."""
MAX_BACKUP = 64 * 1024
"""Bytes of a sealed backup: an identity and the other parts of a profile."""
MAX_HOST_KEY_MOVES = 8
"""Host key changes in one answer; this many fit into a handshake message."""

MAX_DROP_NAME = 1024
"""UTF-8 bytes of a drop's name: one or several names joined by '/'."""
MAX_DROP_PARTS = 32
"""Most parts of a drop's name, separated by '/'."""
MAX_DROP_TEXT = 255
"""Characters of each text about a drop's origin: key, label, address."""
MAX_DROPS = 1 << 13
"""Waiting drops of one person."""
MAX_DROPS_NAMED = 1000
"""Drops in one `removedrops`."""
MAX_FORGOTTEN = 100
"""Removed nodes in one `forget`; the server deletes them in one transaction."""

MAX_PUBLIC_LINK_DESCRIPTION = 1 << 23
"""Bytes of the sealed description of a public link."""
MAX_PUBLIC_LINK_FILES = 1 << 15
"""Files that one public link opens, and folders that it names."""
MAX_PUBLIC_LINK_PART = 1 << 19
"""Bytes of the sealed description in one `makelink` or `addtolink`."""
MAX_PUBLIC_LINK_CONTENTS = 1 << 12
"""Contents in one `makelink` or `addtolink`."""
MAX_PUBLIC_LINK_NOTE = 1000
"""Characters of the sender's note."""
MAX_PUBLIC_LINK_RECORD = 66_000
"""Bytes of the owner's sealed record of a public link."""
MAX_PUBLIC_LINK_PASSWORD = 1024
"""UTF-8 bytes of the password of a public link."""
MAX_PUBLIC_LINKS_BYTES = 32 << 20
"""Records of a user's links, in a listing."""
MAX_PUBLIC_LINKS_NAMED = 1000
"""Links in one `removelinks`."""
MAX_PUBLIC_LINK_DOWNLOADS = (1 << 31) - 1
"""Largest number of downloads that a link can permit."""
MAX_PUBLIC_LINK_TICKET = 64
"""Bytes of the ticket of a download."""
PUBLIC_LINK_TICKET_S = 24 * 3600
"""Seconds for which the ticket of a download is valid."""

MAX_REQUEST_DESCRIPTION = 8192
"""Bytes of the sealed description of a request link."""
MAX_REQUEST_NOTE = 1000
"""Characters of the owner's note in a request link."""
MAX_REQUEST_RECORD = 8192
"""Bytes of the owner's sealed record of a request link."""
MAX_REQUEST_FILES = (1 << 31) - 1
"""Largest number of files that a request link can permit."""
MAX_REQUESTS_BYTES = 32 << 20
"""Records of a user's request links, in a listing."""
MAX_REQUESTS_NAMED = 1000
"""Request links in one `removerequests`."""
MAX_REQUEST_WRAPPED = 2048
"""Bytes of the sealed secret of a drop that an uploader sends."""
MAX_REQUEST_DROP_NOTE = 4096
"""Bytes of the sealed note of a drop that an uploader sends."""
MAX_REQUEST_TICKET = 64
"""Bytes of the ticket of an upload through a request link."""
REQUEST_TICKET_S = 24 * 3600
"""Seconds for which the ticket of an upload is valid; a new one is given for the asking."""
MAX_REQUEST_SEGMENTS = 8
"""Segments in the body of one HTTP request."""

OTP_DIGITS = range(6, 9)
"""Digits of a one-time password."""
OTP_PERIODS_S = range(15, 121)
"""Seconds for which a one-time password is valid."""

RSA_BITS = 3072
RSA_EXPONENT = 65537
RSA_CIPHERTEXT = RSA_BITS // 8

# --- of this implementation ----------------------------------------------------------------

MAX_SHARES_BYTES = 32 << 20
"""Most bytes of the shares with one person, in one answer that a client reads."""
MAX_LISTING = 1 << 30
"""Most bytes of one folder's manifests that a client reads; above 4 MiB, from its disk."""

PART_BYTES = 256 * 1024
"""Approximate bytes in one part of an answer with several parts."""
