/**
 * Public links (docs/protocol.md, section 12): the secret in a URL, what follows from it, and the sealed
 * description of what the link opens.
 */

import { concat, encode, fromBase64url } from "./bytes.js";
import { SealedError, unreadable } from "./errors.js";
import { checkName } from "./names.js";
import { bin, INT, list, TEXT, UINT, unpack } from "./packing.js";
import { openDescriptionOf, require, SECRET_SIZE, urlKeys } from "./secret.js";

/** @import { Bytes } from "./bytes.js" */
/** @import { UrlKeys } from "./secret.js" */

export const FILE = 1;
export const FOLDER = 2;

const MAX_SEALED = 1 << 23;
const MAX_FILES = 32_768;
const MAX_NOTE = 1000;
const MAX_PARTS = 128;
const DESCRIPTION = [
  INT, INT, TEXT, TEXT, list([TEXT, UINT, INT, INT, bin(16), UINT, bin(32), bin(32), bin(32)]), list(TEXT),
];

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

/**
 * Derive the keys of a link. With a password this takes seconds and 64 MiB of memory.
 * @param {Bytes} secret
 * @param {Bytes} [password] from `cleanPassword`, if the link has one
 */
export function linkKeys(secret, password) {
  return urlKeys("public link", secret, password);
}

/**
 * @param {UrlKeys} keys
 * @param {Bytes} sealed what the server sent
 * @returns {Promise<Description>} SealedError if it is not the description of this link
 */
export async function openDescription(keys, sealed) {
  if (sealed.length > MAX_SEALED) throw unreadable("The server sent a description of the link that is too long.");
  const ad = concat(encode("fs/2 public link description"), keys.id);
  return checked(unpack(await openDescriptionOf(keys, sealed, ad, 4), DESCRIPTION));
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
