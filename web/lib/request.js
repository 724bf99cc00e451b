/**
 * Request links (docs/protocol.md, section 13): whose keys a URL names, and the sealing of files to them.
 *
 * The hash of the owner's public keys is in the URL, so that no server can have a file sealed to other keys.
 */

import { concat, encode, equal, fromBase64url, u64 } from "./bytes.js";
import { Aead, expand, hkdf, sha256 } from "./crypto.js";
import { damaged, SealedError, unreadable } from "./errors.js";
import { cleanName } from "./names.js";
import { bin, BOOL, INT, orNil, pack, TEXT, UINT, unpack } from "./packing.js";
import { openDescriptionOf, padded, require, SECRET_SIZE, urlKeys } from "./secret.js";
import { sealedSize, StreamSealer } from "./stream.js";
import { PublicKeys } from "./wrapping.js";

/** @import { Bytes } from "./bytes.js" */
/** @import { UrlKeys } from "./secret.js" */

const HASH_SIZE = 32;
const MAX_SEALED = 8192;
const MAX_NOTE = 1000;
const MAX_FILES = (1n << 31n) - 1n;
const MAX_NAME = 1024;
const MAX_PARTS = 32;
export const MAX_SENDER = 255;
const USER = /^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/;
const DESCRIPTION = [INT, TEXT, bin(), orNil(UINT), orNil(INT), orNil(UINT)];
const BUNDLE = [INT, TEXT, UINT, bin(), bin(), bin(), UINT];
const UPLOAD_STATE = [bin(), UINT, BOOL];
const MAX_TICKET = 64;

/**
 * @typedef {UrlKeys & {mark: Bytes, bundle: Bytes}} RequestKeys `mark`: 32 bytes that enter the keys of each drop;
 *   `bundle`: the hash in the URL
 */

/**
 * @typedef {object} OpenedRequest
 * @property {RequestKeys} keys
 * @property {string} owner their user name
 * @property {PublicKeys} to the owner's keys
 * @property {string} note of the owner; may be empty
 * @property {bigint | null} expiresMs
 * @property {bigint | null} maxFiles
 * @property {bigint | null} maxBytes of all files together
 */

/**
 * @param {string} fragment the part of a request link after the `#`
 * @returns {{secret: Bytes, bundle: Bytes} | null} null if the fragment was cut or changed
 */
export function requestIn(fragment) {
  const both = fromBase64url(fragment);
  if (both?.length !== SECRET_SIZE + HASH_SIZE) return null;
  return { secret: both.slice(0, SECRET_SIZE), bundle: both.slice(SECRET_SIZE) };
}

/**
 * @param {{secret: Bytes, bundle: Bytes}} url from `requestIn`
 * @param {Bytes} [password] from `cleanPassword`, if the URL has one
 * @returns {Promise<RequestKeys>}
 */
export async function requestKeys({ secret, bundle }, password) {
  const keys = await urlKeys("request link", secret, password);
  return { ...keys, mark: await expand(keys.base, encode("fs/2 request link mark"), 32), bundle };
}

/**
 * @param {RequestKeys} keys
 * @param {Bytes} sealed what the server sent
 * @returns {Promise<OpenedRequest>} SealedError if it is not the description of this request link
 */
export async function openRequest(keys, sealed) {
  if (sealed.length > MAX_SEALED) throw unreadable("The server sent a description of the link that is too long.");
  const ad = concat(encode("fs/2 request link description"), keys.id, keys.bundle);
  const packed = await openDescriptionOf(keys, sealed, ad, 2);
  const [format, note, bundle, expiresMs, maxFiles, maxBytes] = unpack(packed, DESCRIPTION);
  require(format === 1n, "The link was made by a newer version.");
  require([...note].length <= MAX_NOTE, "The note of the link is too long.");
  require(maxFiles === null || (maxFiles >= 1n && maxFiles <= MAX_FILES), "The link has a limit that cannot be.");
  require(maxBytes === null || maxBytes >= 1n, "The link has a limit that cannot be.");
  if (!equal(await sha256(encode("fs/2 bundle hash"), bundle), keys.bundle)) {
    throw damaged("The server sent other public keys than the link names.");
  }
  const [bundleFormat, owner, version, , rsa, kem] = unpack(bundle, BUNDLE);
  require(bundleFormat === 1n && USER.test(owner) && version >= 1n, "The public keys of the owner are malformed.");
  return { keys, owner, to: await PublicKeys.create(rsa, kem), note, expiresMs, maxFiles, maxBytes };
}

