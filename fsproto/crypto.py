"""The only module that imports `cryptography`: the primitives of the protocol, under its names.

The project implements no cipher, hash or padding itself, here or elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
import hmac as _hmac

from cryptography.exceptions import InvalidSignature, InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, mlkem, padding, rsa, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from fsproto.limits import RSA_BITS, RSA_EXPONENT

Bytes = bytes | bytearray | memoryview
"""Bytes that are read without a copy."""

TAG_SIZE = 16
NONCE_SIZE = 12
HASH_SIZE = 32
KEY_SIZE = 32
X25519_SIZE = 32
ED25519_SIZE = 32
SIGNATURE_SIZE = 64
KEM_SEED_SIZE = 64
KEM_PUBLIC_SIZE = 1184
KEM_CIPHERTEXT_SIZE = 1088


_MOST_NEEDED = 1 << 20
"""Bytes; more than any one operation takes."""
_PSS = padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size)
_OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)


class CryptoError(Exception):
    """A value did not open, verify or parse; the caller turns this into its own error."""


def _failed(what: str) -> CryptoError | MemoryError:
    """Return the error of a library call that failed; `MemoryError` if too little memory is left.

    OpenSSL needs memory for nearly everything, and without it the library says what it says of a
    wrong signature or of a key of a wrong length. That must not become an alarm.
    """
    try:
        bytearray(_MOST_NEEDED)
    except MemoryError as short:
        return short
    return CryptoError(what)


def sha256(first: Bytes, *more: Bytes) -> bytes:
    """Return SHA-256 of the parts one after the other (32 bytes)."""
    digest = hashlib.sha256(first)
    for part in more:
        digest.update(part)
    return digest.digest()


def hmac_sha256(key: bytes, *parts: bytes) -> bytes:
    """Return HMAC-SHA256 (RFC 2104) of the parts one after the other (32 bytes)."""
    return _hmac.digest(key, b"".join(parts), "sha256")


def equal(a: bytes, b: bytes) -> bool:
    """Compare in constant time."""
    return _hmac.compare_digest(a, b)


def fingerprint(spki: bytes) -> str:
    """Return `SHA256:<base64 without padding>` of a public key's bytes, as OpenSSH does."""
    return as_fingerprint(sha256(spki))


def as_fingerprint(digest: bytes) -> str:
    """Return a SHA-256 (32 bytes) in the form of a fingerprint."""
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def digest_of(fingerprint: str) -> bytes:
    """Return the SHA-256 of a fingerprint; `CryptoError` if the text is not a fingerprint."""
    try:
        digest = base64.b64decode(fingerprint.removeprefix("SHA256:") + "=", validate=True)
    except ValueError:
        raise CryptoError("not a fingerprint") from None
    if len(digest) != HASH_SIZE:
        raise CryptoError("not a fingerprint")
    return digest


def hkdf(ikm: bytes, *, salt: bytes, info: bytes, length: int = KEY_SIZE) -> bytes:
    """Return `length` bytes of HKDF-SHA256 (RFC 5869)."""
    return HKDF(hashes.SHA256(), length, salt, info).derive(ikm)


def hkdf_expand(key: bytes, info: bytes, length: int = KEY_SIZE) -> bytes:
    """Return the second half of HKDF-SHA256 alone, for a `key` (32 bytes) that is uniform."""
    if length <= HASH_SIZE:  # one block: four times as fast as the object, for each entry of a list
        return _hmac.digest(key, info + b"\x01", "sha256")[:length]
    return HKDFExpand(hashes.SHA256(), length, info).derive(key)


def argon2id(passphrase: bytes, *, salt: bytes, passes: int, lanes: int, memory_kib: int) -> bytes:
    """Return a 32-byte key for a passphrase (Argon2id, RFC 9106)."""
    # Its import is paid only where a passphrase is used.
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    return Argon2id(
        salt=salt, length=KEY_SIZE, iterations=passes, lanes=lanes, memory_cost=memory_kib
    ).derive(passphrase)


