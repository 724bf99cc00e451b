"""What a hook receives: the event as JSON, and its signature after Standard Webhooks.

    signature = base64(HMAC-SHA256(secret, id ‖ "." ‖ timestamp ‖ "." ‖ body))

The secret is text, `whsec_` and 24 to 64 bytes as base64 (https://www.standardwebhooks.com/).
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

from fskit.json_times import utc_text
from fsproto import crypto
from fsproto.errors import IntegrityError

SECRET_PREFIX = "whsec_"  # noqa: S105 - the start of each secret
_SHORTEST, _LONGEST = 24, 64


@dataclass(frozen=True)
class HookMessage:
    """One event, as hooks receive it."""

    id: str
    """The same in every try; a receiver ignores an id that it has had."""
    event: str
    at_ms: int
    """Unix time in milliseconds; of several events that were added up, of the first."""
    actor: str
    user: str
    """The account that it is about; empty: none."""
    address: str
    detail: str
    count: int = 1

    def body(self) -> bytes:
        """Return the JSON, in ASCII and without a line break."""
        told = {
            "type": self.event,
            "id": self.id,
            "timestamp": utc_text(self.at_ms),
            "data": {
                "actor": self.actor or None,
                "user": self.user or None,
                "address": self.address or None,
                "detail": self.detail or None,
                "count": self.count,
            },
        }
        return json.dumps(told).encode()


def new_secret(random: bytes) -> bytes:
    """Return the content of a new secret's file, from 32 random bytes."""
    return f"{SECRET_PREFIX}{base64.b64encode(random).decode()}\n".encode()


def read_secret(content: bytes) -> bytes:
    """Return the key in the content of a secret's file; `IntegrityError` if there is none."""
    text = content.strip()
    try:
        if not text.startswith(SECRET_PREFIX.encode()):
            raise ValueError("no secret of a webhook")
        key = base64.b64decode(text[len(SECRET_PREFIX) :], validate=True)
    except ValueError:
        key = b""
    if not _SHORTEST <= len(key) <= _LONGEST:
        raise IntegrityError(
            "The secret of the webhook is unusable.",
            hint=f"hook.key must hold '{SECRET_PREFIX}' and {_SHORTEST} to {_LONGEST} bytes as "
            "base64; if it is deleted, 'fsadmin hooks secret' makes a new one.",
        )
    return key


def headers(message: HookMessage, body: bytes, key: bytes, at_s: int) -> dict[str, str]:
    """Return the headers that identify and sign a message sent at a Unix time."""
    mac = crypto.hmac_sha256(key, f"{message.id}.{at_s}.".encode(), body)
    return {
        "webhook-id": message.id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }
