/**
 * Sealing a short secret to the public keys of a person (docs/protocol.md, section 7): to RSA-3072 and to ML-KEM-768.
 *
 * WebCrypto has RSA-OAEP everywhere, and ML-KEM in newer browsers. A library does the latter elsewhere.
 */

import { createMlKem768 } from "../vendor/mlkem/src/mlKem768Impl.js";
import { concat } from "./bytes.js";
import { Aead, hkdf } from "./crypto.js";
import { unreadable } from "./errors.js";

/** @import { Bytes } from "./bytes.js" */

const NONCE = new Uint8Array(12); // the key is new for each sealing
const KEM_PUBLIC_SIZE = 1184;
const KEM = { name: "ML-KEM-768" };

/** Public keys to seal to, which were checked. */
export class PublicKeys {
  /**
   * @param {CryptoKey} rsa
   * @param {Bytes} kem
   */
  constructor(rsa, kem) {
    this._rsa = rsa;
    this._kem = kem;
  }

  /**
   * @param {Bytes} rsa SubjectPublicKeyInfo in DER: RSA-3072 with the exponent 65,537
   * @param {Bytes} kem 1,184 bytes
   * @returns {Promise<PublicKeys>} SealedError `protocol` if the keys cannot be used
   */
  static async create(rsa, kem) {
    const imported = await crypto.subtle.importKey("spki", rsa, { name: "RSA-OAEP", hash: "SHA-256" }, false, ["encrypt"])
      .catch(() => null);
    const { modulusLength, publicExponent } = /** @type {any} */ (imported?.algorithm ?? {});
    if (imported === null || modulusLength !== 3072 || String(publicExponent) !== "1,0,1" || kem.length !== KEM_PUBLIC_SIZE) {
      throw unreadable("The public keys of the owner cannot be used.");
    }
    return new PublicKeys(imported, kem);
  }

  /**
   * @param {Bytes} what a short secret
   * @param {Bytes} salt the hash of the person's bundle
   * @param {Bytes} info what the result is bound to; it starts with a label
   * @returns {Promise<Bytes>}
   */
  async seal(what, salt, info) {
    const secret = crypto.getRandomValues(new Uint8Array(32));
    const [sealed, [ciphertext, shared]] = await Promise.all([
      crypto.subtle.encrypt("RSA-OAEP", this._rsa, secret), encapsulated(this._kem),
    ]);
    const aead = await Aead.create(await hkdf(concat(secret, shared), salt, info));
    return concat(new Uint8Array(sealed), ciphertext, await aead.seal(NONCE, what));
  }
}

/**
 * @param {Bytes} key
 * @returns {Promise<[Bytes, Bytes]>} a ciphertext, and the secret in it
 */
async function encapsulated(key) {
  try {
    return (await byWebCrypto(key)) ?? (await byLibrary(key));
  } catch {
    throw unreadable("The public keys of the owner cannot be used."); // such a key encodes numbers that are too large
  }
}

/**
 * @param {Bytes} key
 * @returns {Promise<[Bytes, Bytes] | null>} null if this browser does not have ML-KEM
 */
export async function byWebCrypto(key) {
  const subtle = /** @type {any} */ (crypto.subtle); // Web Cryptography: Modern Algorithms, a draft of 2025
  if (subtle.encapsulateBits === undefined) return null;
  const imported = await subtle.importKey("raw-public", key, KEM, false, ["encapsulateBits"]).catch((/** @type {any} */ error) => {
    if (error?.name === "NotSupportedError") return null;
    throw error;
  });
  if (imported === null) return null;
  const { sharedKey, ciphertext } = await subtle.encapsulateBits(KEM, imported);
  return [new Uint8Array(ciphertext), new Uint8Array(sharedKey)];
}

/**
 * @param {Bytes} key
 * @returns {Promise<[Bytes, Bytes]>}
 */
export async function byLibrary(key) {
  const [ciphertext, shared] = (await createMlKem768()).encap(key);
  return [new Uint8Array(ciphertext), new Uint8Array(shared)];
}
