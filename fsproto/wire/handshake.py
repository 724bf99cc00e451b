"""The hybrid key exchange: RSA-3072 to the pinned host key, X25519 and ML-KEM-768.

    client_hello   = "FSP1" ‖ u16 version ‖ random 32 ‖ X25519 public 32 ‖ ML-KEM ek 1184
    server_hello   = "FSP1" ‖ u16 version ‖ random 32 ‖ X25519 public 32 ‖ ML-KEM ct 1088
                     ‖ u16 length ‖ host RSA public key (SPKI DER)
    client_key     = RSA-OAEP-SHA256(host key, secret 32) 384 ‖ client confirm 32
    server_confirm = server confirm 32

Each message is sent in plaintext after a u32 length. `transcript` is the SHA-256 over the label,
client_hello, server_hello and the RSA ciphertext, the three each after a u32 length:

    prk = HKDF-SHA256(ikm = RSA secret ‖ X25519 secret ‖ ML-KEM secret, salt = transcript,
                      info = "fs/2 channel secret", 32)
    and HKDF-Expand of prk gives both directions' keys, both confirmations and the channel id.

Compare RFC 4432 (RSA key exchange for SSH), draft-ietf-sshm-mlkem-hybrid-kex, and RFC 8446 for
the structure. The client may use the keys at once: only the holder of the host key can derive them.
If the RSA ciphertext does not open, the server continues with a random secret. The handshake then
fails at the confirmation like with any other wrong key, so there is no oracle (RFC 5246 section
7.4.7.1).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from fsproto import crypto, host_key_moves, labels
from fsproto.errors import (
    HostKeyError,
    NotFsdError,
    RemoteProtocolError,
    VersionMismatchError,
)
from fsproto.host_key_moves import Move
from fsproto.limits import PROTOCOL_VERSION, RSA_CIPHERTEXT
from fsproto.types import Random
from fsproto.wire.records import SECRET_SIZE, RecordOpener, RecordSealer

MAGIC = b"FSP1"
_VERSION = struct.Struct(">4sH")
_CLIENT_HELLO = struct.Struct(f">4sH32s32s{crypto.KEM_PUBLIC_SIZE}s")
_SERVER_HELLO = struct.Struct(f">4sH32s32s{crypto.KEM_CIPHERTEXT_SIZE}sH")
_CLIENT_KEY = struct.Struct(f">{RSA_CIPHERTEXT}s32s")


@dataclass(frozen=True)
class Channel:
    """The result of a handshake: a sealer, an opener, and the channel id."""

    sealer: RecordSealer = field(repr=False)
    opener: RecordOpener = field(repr=False)
    channel_id: bytes = field(repr=False)
    """32 bytes known only to both ends; a login signs it, so it is valid on this channel only."""


class _Schedule:
    """The keys derived from the three secrets and the transcript."""

    def __init__(self, secrets: bytes, *messages: bytes) -> None:
        framed = (len(message).to_bytes(4, "big") + message for message in messages)
        transcript = crypto.sha256(labels.TRANSCRIPT, *framed)
        self._prk = crypto.hkdf(secrets, salt=transcript, info=labels.CHANNEL_SECRET)
        self.client_confirm = self._expand(labels.CHANNEL_CLIENT_CONFIRM)
        self.server_confirm = self._expand(labels.CHANNEL_SERVER_CONFIRM)

    def _expand(self, label: bytes, length: int = crypto.KEY_SIZE) -> bytes:
        return crypto.hkdf_expand(self._prk, label, length)

    def channel(self, *, client: bool) -> Channel:
        to_server = self._expand(labels.CHANNEL_CLIENT_KEY, SECRET_SIZE)
        to_client = self._expand(labels.CHANNEL_SERVER_KEY, SECRET_SIZE)
        out, back = (to_server, to_client) if client else (to_client, to_server)
        return Channel(RecordSealer(out), RecordOpener(back), self._expand(labels.CHANNEL_ID))


class ClientHandshake:
    """The client's half: `hello`, then `receive_hello`, then `receive_confirm`."""

    def __init__(self, host_key: str, random: Random) -> None:
        """Take the pinned host key's fingerprint, and 160 random bytes in four draws."""
        self._host_key = host_key
        self._secret = random(crypto.KEY_SIZE)
        self._x25519 = crypto.X25519(random(crypto.X25519_SIZE))
        self._kem = crypto.KemKey(random(crypto.KEM_SEED_SIZE))
        self.hello: bytes = _CLIENT_HELLO.pack(
            MAGIC, PROTOCOL_VERSION, random(32), self._x25519.public, self._kem.public
        )

    def receive_hello(self, hello: bytes) -> tuple[bytes, Channel]:
        """Check the server's hello; return client_key to send, and the channel.

        Raises `HostKeyError` unless the host key is the pinned one, and `NotFsdError`,
        `VersionMismatchError` or `RemoteProtocolError` for an invalid hello.
        """
        _check_version(hello)
        if len(hello) < _SERVER_HELLO.size:
            raise RemoteProtocolError("The server's hello was cut short.")
        _, _, _, x25519, kem, length = _SERVER_HELLO.unpack_from(hello)
        spki = hello[_SERVER_HELLO.size :]
        if len(spki) != length:
            raise RemoteProtocolError("The server's hello has the wrong length.")
        if not crypto.equal(crypto.fingerprint(spki).encode(), self._host_key.encode()):
            alarm = HostKeyError(
                f"THE SERVER'S HOST KEY HAS CHANGED. Expected {self._host_key}, "
                f"but the server showed {crypto.fingerprint(spki)}.",
                hint="An attacker may be in the middle. Nothing was sent. Ask your administrator, "
                "over another way, whether the key was changed on purpose.",
            )
            alarm.shown = crypto.fingerprint(spki)
            raise alarm
        try:
            secrets = self._secret + self._x25519.exchange(x25519) + self._kem.decapsulate(kem)
            sealed = crypto.rsa_seal(spki, self._secret)
        except crypto.CryptoError as error:
            raise RemoteProtocolError(f"The server's hello is invalid: {error}.") from None
        return self._finish(secrets, hello, sealed)

    def _finish(self, secrets: bytes, hello: bytes, sealed: bytes) -> tuple[bytes, Channel]:
        schedule = _Schedule(secrets, self.hello, hello, sealed)
        self._expected = schedule.server_confirm
        return _CLIENT_KEY.pack(sealed, schedule.client_confirm), schedule.channel(client=True)

    def receive_confirm(self, confirm: bytes) -> None:
        """Raise `RemoteProtocolError` unless the server has derived the same keys."""
        if not crypto.equal(confirm, self._expected):
            raise RemoteProtocolError("The server could not prove that it holds its host key.")