class Aead:
    """AES-256-GCM under one key (NIST SP 800-38D). Nonces are the caller's duty."""

    def __init__(self, key: bytes) -> None:
        """Take `key`: 32 bytes."""
        if len(key) != KEY_SIZE:
            raise ValueError("an AES-256 key has 32 bytes")
        self._gcm = AESGCM(key)

    def seal(self, nonce: bytes, plaintext: Bytes, associated_data: bytes = b"") -> bytes:
        """Return ciphertext with its 16-byte tag."""
        return self._gcm.encrypt(nonce, plaintext, associated_data)

    def seal_into(
        self, nonce: bytes, plaintext: Bytes, associated_data: bytes, out: bytearray | memoryview
    ) -> int:
        """Seal into `out`, which has the plaintext's length and 16 bytes more; return its length.

        Reused memory is several times as fast as new memory.
        """
        return self._gcm.encrypt_into(nonce, plaintext, associated_data, out)

    def open_into(
        self, nonce: bytes, sealed: Bytes, associated_data: bytes, out: bytearray | memoryview
    ) -> None:
        """Open into `out`, which has exactly the plaintext's length; `CryptoError` as for `open`.

        After an error, the bytes in `out` are unverified and must not be used.
        """
        try:
            self._gcm.decrypt_into(nonce, sealed, associated_data, out)
        except InvalidTag:
            raise _failed("authentication failed") from None

    def open(self, nonce: bytes, sealed: Bytes, associated_data: bytes = b"") -> bytes:
        """Return the plaintext; `CryptoError` if key, nonce, ciphertext or data do not match."""
        try:
            return self._gcm.decrypt(nonce, sealed, associated_data)
        except InvalidTag:
            raise _failed("authentication failed") from None


class SigningKey:
    """An Ed25519 private key (RFC 8032)."""

    def __init__(self, seed: bytes) -> None:
        """Take `seed`: 32 random bytes."""
        self._key = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
        self.seed = seed
        self.public: bytes = self._key.public_key().public_bytes_raw()

    def sign(self, *parts: bytes) -> bytes:
        """Return the 64-byte signature over the parts one after the other."""
        return self._key.sign(b"".join(parts))


_FIELD = 2**255 - 19
_SMALL_ORDER_Y = {
    0,
    1,
    _FIELD - 1,
    0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
    0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
}
"""The y coordinates of the eight points of edwards25519 whose order divides 8."""


def is_signing_key(public: bytes) -> bool:
    """Return whether 32 bytes can be an Ed25519 public key: canonical, and not of small order.

    Under a key of small order, some signatures are valid for every message. Libraries do not
    agree about such keys, nor about encodings with y >= 2^255 - 19.
    """
    if len(public) != ED25519_SIZE:
        return False
    y = int.from_bytes(public, "little") & ((1 << 255) - 1)
    return y < _FIELD and y not in _SMALL_ORDER_Y


def verify(public: bytes, signature: bytes, *parts: bytes) -> None:
    """Raise `CryptoError` unless `signature` is that of `public` (32 bytes) over the parts.

    The signature's S must be below the order of the base point, and the encoding of
    [S]B - [k]A must be exactly its R (RFC 8032 section 5.1.7, without the cofactor).
    """
    if not is_signing_key(public):
        raise CryptoError("not an Ed25519 public key")
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(public).verify(signature, b"".join(parts))
    except (InvalidSignature, ValueError):
        raise _failed("the signature does not verify") from None


class X25519:
    """One end of an X25519 exchange (RFC 7748)."""

    def __init__(self, private: bytes) -> None:
        """Take `private`: 32 random bytes."""
        self._key = x25519.X25519PrivateKey.from_private_bytes(private)
        self.public: bytes = self._key.public_key().public_bytes_raw()

    def exchange(self, peer: bytes) -> bytes:
        """Return the 32-byte shared secret; `CryptoError` for a point of small order."""
        try:
            return self._key.exchange(x25519.X25519PublicKey.from_public_bytes(peer))
        except ValueError:
            raise _failed("not a usable X25519 public key") from None


class KemKey:
    """An ML-KEM-768 private key (FIPS 203)."""

    def __init__(self, seed: bytes) -> None:
        """Take `seed`: 64 random bytes (d then z); `CryptoError` for another length."""
        try:
            self._key = mlkem.MLKEM768PrivateKey.from_seed_bytes(seed)
        except ValueError:
            raise _failed("not an ML-KEM-768 seed") from None
        self.seed = seed
        self.public: bytes = self._key.public_key().public_bytes_raw()

    def decapsulate(self, ciphertext: bytes) -> bytes:
        """Return the 32-byte secret; a ciphertext that was tampered with gives another secret."""
        try:
            return self._key.decapsulate(ciphertext)
        except ValueError:
            raise _failed("not an ML-KEM-768 ciphertext") from None


def kem_encapsulate(public: bytes) -> tuple[bytes, bytes]:
    """Return (32-byte secret, 1,088-byte ciphertext) for `public` (1,184 bytes)."""
    try:
        return mlkem.MLKEM768PublicKey.from_public_bytes(public).encapsulate()
    except ValueError:
        raise _failed("not an ML-KEM-768 public key") from None


