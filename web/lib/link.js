/**
 * Public links (docs/protocol.md, section 12): the secret in a URL, what follows from it, and the sealed
 * description of what the link opens.
 */

import { argon2idAsync } from "../vendor/noble-hashes/argon2.js";
import { concat, encode, equal, fromBase64url } from "./bytes.js";
import { Aead, expand, hkdf } from "./crypto.js";
import { damaged, SealedError, unreadable } from "./errors.js";
import { checkName } from "./names.js";
import { bin, INT, list, TEXT, UINT, unpack } from "./packing.js";

/** @import { Bytes } from "./bytes.js" */

export const FILE = 1;
export const FOLDER = 2;

const SECRET_SIZE = 32;
const MAX_SEALED = 1 << 23;
const MAX_FILES = 32_768;
const MAX_NOTE = 1000;
const MAX_PASSWORD = 1024;
const MAX_PARTS = 128;
const PADDED_TO = 128;
const NONCE = new Uint8Array(12); // a key seals one description, once
const NO_BYTES = new Uint8Array(0);
const DESCRIPTION = [
  INT, INT, TEXT, TEXT, list([TEXT, UINT, INT, INT, bin(16), UINT, bin(32), bin(32), bin(32)]), list(TEXT),
];

/**
 * @typedef {object} LinkKeys
 * @property {Bytes} link 16 bytes: the id by which the server knows the link
 * @property {Bytes} shown 48 bytes: what the receiver sends to show that they have the URL and the password
 * @property {Bytes} key 32 bytes that open the description
 * @property {Bytes} commitment 32 bytes that commit to the key
 */

/**
 * @typedef {object} LinkedFile
 * @property {string} path its name; in a folder, the names below it, joined by `/`
 * @property {number} size of the plaintext in bytes
 * @property {bigint} mtimeNs
 * @property {boolean} executable
 * @property {Bytes} node
 * @property {bigint} version
 * @property {Bytes} salt
 * @property {Bytes} root
 * @property {Bytes} fileKey
 */

/**
 * @typedef {object} Description
 * @property {1 | 2} kind FILE or FOLDER
 * @property {string} name
 * @property {string} note of the owner for the receiver; may be empty
 * @property {LinkedFile[]} files
 * @property {string[]} folders paths of the folders without files
 */

/**
 * @param {string} fragment the part of a link after the `#`
 * @returns {Bytes | null} the secret; null if the fragment was cut or changed
 */
export function secretIn(fragment) {
  const secret = fromBase64url(fragment);
  return secret?.length === SECRET_SIZE ? secret : null;
}

/** @param {Bytes} secret */
export function hasPassword(secret) {
  return secret[0] >= 0x80;
}

/**
 * @param {string} typed
 * @returns {Bytes | null} the password as it is used; null if no link can have it
 */
export function cleanPassword(typed) {
  const cleaned = encode(typed.normalize("NFC").replace(/^[ \t\n\r]+|[ \t\n\r]+$/g, ""));
  return cleaned.length >= 1 && cleaned.length <= MAX_PASSWORD ? cleaned : null;
}

/**
 * Derive the keys of a link. With a password this takes seconds and 64 MiB of memory.
 * @param {Bytes} secret
 * @param {Bytes} [password] from `cleanPassword`, if the link has one
 * @returns {Promise<LinkKeys>}
 */
export async function linkKeys(secret, password = NO_BYTES) {
  const base = hasPassword(secret) ? await stretched(secret, password) : secret;
  const [link, access, proof, both] = await Promise.all([
    expand(secret, encode("fs/2 public link id"), 16),
    expand(secret, encode("fs/2 public link access"), 16),
    expand(base, encode("fs/2 public link proof"), 32),
    expand(base, encode("fs/2 public link key"), 64),
  ]);
  return { link, shown: concat(access, proof), key: both.subarray(0, 32), commitment: both.subarray(32) };
}

/**
 * @param {Bytes} secret
 * @param {Bytes} password
 */
async function stretched(secret, password) {
  const salt = await expand(secret, encode("fs/2 public link salt"), 16);
  const slow = await argon2idAsync(password, salt, { t: 3, p: 4, m: 65_536, dkLen: 32, version: 0x13 });
  return hkdf(concat(secret, new Uint8Array(slow)), NO_BYTES, encode("fs/2 public link password"));
}

