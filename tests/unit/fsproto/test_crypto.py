"""The cryptographic primitives against the examples of their standards."""

from __future__ import annotations

import hashlib
import resource
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from fsproto import crypto
from fsproto.crypto import CryptoError
from tests.support.confined import in_child
from tests.support.fixed_keys import rsa_key, stretch

h = bytes.fromhex


def test_sha256_is_that_of_fips_180():
    expected = h("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    assert crypto.sha256(b"abc") == crypto.sha256(b"a", b"", memoryview(b"bc")) == expected


def test_hmac_is_that_of_rfc_4231():
    expected = h("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
    assert crypto.hmac_sha256(b"Jefe", b"what do ya want ", b"for nothing?") == expected


def test_hkdf_is_that_of_rfc_5869():
    okm = h("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865")
    prk = h("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5")
    info = h("f0f1f2f3f4f5f6f7f8f9")
    assert crypto.hkdf(b"\x0b" * 22, salt=bytes(range(13)), info=info, length=42) == okm
    assert crypto.hkdf_expand(prk, info, 42) == okm


@pytest.mark.parametrize(
    ("plaintext", "sealed"),
    [
        ("", "530f8afbc74536b9a963b4f1c4cb738b"),
        ("00" * 16, "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"),
    ],
)
def test_aes_256_gcm_is_that_of_its_specification(plaintext: str, sealed: str):
    aead = crypto.Aead(bytes(32))
    assert aead.seal(bytes(12), h(plaintext)) == h(sealed)
    assert aead.open(bytes(12), memoryview(h(sealed))) == h(plaintext)
    out = bytearray(len(h(sealed)))
    assert aead.seal_into(bytes(12), h(plaintext), b"", out) == len(out)
    assert out == h(sealed)
    back = bytearray(len(h(plaintext)))
    aead.open_into(bytes(12), out, b"", back)
    assert back == h(plaintext)


def test_a_key_of_another_length_is_our_own_mistake():
    for length in (0, 16, 31, 33):
        with pytest.raises(ValueError, match="32 bytes"):
            crypto.Aead(bytes(length))


@pytest.mark.parametrize("length", range(17))
def test_too_little_to_hold_a_tag_does_not_open(length: int):
    with pytest.raises(CryptoError):
        crypto.Aead(bytes(32)).open(bytes(12), bytes(length))


def test_what_does_not_open_does_not_open_into_given_memory_either():
    aead = crypto.Aead(bytes(32))
    with pytest.raises(CryptoError):
        aead.open_into(bytes(12), bytes(40), b"", bytearray(24))


def test_ed25519_is_that_of_rfc_8032():
    key = crypto.SigningKey(h("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
    signature = h(
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555"
        "fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )
    assert key.public == h("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    assert key.sign(b"") == key.sign() == signature
    crypto.verify(key.public, signature, b"", b"")


@pytest.mark.parametrize("public", [b"", bytes(31), bytes(32), b"\xff" * 32, bytes(33)])
def test_no_signature_verifies_under_an_invalid_key(public: bytes):
    for signature in (b"", bytes(64), bytes(63), bytes(65)):
        with pytest.raises(CryptoError):
            crypto.verify(public, signature, b"anything")


def test_x25519_is_that_of_rfc_7748():
    alice = crypto.X25519(h("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"))
    bob = crypto.X25519(h("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"))
    shared = h("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")
    assert alice.public == h("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
    assert bob.public == h("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
    assert alice.exchange(bob.public) == bob.exchange(alice.public) == shared


@pytest.mark.parametrize(
    "point",
    [
        "00" * 32,
        "01" + "00" * 31,
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    ],
)
def test_a_point_of_small_order_is_refused(point: str):
    with pytest.raises(CryptoError):
        crypto.X25519(stretch("any key", 32)).exchange(h(point))


def test_a_kem_ciphertext_opens_to_what_was_encapsulated():
    key = crypto.KemKey(stretch("kem", 64))
    secret, ciphertext = crypto.kem_encapsulate(key.public)
    assert (len(key.public), len(ciphertext)) == (1184, 1088)
    assert key.decapsulate(ciphertext) == secret
    assert crypto.KemKey(key.seed).public == key.public


def test_a_changed_kem_ciphertext_gives_another_secret_and_no_error():
    key = crypto.KemKey(stretch("kem", 64))
    secret, ciphertext = crypto.kem_encapsulate(key.public)
    changed = bytes([ciphertext[0] ^ 1]) + ciphertext[1:]
    # FIPS 203 section 6.3: the secret is derived from the seed's second half and the ciphertext.
    rejected = hashlib.shake_256(key.seed[32:] + changed).digest(32)
    assert key.decapsulate(changed) == rejected != secret


@pytest.mark.parametrize("length", [0, 1087, 1089, 1184])
def test_a_kem_ciphertext_or_key_of_another_length_is_refused(length: int):
    key = crypto.KemKey(stretch("kem", 64))
    with pytest.raises(CryptoError):
        key.decapsulate(bytes(length))
    with pytest.raises(CryptoError):
        crypto.kem_encapsulate(key.public + b"\0" if length == 1184 else bytes(length))


def test_a_kem_key_with_a_number_out_of_range_is_refused():
    key = crypto.KemKey(stretch("kem", 64))
    with pytest.raises(CryptoError):
        crypto.kem_encapsulate(b"\xff\xff\xff" + key.public[3:])


def test_rsa_is_oaep_with_sha256_throughout():
    key = rsa_key("host")
    plain = serialization.load_der_private_key(key.der, None)
    assert isinstance(plain, rsa.RSAPrivateKey)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    assert plain.decrypt(crypto.rsa_seal(key.public, b"secret"), oaep) == b"secret"
    assert key.open(plain.public_key().encrypt(b"secret", oaep)) == b"secret"
    sha1 = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
    with pytest.raises(CryptoError):
        key.open(plain.public_key().encrypt(b"secret", sha1))


@pytest.mark.parametrize("length", [0, 1, 383, 384, 385])
def test_what_was_not_sealed_to_an_rsa_key_does_not_open(length: int):
    with pytest.raises(CryptoError):
        rsa_key("host").open(b"\x01" * length)


def _der(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> tuple[bytes, bytes]:
    private = key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private, public


@pytest.mark.parametrize("kind", ["smaller", "elliptic"])
def test_keys_of_another_kind_or_size_are_refused(kind: str):
    key = (
        rsa.generate_private_key(65537, 1024)
        if kind == "smaller"
        else ec.generate_private_key(ec.SECP256R1())
    )
    private, public = _der(key)
    with pytest.raises(CryptoError):
        crypto.RsaKey(private)
    with pytest.raises(CryptoError):
        crypto.rsa_seal(public, b"secret")


RSA_OID = h("06092a864886f70d010101")


@pytest.mark.parametrize("at", range(2, len(RSA_OID)))
def test_a_key_of_an_unknown_algorithm_is_refused(at: int):
    key = rsa_key("host")
    other = bytearray(RSA_OID)
    other[at] ^= 2
    with pytest.raises(CryptoError):
        crypto.RsaKey(key.der.replace(RSA_OID, other))
    with pytest.raises(CryptoError):
        crypto.rsa_seal(key.public.replace(RSA_OID, other), b"secret")


@pytest.mark.parametrize("damaged", [b"", b"\x30", b"not a key"])
def test_an_invalid_rsa_key_is_refused(damaged: bytes):
    with pytest.raises(CryptoError):
        crypto.RsaKey(damaged)
    with pytest.raises(CryptoError):
        crypto.rsa_seal(damaged, b"secret")


def test_a_modulus_that_no_key_has_is_refused():
    spki = bytearray(rsa_key("host").public)
    spki[-6] ^= 1  # makes the modulus even
    with pytest.raises(CryptoError):
        crypto.rsa_seal(bytes(spki), b"secret")


def test_argon2id_is_that_of_the_reference_implementation():
    expected = h("9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe")
    derived = crypto.argon2id(b"password", salt=b"somesalt", passes=2, lanes=1, memory_kib=256)
    assert derived == expected


def test_a_fingerprint_is_written_as_openssh_does():
    assert crypto.fingerprint(b"") == "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"


def without_memory(act: Callable[[], object]) -> str:
    """Return the name of the error of `act` when no more memory can be had; empty: none."""
    vm_data = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if "VmData" in line
    )
    used = int(vm_data.split()[1]) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (used, used))
    held, size = [], 1 << 20
    while size >= 16:
        try:
            held.append(bytearray(size))
        except MemoryError:
            size //= 2
    try:
        act()
    except Exception as error:  # noqa: BLE001 - compared by the test
        name = type(error).__name__
        held.clear()
        return name
    return ""


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA covers all memory on Linux alone")
def test_a_lack_of_memory_is_not_said_to_be_a_wrong_key():
    seed = bytes(range(crypto.KEM_SEED_SIZE))
    public = crypto.KemKey(seed).public
    acts: list[Callable[[], object]] = [
        lambda: crypto.KemKey(seed),
        lambda: crypto.check_kem(public),
        lambda: crypto.kem_encapsulate(public),
    ]
    found = [in_child(lambda: None, partial(without_memory, act)) for act in acts]
    assert found == ["MemoryError"] * len(acts)


def test_a_kem_seed_of_another_length_is_refused():
    for length in (0, 63, 65):
        with pytest.raises(crypto.CryptoError):
            crypto.KemKey(bytes(length))