def check_kem(public: bytes) -> None:
    """Raise `CryptoError` unless this is an ML-KEM-768 public key (FIPS 203 section 7.2)."""
    try:
        mlkem.MLKEM768PublicKey.from_public_bytes(public)
    except ValueError:
        raise _failed("not an ML-KEM-768 public key") from None


class RsaKey:
    """An RSA-3072 private key: opens what was sealed to it with OAEP-SHA256; signs (RFC 8017)."""

    def __init__(self, der: bytes, *, intact: bool = False) -> None:
        """Take the key as unencrypted PKCS #8 DER; `CryptoError` if it is not an RSA-3072 key.

        With `intact`, the caller knows that this program wrote these bytes. The test that the
        primes are primes, which takes a tenth of a second, is then skipped.
        """
        try:
            key = serialization.load_der_private_key(
                der, None, unsafe_skip_rsa_key_validation=intact
            )
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise _failed("not a private key") from None
        if not isinstance(key, rsa.RSAPrivateKey) or key.key_size != RSA_BITS:
            raise CryptoError("not an RSA-3072 private key")
        self._key = key
        self.der = der
        self.public: bytes = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    @classmethod
    def generate(cls) -> RsaKey:
        """Make a new key, from the operating system's randomness."""
        key = rsa.generate_private_key(RSA_EXPONENT, RSA_BITS)
        return cls(
            key.private_bytes(
                serialization.Encoding.DER,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
            intact=True,
        )

    def open(self, ciphertext: bytes) -> bytes:
        """Return what was sealed; `CryptoError` for anything else."""
        try:
            return self._key.decrypt(ciphertext, _OAEP)
        except ValueError:
            raise _failed("not sealed to this key") from None

    def sign(self, *parts: bytes) -> bytes:
        """Return the 384-byte RSA-PSS signature (SHA-256, salt of 32 bytes) over the parts."""
        return self._key.sign(b"".join(parts), _PSS, hashes.SHA256())


def rsa_verify(spki: bytes, signature: bytes, *parts: bytes) -> None:
    """Raise `CryptoError` unless an RSA-3072 key (SPKI DER) signed the parts, as `RsaKey.sign`."""
    try:
        _rsa_public(spki).verify(signature, b"".join(parts), _PSS, hashes.SHA256())
    except (InvalidSignature, ValueError):
        raise _failed("the signature does not verify") from None


def rsa_seal(spki: bytes, secret: bytes) -> bytes:
    """Return `secret` sealed with OAEP-SHA256 to an RSA-3072 public key (SPKI DER), 384 bytes."""
    try:
        return _rsa_public(spki).encrypt(secret, _OAEP)
    except ValueError:
        raise _failed("not a public key") from None


def check_rsa(spki: bytes) -> None:
    """Raise `CryptoError` unless this is an RSA-3072 public key (SPKI DER) with exponent 65537."""
    _rsa_public(spki)


def _rsa_public(spki: bytes) -> rsa.RSAPublicKey:
    try:
        key = serialization.load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm):
        raise _failed("not a public key") from None
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size != RSA_BITS:
        raise CryptoError("not an RSA-3072 public key")
    encoded = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    if key.public_numbers().e != RSA_EXPONENT or encoded != spki:
        raise CryptoError("not an RSA-3072 public key in its one encoding")
    return key


# --- keys of SSH servers, in OpenSSH's format (PROTOCOL.key)


def ssh_public_key(line: bytes) -> tuple[str, int]:
    """Return kind (`ed25519`, `ecdsa` or `rsa`) and bits of an SSH public key in OpenSSH's format.

    `CryptoError` for anything else, certificates and DSA keys included.
    """
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        key = serialization.load_ssh_public_key(line)
    except (ValueError, UnsupportedAlgorithm):
        raise _failed("not a usable SSH public key") from None
    match key:
        case ed25519.Ed25519PublicKey():
            return "ed25519", 256
        case ec.EllipticCurvePublicKey():
            return "ecdsa", key.key_size
        case rsa.RSAPublicKey():
            return "rsa", key.key_size
    raise CryptoError("another kind of key")


def new_ssh_ed25519() -> bytes:
    """Return a new Ed25519 key of an SSH server, without a passphrase."""
    return _openssh(ed25519.Ed25519PrivateKey.generate())


def new_ssh_rsa() -> bytes:
    """Return a new RSA-3072 key of an SSH server, without a passphrase."""
    return _openssh(rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS))


def ssh_public(private: bytes) -> bytes:
    """Return the public half of such a key as SSH sends it; `CryptoError` if it is none."""
    try:
        key = serialization.load_ssh_private_key(private, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _failed("not a private key of SSH") from None
    line = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return base64.b64decode(line.split()[1])


def _openssh(key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
