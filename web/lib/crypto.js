/**
 * The primitives, all from WebCrypto: SHA-256, HKDF-SHA256 (RFC 5869), AES-256-GCM.
 *
 * WebCrypto is absent on pages that came over plain HTTP, except from this machine.
 */

import { concat } from "./bytes.js";

/** @import { Bytes } from "./bytes.js" */

export const TAG_SIZE = 16;

const subtle = globalThis.crypto?.subtle;

/** @returns {boolean} whether this browser has the primitives on this page */
export function isAvailable() {
  return subtle !== undefined;
}

/**
 * @param {...Bytes} parts
 * @returns {Promise<Bytes>} 32 bytes
 */
export async function sha256(...parts) {
  return new Uint8Array(await subtle.digest("SHA-256", parts.length === 1 ? parts[0] : concat(...parts)));
}

/**
 * @param {Bytes} key
 * @param {Bytes} data
 */
async function hmac(key, data) {
  const made = await subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return new Uint8Array(await subtle.sign("HMAC", made, data));
}

/**
 * Both steps of HKDF.
 * @param {Bytes} ikm
 * @param {Bytes} salt
 * @param {Bytes} info
 * @param {number} [length] in bytes
 */
export async function hkdf(ikm, salt, info, length = 32) {
  const key = await subtle.importKey("raw", ikm, "HKDF", false, ["deriveBits"]);
  const bits = await subtle.deriveBits({ name: "HKDF", hash: "SHA-256", salt, info }, key, length * 8);
  return new Uint8Array(bits);
}

/**
 * The second step of HKDF alone, which WebCrypto does not offer.
 * @param {Bytes} key
 * @param {Bytes} info
 * @param {number} length in bytes, at most 255 * 32
 */
export async function expand(key, info, length) {
  let block = new Uint8Array(0);
  let out = new Uint8Array(0);
  for (let i = 1; out.length < length; i++) {
    block = await hmac(key, concat(block, info, Uint8Array.of(i)));
    out = concat(out, block);
  }
  return out.subarray(0, length);
}

/** AES-256-GCM under one key. */
export class Aead {
  /** @param {CryptoKey} key */
  constructor(key) {
    this._key = key;
  }

  /** @param {Bytes} key 32 bytes */
  static async create(key) {
    return new Aead(await subtle.importKey("raw", key, "AES-GCM", false, ["encrypt", "decrypt"]));
  }

  /**
   * @param {Bytes} nonce 12 bytes, which this key has not sealed anything with
   * @param {Bytes} plaintext
   * @param {Bytes} [ad] associated data
   * @returns {Promise<Bytes>} the ciphertext and its tag
   */
  async seal(nonce, plaintext, ad = new Uint8Array(0)) {
    const how = { name: "AES-GCM", iv: nonce, additionalData: ad };
    return new Uint8Array(await subtle.encrypt(how, this._key, plaintext));
  }

  /**
   * @param {Bytes} nonce
   * @param {Bytes} sealed
   * @param {Bytes} [ad]
   * @returns {Promise<Bytes | null>} the plaintext; null if anything is not as it was sealed
   */
  async open(nonce, sealed, ad = new Uint8Array(0)) {
    if (sealed.length < TAG_SIZE) return null;
    try {
      const how = { name: "AES-GCM", iv: nonce, additionalData: ad };
      return new Uint8Array(await subtle.decrypt(how, this._key, sealed));
    } catch (error) {
      if (error instanceof DOMException && error.name === "OperationError") return null;
      throw error;
    }
  }
}
