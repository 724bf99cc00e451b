/**
 * Opens one sealed file from chunks of any size, as they arrive from a server. It does no input or output.
 *
 * Plaintext comes out segment by segment. It is verified as far as it goes, but only `finish` says that the
 * file is whole: give the file its name after that.
 */

import { concat, equal } from "./bytes.js";
import { damaged } from "./errors.js";
import * as integrity from "./integrity.js";
import { contentAd, HEADER_SIZE, SEGMENT_SIZE, sealedSize, segmentCount, StreamOpener } from "./stream.js";

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

export class ContentOpener {
  /** @param {Content} content */
  constructor(content) {
    this._content = content;
    this._size = sealedSize(content.size);
    this._count = segmentCount(content.size);
    /** @type {StreamOpener | null} */
    this._opener = null;
    /** @type {Bytes[]} */
    this._leaves = [];
    /** @type {Bytes[]} */
    this._held = [];
    this._heldSize = 0;
  }

  /** The offset in the blob of the next byte that is needed: where an interrupted download goes on. */
  get position() {
    return this._leaves.length * SEGMENT_SIZE + this._heldSize;
  }

  /** Forget the part of a segment that has arrived, before a download goes on at `position`. */
  restart() {
    this._held = [];
    this._heldSize = 0;
  }

  /**
   * @param {Bytes} chunk the bytes of the blob from `position` on
   * @returns {Promise<Bytes[]>} the plaintext of the segments that are complete now
   */
  async push(chunk) {
    if (this.position + chunk.length > this._size) throw damaged("The content is longer than it must be.");
    this._held.push(chunk);
    this._heldSize += chunk.length;
    const out = [];
    while (this._leaves.length < this._count && this._heldSize >= this._needed()) out.push(await this._next());
    return out;
  }

  /** Check that the file is whole; SealedError `integrity` if it is not. */
  async finish() {
    if (this._leaves.length < this._count || this._heldSize) throw damaged("The content ended too early.");
    const { salt, root } = this._content;
    if (!equal(await integrity.root(salt, this._leaves, this._size), root)) {
      throw damaged("The content is another one: its hash differs.");
    }
  }

  _needed() {
    return Math.min(SEGMENT_SIZE, this._size - this._leaves.length * SEGMENT_SIZE);
  }

  async _next() {
    const index = this._leaves.length;
    const needed = this._needed();
    const held = this._held.length === 1 ? this._held[0] : concat(...this._held);
    const segment = held.subarray(0, needed);
    const { salt, fileKey, node, version } = this._content;
    this._opener ??= await StreamOpener.create(fileKey, contentAd(node, version), segment.subarray(0, HEADER_SIZE));
    const [plaintext, leaf] = await Promise.all([
      this._opener.open(index, segment, index === this._count - 1),
      integrity.leaf(salt, index, segment),
    ]);
    this._leaves.push(leaf);
    this._held = needed < held.length ? [held.subarray(needed)] : [];
    this._heldSize -= needed;
    return plaintext;
  }
}