/**
 * @param {LinkKeys} keys
 * @param {Bytes} sealed what the server sent
 * @returns {Promise<Description>} SealedError if it is not the description of this link
 */
export async function openDescription(keys, sealed) {
  if (sealed.length > MAX_SEALED) throw unreadable("The server sent a description of the link that is too long.");
  const aead = await Aead.create(keys.key);
  const ad = concat(encode("fs/2 public link description"), keys.link);
  const filled = equal(sealed.subarray(0, 32), keys.commitment) ? await aead.open(NONCE, sealed.subarray(32), ad) : null;
  if (filled === null) throw damaged("The server sent something else than what this link was made for.");
  return checked(unpack(packedIn(filled), DESCRIPTION));
}

/** @param {Bytes} filled */
function packedIn(filled) {
  const length = filled.length < 4 ? -1 : new DataView(filled.buffer, filled.byteOffset).getUint32(0);
  const total = Math.ceil((4 + length) / PADDED_TO) * PADDED_TO;
  if (length < 0 || filled.length !== total || filled.subarray(4 + length).some((byte) => byte !== 0)) {
    throw unreadable("The description of the link has a wrong padding.");
  }
  return filled.subarray(4, 4 + length);
}

/**
 * @param {any[]} fields
 * @returns {Description}
 */
function checked([format, kind, name, note, packedFiles, folders]) {
  require(format === 1n, "The link was made by a newer version.");
  require(kind === 1n || kind === 2n, "The description of the link is malformed.");
  require([...note].length <= MAX_NOTE, "The note of the link is too long.");
  require(packedFiles.length <= MAX_FILES && folders.length <= MAX_FILES, "The link has too many files.");
  checkReceived(name);
  const files = packedFiles.map(linkedFile);
  if (kind === 1n) {
    require(files.length === 1 && files[0].path === name && folders.length === 0,
      "The link of a file describes something else than one file.");
  } else {
    checkPaths(files.map((/** @type {LinkedFile} */ file) => file.path), folders);
  }
  return { kind: kind === 1n ? FILE : FOLDER, name, note, files, folders };
}

/**
 * @param {any[]} fields
 * @returns {LinkedFile}
 */
function linkedFile([path, size, mtimeNs, mode, node, version, salt, root, fileKey]) {
  require(size <= BigInt(Number.MAX_SAFE_INTEGER) && version >= 1n && (mode === 0n || mode === 1n),
    "The description of the link is malformed.");
  return { path, size: Number(size), mtimeNs, executable: mode === 1n, node, version, salt, root, fileKey };
}

/**
 * @param {string[]} files
 * @param {string[]} folders
 */
function checkPaths(files, folders) {
  for (const paths of [files, folders]) {
    require(paths.every((path, i) => i === 0 || isBefore(encode(paths[i - 1]), encode(path))),
      "The description of the link names a file twice.");
  }
  const above = new Set();
  for (const path of [...files, ...folders]) {
    const parts = path.split("/");
    require(parts.length <= MAX_PARTS, "The description of the link has a path that is too long.");
    parts.forEach(checkReceived);
    for (let end = parts.length - 1; end > 0; end--) above.add(parts.slice(0, end).join("/"));
  }
  const asFolder = new Set(folders);
  require(files.every((path) => !above.has(path) && !asFolder.has(path)) && !folders.some((path) => above.has(path)),
    "The description of the link has a file that is also a folder.");
}

/** @param {string} name */
function checkReceived(name) {
  try {
    checkName(name);
  } catch (error) {
    throw error instanceof SealedError ? unreadable(error.message) : error;
  }
}

/**
 * @param {Bytes} one
 * @param {Bytes} other
 * @returns {boolean} whether one comes before the other, byte by byte
 */
function isBefore(one, other) {
  const length = Math.min(one.length, other.length);
  for (let i = 0; i < length; i++) if (one[i] !== other[i]) return one[i] < other[i];
  return one.length < other.length;
}

/**
 * @param {unknown} isSo
 * @param {string} otherwise
 */
function require(isSo, otherwise) {
  if (!isSo) throw unreadable(otherwise);
}

