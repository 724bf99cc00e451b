/**
 * Sealed content (docs/protocol.md, section 6): byte for byte a stream of Tink's `AES256_GCM_HKDF_1MB`.
 *
 * Sizes are numbers of bytes up to 2^53 - 1. Segments are stored segments of 2^20 bytes; the first one starts
 * with the header.
 */

import { concat, encode, u32, u64 } from "./bytes.js";
import { Aead, hkdf, TAG_SIZE } from "./crypto.js";
import { damaged } from "./errors.js";

/** @import { Bytes } from "./bytes.js" */

export const SEGMENT_SIZE = 1 << 20;
export const HEADER_SIZE = 40;
const SALT_SIZE = 32;
const FIRST_PLAIN = SEGMENT_SIZE - HEADER_SIZE - TAG_SIZE;
const OTHER_PLAIN = SEGMENT_SIZE - TAG_SIZE;

/**
 * @param {Bytes} node 16 bytes
 * @param {bigint} version
 * @returns {Bytes} the associated data of a file's content
 */
export function contentAd(node, version) {
  return concat(encode("fs/2 content"), node, u64(version));
}

/**
 * @param {number} plainSize
 * @returns {number} how many segments a file of this size has
 */
export function segmentCount(plainSize) {
  return 1 + Math.max(0, Math.ceil((plainSize - FIRST_PLAIN) / OTHER_PLAIN));
}

/**
 * @param {number} plainSize
 * @returns {number} the stored size
 */
export function sealedSize(plainSize) {
  return HEADER_SIZE + plainSize + TAG_SIZE * segmentCount(plainSize);
}

/**
 * @param {number} index
 * @returns {number} how much plaintext a full segment holds
 */
export function plainLength(index) {
  return index === 0 ? FIRST_PLAIN : OTHER_PLAIN;
}

/**
 * @param {number} index
 * @returns {number} where the segment starts in the plaintext
 */
export function plainStart(index) {
  return index === 0 ? 0 : FIRST_PLAIN + (index - 1) * OTHER_PLAIN;
}

/**
 * @param {Bytes} fileKey 32 bytes
 * @param {Bytes} salt that of the salted hash, 32 bytes
 * @returns {Promise<Bytes>} 32 bytes that commit to the key, which AES-GCM does not
 */
export function keyCommitment(fileKey, salt) {
  return hkdf(fileKey, salt, encode("fs/2 key commitment"));
}

class Stream {
  /**
   * @param {Aead} aead
   * @param {Bytes} prefix 7 bytes
   */
  constructor(aead, prefix) {
    this._aead = aead;
    this._prefix = prefix;
  }

  /**
   * @param {number} index
   * @param {boolean} last
   */
  _nonce(index, last) {
    return concat(this._prefix, u32(index), Uint8Array.of(last ? 1 : 0));
  }
}

/** Seals one version of one file. A sealer is used for one pass over one source: a nonce must not repeat. */
export class StreamSealer extends Stream {
  /**
   * @param {Aead} aead
   * @param {Bytes} header
   */
  constructor(aead, header) {
    super(aead, header.subarray(1 + SALT_SIZE));
    this.header = header; // 40 bytes, the start of the stored blob
  }

  /**
   * @param {Bytes} fileKey 32 random bytes, new for each version of each file
   * @param {Bytes} ad associated data
   * @param {Bytes} salt that of the salted hash: 32 random bytes, new like the key
   */
  static async create(fileKey, ad, salt) {
    const drawn = await hkdf(fileKey, salt, encode("fs/2 stream header"), HEADER_SIZE - 1);
    const aead = await Aead.create(await hkdf(fileKey, drawn.subarray(0, SALT_SIZE), ad));
    return new StreamSealer(aead, concat(Uint8Array.of(HEADER_SIZE), drawn));
  }

  /**
   * @param {number} index
   * @param {Bytes} plaintext of `plainLength(index)` bytes; fewer only in the last segment
   * @param {boolean} last
   * @returns {Promise<Bytes>} the stored segment
   */
  async seal(index, plaintext, last) {
    if (plaintext.length > plainLength(index) || (!last && plaintext.length < plainLength(index))) {
      throw new RangeError("only the last segment may be short, and none long");
    }
    const sealed = await this._aead.seal(this._nonce(index, last), plaintext);
    return index === 0 ? concat(this.header, sealed) : sealed;
  }
}

/** Opens one version of one file, segment by segment, in any order. */
export class StreamOpener extends Stream {
  /**
   * @param {Bytes} fileKey
   * @param {Bytes} ad associated data
   * @param {Bytes} header the first 40 bytes of the stored blob
   */
  static async create(fileKey, ad, header) {
    if (header.length !== HEADER_SIZE || header[0] !== HEADER_SIZE) {
      throw damaged("The sealed content does not start with a stream header.");
    }
    const key = await hkdf(fileKey, header.subarray(1, 1 + SALT_SIZE), ad);
    return new StreamOpener(await Aead.create(key), header.slice(1 + SALT_SIZE));
  }

  /**
   * @param {number} index
   * @param {Bytes} segment as stored
   * @param {boolean} last
   * @returns {Promise<Bytes>} the plaintext; SealedError `integrity` if the segment was changed
   */
  async open(index, segment, last) {
    const body = index === 0 ? segment.subarray(HEADER_SIZE) : segment;
    const plaintext = await this._aead.open(this._nonce(index, last), body);
    if (plaintext === null) throw damaged(`Segment ${index} of the sealed content was damaged, cut or moved.`);
    return plaintext;
  }
}
