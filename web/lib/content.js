/**
 * Opens one sealed file from chunks of any size, as they arrive from a server. It does no input or output.
 *
 * Plaintext comes out segment by segment, some segments behind what arrived: the browser verifies and opens several
 * at a time. It is verified as far as it goes, but only `finish` says that the file is whole: give the file its name
 * after that.
 */

import { concat, equal, u64 } from "./bytes.js";
import { sha256 } from "./crypto.js";
import { damaged } from "./errors.js";
import * as integrity from "./integrity.js";
import { contentAd, HEADER_SIZE, SEGMENT_SIZE, sealedSize, segmentCount, StreamOpener, StreamSealer } from "./stream.js";

/** @import { Bytes } from "./bytes.js" */

/**
 * @typedef {object} Content
 * @property {number} size of the plaintext in bytes
 * @property {Bytes} node 16 bytes
 * @property {bigint} version
 * @property {Bytes} salt 32 bytes
 * @property {Bytes} root 32 bytes
 * @property {Bytes} fileKey 32 bytes
 */

const AHEAD = 4; // segments that are opened at the same time

const PREFIX_SIZE = 40;

export class ContentOpener {
  /** @param {Content} content */
  constructor(content) {
    this._content = content;
    this._size = sealedSize(content.size);
    this._count = segmentCount(content.size);
    /** @type {StreamOpener | null} */
    this._opener = null;
    /** @type {StreamSealer | null} for kept segments */
    this._sealer = null;
    /** @type {Bytes[]} */
    this._leaves = [];
    /** @type {Promise<Bytes>[]} the plaintext of segments that have arrived */
    this._opening = [];
    this._arrived = 0; // segments
    // What a leaf is the hash of: a salt, the number of a segment, and the segment, which arrives in pieces.
    this._leaf = concat(content.salt, u64(0), new Uint8Array(Math.min(SEGMENT_SIZE, this._size)));
    this._held = 0; // bytes of the next segment
  }

  /** The offset in the blob of the next byte that is needed: where an interrupted download goes on. */
  get position() {
    return this._arrived * SEGMENT_SIZE + this._held;
  }

  /**
   * Forget the part of a segment that has arrived, before a download goes on at `position`.
   * @returns {Promise<Bytes[]>} the plaintext of the segments before it that was not returned yet
   */
  restart() {
    this._held = 0;
    return this._rest();
  }

  /**
   * Take a segment that was opened and stored before. It is sealed again, and `finish` verifies it with all others.
   * The result is only hashed: nothing else may leave this object, because the stored bytes may have been changed.
   * @param {Bytes} plaintext of the next segment, before any `push`
   */
  async keep(plaintext) {
    const { fileKey, node, version, salt } = this._content;
    const [index, ad] = [this._arrived, contentAd(node, version)];
    this._sealer ??= await StreamSealer.create(fileKey, ad, salt);
    this._opener ??= await StreamOpener.create(fileKey, ad, this._sealer.header);
    this._leaves[index] = await integrity.leaf(salt, index, await this._sealer.seal(index, plaintext, index === this._count - 1));
    this._arrived += 1;
  }

  /**
   * @param {Bytes} chunk the bytes of the blob from `position` on
   * @returns {Promise<Bytes[]>} the plaintext of segments that are open now
   */
  async push(chunk) {
    if (this.position + chunk.length > this._size) throw damaged("The content is longer than it must be.");
    const out = [];
    for (let at = 0; at < chunk.length;) {
      const needed = this._needed();
      const piece = chunk.subarray(at, at + needed - this._held);
      this._leaf.set(piece, PREFIX_SIZE + this._held);
      this._held += piece.length;
      at += piece.length;
      if (this._held === needed) await this._open(needed);
      if (this._opening.length > AHEAD) out.push(await /** @type {Promise<Bytes>} */ (this._opening.shift()));
    }
    return out;
  }

  /**
   * Check that the file is whole; SealedError `integrity` if it is not.
   * @returns {Promise<Bytes[]>} the plaintext of the last segments
   */
  async finish() {
    if (this._arrived < this._count || this._held) throw damaged("The content ended too early.");
    const out = await this._rest();
    const { salt, root } = this._content;
    if (!equal(await integrity.root(salt, this._leaves, this._size), root)) {
      throw damaged("The content is another one: its hash differs.");
    }
    return out;
  }

  _rest() {
    const rest = Promise.all(this._opening);
    this._opening = [];
    return rest;
  }

  _needed() {
    return Math.min(SEGMENT_SIZE, this._size - this._arrived * SEGMENT_SIZE);
  }

  /** @param {number} size of the segment that has arrived */
  async _open(size) {
    const index = this._arrived;
    const leaf = this._leaf.subarray(0, PREFIX_SIZE + size);
    const segment = leaf.subarray(PREFIX_SIZE);
    leaf.set(u64(index), PREFIX_SIZE - 8);
    const { fileKey, node, version } = this._content;
    this._opener ??= await StreamOpener.create(fileKey, contentAd(node, version), segment.slice(0, HEADER_SIZE));
    // WebCrypto copies what it is given, so the next segment can arrive in the same place.
    const plaintext = this._opener.open(index, segment, index === this._count - 1);
    const hashed = sha256(leaf).then((made) => void (this._leaves[index] = made));
    const both = Promise.all([plaintext, hashed]).then(([opened]) => opened);
    both.catch(() => undefined); // `push` or `finish` awaits it
    this._opening.push(both);
    this._arrived += 1;
    this._held = 0;
  }
}
