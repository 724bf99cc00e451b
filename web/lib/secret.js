/** What public links and request links have in common: secrets in URLs, passwords, one sealed description. */

import { argon2idAsync } from "../vendor/noble-hashes/argon2.js";
import { concat, encode, equal } from "./bytes.js";
import { Aead, expand, hkdf } from "./crypto.js";
import { damaged, unreadable } from "./errors.js";

/** @import { Bytes } from "./bytes.js" */

export const SECRET_SIZE = 32;
const MAX_PASSWORD = 1024;
const PADDED_TO = 128;
const NONCE = new Uint8Array(12); // a key seals one description, once
const NO_BYTES = new Uint8Array(0);

/**
 * @typedef {object} UrlKeys
 * @property {Bytes} id 16 bytes by which the server knows the URL
 * @property {Bytes} shown 48 bytes: what a person sends to show that they have the URL and the password
 * @property {Bytes} key 32 bytes that open the description
 * @property {Bytes} commitment 32 bytes that commit to the key
 * @property {Bytes} base 32 bytes from which further keys are derived
 */

/** @param {Bytes} secret */
export function hasPassword(secret) {
  return secret[0] >= 0x80;
}

/**
 * @param {string} typed
 * @returns {Bytes | null} the password as it is used; null if no URL can have it
 */
export function cleanPassword(typed) {
  const cleaned = encode(typed.normalize("NFC").replace(/^[ \t\n\r]+|[ \t\n\r]+$/g, ""));
  return cleaned.length >= 1 && cleaned.length <= MAX_PASSWORD ? cleaned : null;
}

/**
 * Derive the keys of a URL. With a password this takes seconds and 64 MiB of memory.
 * @param {"public link" | "request link"} kind the start of the labels
 * @param {Bytes} secret 32 bytes
 * @param {Bytes} [password] from `cleanPassword`, if the URL has one
 * @returns {Promise<UrlKeys>}
 */
export async function urlKeys(kind, secret, password = NO_BYTES) {
  /** @param {string} name */
  const label = (name) => encode(`fs/2 ${kind} ${name}`);
  let base = secret;
  if (hasPassword(secret)) {
    const salt = await expand(secret, label("salt"), 16);
    const slow = await argon2idAsync(password, salt, { t: 3, p: 4, m: 65_536, dkLen: 32, version: 0x13 });
    base = await hkdf(concat(secret, new Uint8Array(slow)), NO_BYTES, label("password"));
  }
  const [id, access, proof, both] = await Promise.all([
    expand(secret, label("id"), 16),
    expand(secret, label("access"), 16),
    expand(base, label("proof"), 32),
    expand(base, label("key"), 64),
  ]);
  return { id, shown: concat(access, proof), key: both.subarray(0, 32), commitment: both.subarray(32), base };
}

/**
 * Open the description of a URL.
 * @param {UrlKeys} keys
 * @param {Bytes} sealed what the server sent
 * @param {Bytes} ad associated data
 * @param {number} lengthSize bytes of the length before the packed value
 * @returns {Promise<Bytes>} the packed value
 */
export async function openDescriptionOf(keys, sealed, ad, lengthSize) {
  const isOurs = equal(sealed.subarray(0, 32), keys.commitment);
  const filled = isOurs ? await (await Aead.create(keys.key)).open(NONCE, sealed.subarray(32), ad) : null;
  if (filled === null) throw damaged("The server sent something else than what this link was made for.");
  let length = filled.length < lengthSize ? -1 : 0;
  for (let i = 0; i < lengthSize && length >= 0; i++) length = length * 256 + filled[i];
  const end = lengthSize + length;
  if (length < 0 || filled.length !== padded(end) || filled.subarray(end).some((byte) => byte !== 0)) {
    throw unreadable("The description of the link has a wrong padding.");
  }
  return filled.subarray(lengthSize, end);
}

/** @param {number} length */
export function padded(length) {
  return Math.ceil(length / PADDED_TO) * PADDED_TO;
}

/**
 * @param {unknown} isSo
 * @param {string} otherwise
 */
export function require(isSo, otherwise) {
  if (!isSo) throw unreadable(otherwise);
}