/**
 * @param {string} name of a file as the browser has it, perhaps with folders before it
 * @returns {string} the name of its drop; SealedError `invalid-name` if no drop can have it
 */
export function dropName(name) {
  const parts = name.split("/").map(cleanName);
  const clean = parts.join("/");
  if (parts.length > MAX_PARTS || encode(clean).length > MAX_NAME) {
    throw new SealedError("invalid-name", "The name is too long.");
  }
  return clean;
}

/**
 * @param {Bytes} request the id of the request link
 * @param {Bytes} secret of the drop
 * @param {Bytes} mark
 * @returns {Promise<{fileKey: Bytes, noteKey: Bytes}>}
 */
export async function dropKeys(request, secret, mark) {
  const both = await hkdf(concat(secret, mark), request, encode("fs/2 requested drop keys"), 64);
  return { fileKey: both.slice(0, 32), noteKey: both.slice(32) };
}

/** One file that is sealed for the owner of a request link, for one pass over one source. */
export class NewDrop {
  /**
   * @param {OpenedRequest} request
   * @param {{drop: Bytes, secret: Bytes, salt: Bytes}} drawn
   * @param {StreamSealer} sealer
   * @param {Bytes} noteKey
   */
  constructor(request, drawn, sealer, noteKey) {
    this._request = request;
    this.drawn = drawn;
    this._noteKey = noteKey;
    this.sealer = sealer;
  }

  /**
   * @param {OpenedRequest} request
   * @param {{drop: Bytes, secret: Bytes, salt: Bytes}} [drawn] 16, 32 and 32 random bytes, new for each file
   */
  static async create(request, drawn = { drop: random(16), secret: random(32), salt: random(32) }) {
    const { fileKey, noteKey } = await dropKeys(request.keys.id, drawn.secret, request.keys.mark);
    const ad = concat(encode("fs/2 drop content"), drawn.drop);
    return new NewDrop(request, drawn, await StreamSealer.create(fileKey, ad, drawn.salt), noteKey);
  }

  get id() {
    return this.drawn.drop;
  }

  get salt() {
    return this.drawn.salt;
  }

  /** @returns {Promise<Bytes>} the secret of the drop, sealed to the owner */
  wrapped() {
    const { keys, owner, to } = this._request;
    const info = concat(encode("fs/2 wrap requested drop to person"), keys.id, this.id, encode(owner));
    return to.seal(this.drawn.secret, keys.bundle, info);
  }

  /**
   * Seal the note. The key seals one note under one nonce: keep the result for a repetition.
   * @param {Bytes} root of the sealed content
   * @param {{name: string, size: number, mtimeNs: bigint, sender: string}} about the file
   * @param {Bytes} [nonce] 12 bytes
   */
  async note(root, { name, size, mtimeNs, sender }, nonce = random(12)) {
    const packed = pack([1, name, size, mtimeNs, sender]);
    const filled = new Uint8Array(padded(2 + packed.length));
    new DataView(filled.buffer).setUint16(0, packed.length);
    filled.set(packed, 2);
    const { keys } = this._request;
    const ad = concat(encode("fs/2 requested drop note"), keys.id, this.id, this.salt, root, u64(sealedSize(size)));
    return concat(nonce, await (await Aead.create(this._noteKey)).seal(nonce, filled, ad));
  }
}

/** @param {Bytes} drop @param {Bytes} salt @param {number} size of the sealed content */
export function startUpload(drop, salt, size) {
  return pack([drop, salt, size]);
}

/** @param {Bytes} root @param {Bytes} wrapped @param {Bytes} note */
export function finishUpload(root, wrapped, note) {
  return pack([root, wrapped, note]);
}

/**
 * @param {Bytes} body an answer
 * @returns {{ticket: Bytes, segments: number, finished: boolean}}
 */
export function uploadState(body) {
  const [ticket, segments, finished] = unpack(body, UPLOAD_STATE);
  require(ticket.length <= MAX_TICKET, "The server's answer is malformed.");
  return { ticket, segments: Number(segments), finished };
}

/** @param {number} size @returns {Bytes} */
function random(size) {
  return crypto.getRandomValues(new Uint8Array(size));
}