class ServerHandshake:
    """The server's half: `receive_hello`, then `receive_key`."""

    def __init__(
        self,
        host_key: crypto.RsaKey,
        random: Random,
        moves: Sequence[Move] = (),
        others: Sequence[crypto.RsaKey] = (),
    ) -> None:
        """Take the host key, 96 random bytes in three draws, and the moves from former keys.

        `others` are host keys to show to clients that expect them.
        """
        self._host_key = host_key
        self._moves = moves
        self._others = others
        self._was_asked = False
        self._x25519 = crypto.X25519(random(crypto.X25519_SIZE))
        self._random = random(32)
        self._decoy = random(crypto.KEY_SIZE)

    def receive_question(self, question: bytes) -> bytes:
        """Return the moves from the host key that a client expects to the present one.

        `RemoteProtocolError` for a second question.
        """
        _check_version(question)
        if self._was_asked:
            raise RemoteProtocolError("The client asked twice about former host keys.")
        self._was_asked = True
        expected = host_key_moves.expected_in(question)
        for key in self._others:
            if crypto.equal(crypto.sha256(key.public), expected):
                self._host_key = key
        return host_key_moves.answer(question, self._moves, self._host_key.public)

    def receive_hello(self, hello: bytes) -> bytes:
        """Return server_hello for a client_hello; `VersionMismatchError` asks to send `REFUSAL`."""
        _check_version(hello)
        if len(hello) != _CLIENT_HELLO.size:
            raise RemoteProtocolError("The client's hello has the wrong length.")
        _, _, _, x25519, kem = _CLIENT_HELLO.unpack(hello)
        try:
            shared = self._x25519.exchange(x25519)
            secret, ciphertext = crypto.kem_encapsulate(kem)
        except crypto.CryptoError as error:
            raise RemoteProtocolError(f"The client's hello is invalid: {error}.") from None
        self._secrets = shared + secret
        spki = self._host_key.public
        answer = _SERVER_HELLO.pack(
            MAGIC, PROTOCOL_VERSION, self._random, self._x25519.public, ciphertext, len(spki)
        )
        self._hellos = hello, answer + spki
        return self._hellos[1]

    def receive_key(self, message: bytes) -> tuple[bytes, Channel]:
        """Return server_confirm to send and the channel; `RemoteProtocolError` for wrong keys."""
        if len(message) != _CLIENT_KEY.size:
            raise RemoteProtocolError("The client's key message has the wrong length.")
        sealed, confirm = _CLIENT_KEY.unpack(message)
        try:
            secret = self._host_key.open(sealed)
        except crypto.CryptoError:
            secret = self._decoy
        if len(secret) != crypto.KEY_SIZE:
            secret = self._decoy
        schedule = _Schedule(secret + self._secrets, *self._hellos, sealed)
        if not crypto.equal(confirm, schedule.client_confirm):
            raise RemoteProtocolError("The client could not prove that it has the same keys.")
        return schedule.server_confirm, schedule.channel(client=False)


REFUSAL = _VERSION.pack(MAGIC, PROTOCOL_VERSION)
"""What a server sends in place of its hello to a client of another version: its own version."""


def _check_version(hello: bytes) -> None:
    if len(hello) < _VERSION.size or not hello.startswith(MAGIC):
        raise NotFsdError
    version = _VERSION.unpack_from(hello)[1]
    if version != PROTOCOL_VERSION:
        raise VersionMismatchError(
            f"The other end speaks version {version} of the protocol, "
            f"this program {PROTOCOL_VERSION}."
        )
