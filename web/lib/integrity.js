/** The salted SHA-256 over a sealed file (docs/protocol.md, section 6). */

import { concat, encode, u64 } from "./bytes.js";
import { sha256 } from "./crypto.js";

/** @import { Bytes } from "./bytes.js" */

/**
 * @param {Bytes} salt 32 bytes
 * @param {number} index
 * @param {Bytes} segment as stored
 */
export function leaf(salt, index, segment) {
  return sha256(salt, u64(index), segment);
}

/**
 * @param {Bytes} salt
 * @param {Bytes[]} leaves of all segments
 * @param {number} size of the stored blob
 */
export function root(salt, leaves, size) {
  return sha256(concat(salt, encode("root"), u64(leaves.length), u64(size), ...leaves));
}
