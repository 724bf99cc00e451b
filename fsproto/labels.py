"""Every domain-separation label: a key or signature made under one means nothing under another."""

from __future__ import annotations

TRANSCRIPT = b"fs/1 transcript"
CHANNEL_SECRET = b"fs/1 channel secret"
CHANNEL_CLIENT_KEY = b"fs/1 client to server"
CHANNEL_SERVER_KEY = b"fs/1 server to client"
CHANNEL_CLIENT_CONFIRM = b"fs/1 client confirm"
CHANNEL_SERVER_CONFIRM = b"fs/1 server confirm"
CHANNEL_ID = b"fs/1 channel id"
CHANNEL_RATCHET = b"fs/1 ratchet"

SIGN_LOGIN = b"fs/1 login"
SIGN_ENROLL = b"fs/1 enroll"
SIGN_BUNDLE = b"fs/1 bundle"
SIGN_MANIFEST = b"fs/1 manifest"
SIGN_MANIFESTS = b"fs/1 many manifests"
SIGN_STATE = b"fs/1 folder state"
SIGN_ROOT_GRANT = b"fs/1 root grant"

HASH_BUNDLE = b"fs/1 bundle hash"
HASH_MANIFEST = b"fs/1 manifest hash"
HASH_STATE = b"fs/1 folder state hash"

CONTENT = b"fs/1 content"
CONTENT_HEADER = b"fs/1 stream header"
CONTENT_COMMITMENT = b"fs/1 key commitment"
NODE_LINK_KEY = b"fs/1 node link key"
NODE_NAME_KEY = b"fs/1 node name key"
NODE_METADATA_KEY = b"fs/1 node metadata key"
LINK = b"fs/1 link"
METADATA = b"fs/1 metadata"
WRAP = b"fs/1 wrap to person"

KEYFILE = b"fs/1 keyfile"
JOURNAL = b"fs/1 upload journal"

SERVER_OTP_SECRET = b"fs/1 otp secret at rest"
SERVER_RECOVERY_CODE = b"fs/1 recovery code"
SERVER_AUDIT_ENTRY = b"fs/1 audit entry"
SERVER_AUDIT_HEAD = b"fs/1 audit head"
SERVER_AUDIT_ARCHIVE = b"fs/1 audit archive"
