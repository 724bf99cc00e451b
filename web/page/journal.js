/**
 * What the browser stores of an upload, so that it goes on after the page was closed: the secrets of the drop, sealed
 * under a key that only the URL (and the password) gives, and the hash of each segment before it is sent.
 */

import { concat, encode, toHex, u64 } from "../lib/bytes.js";
import { Aead, hkdf, sha256 } from "../lib/crypto.js";
import { PrivateFile } from "./private.js";

/** @import { Bytes } from "../lib/bytes.js" */
/** @import { OpenedRequest } from "../lib/request.js" */
/** @import { Drawn, Source } from "../lib/upload.js" */

const LABEL = encode("fs/2 requested drop journal");
const NONCE_SIZE = 12;
const SEALED_SIZE = NONCE_SIZE + 80 + 16; // a drop id, a secret and a salt, and the tag
const LEAF_SIZE = 32;

export class UploadJournal {
  /**
   * @param {PrivateFile} file
   * @param {Aead} aead
   * @param {Bytes} id
   */
  constructor(file, aead, id) {
    this._file = file;
    this._aead = aead;
    this._id = id;
    this._end = 0;
  }

  /**
   * @param {OpenedRequest} request
   * @param {Source} source
   * @returns {Promise<UploadJournal | null>} null if this browser has no place for it, or sends the file in another page
   */
  static async open({ keys }, { name, size, mtimeNs }) {
    const id = await sha256(LABEL, keys.id, u64(size), u64(mtimeNs), encode(name));
    const file = await PrivateFile.open(`send-${toHex(id)}`);
    return file && new UploadJournal(file, await Aead.create(await hkdf(keys.mark, new Uint8Array(0), LABEL)), id);
  }

  /** @returns {Promise<{drawn: Drawn, leaves: Bytes[]} | null>} the upload that was started before */
  async read() {
    const stored = await this._file.read(0, this._file.size);
    const opened = await this._aead.open(stored.subarray(0, NONCE_SIZE), stored.subarray(NONCE_SIZE, SEALED_SIZE), this._id);
    if (opened === null) return null;
    const [drop, secret, salt] = [opened.slice(0, 16), opened.slice(16, 48), opened.slice(48)];
    const leaves = [];
    for (let at = SEALED_SIZE; at + LEAF_SIZE <= stored.length; at += LEAF_SIZE) leaves.push(stored.slice(at, at + LEAF_SIZE));
    this._end = SEALED_SIZE + leaves.length * LEAF_SIZE;
    return { drawn: { drop, secret, salt }, leaves };
  }

  /** @param {Drawn} drawn for a new upload */
  async start({ drop, secret, salt }) {
    const nonce = crypto.getRandomValues(new Uint8Array(NONCE_SIZE));
    await this._file.truncate(0);
    await this._file.write(0, concat(nonce, await this._aead.seal(nonce, concat(drop, secret, salt), this._id)));
    await this._file.flush();
    this._end = SEALED_SIZE;
  }

  /** @param {Bytes[]} leaves of segments that are sent when this has ended, not before */
  async append(leaves) {
    const bytes = concat(...leaves);
    this._end += bytes.length;
    await this._file.write(this._end - bytes.length, bytes);
    await this._file.flush();
  }

  /** Keep it for another attempt. */
  close() {
    return this._file.close();
  }

  remove() {
    return this._file.remove();
  }
}
