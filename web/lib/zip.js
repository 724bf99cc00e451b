/**
 * A ZIP archive as a stream: files are stored as they are, with sizes and checksums after the content.
 *
 * Source: PKWARE, APPNOTE.TXT 6.3.10, sections 4.3 to 4.5. Every entry has the ZIP64 form, so that no size needs a
 * decision; names are UTF-8 (bit 11). Integers are little-endian.
 */

import { concat, encode } from "./bytes.js";

/** @import { Bytes } from "./bytes.js" */

const VERSION = 45; // 4.5: ZIP64
const FLAGS = 0x0808; // sizes follow the content; names are UTF-8
const MADE_ON_UNIX = 3 << 8;
const NONE_16 = 0xffff;
const NONE_32 = 0xffffffff;

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

/**
 * @typedef {object} ZipEntry
 * @property {string} path with `/` between the names, and at the end of a folder's
 * @property {Date} modified
 * @property {boolean} executable
 * @property {() => AsyncIterable<Bytes>} content
 */

/**
 * @param {Iterable<ZipEntry>} entries
 * @returns {AsyncGenerator<Bytes>} the archive, in pieces that are not used again here
 */
export async function* zip(entries) {
  /** @type {Bytes[]} */
  const directory = [];
  let at = 0;
  for (const entry of entries) {
    const name = encode(entry.path);
    const common = fields([[2, FLAGS], [2, 0], ...dosTime(entry.modified)]);
    const start = at;
    // 4.3.7; the ZIP64 field says that the sizes after the content have 8 bytes each.
    const sizes = fields([[2, 1], [2, 16], [8, 0], [8, 0]]);
    const head = concat(
      fields([[4, 0x04034b50], [2, VERSION]]), common,
      fields([[4, 0], [4, NONE_32], [4, NONE_32], [2, name.length], [2, sizes.length]]), name, sizes,
    );
    at += head.length;
    yield head;
    let [crc, size] = [0, 0];
    for await (const chunk of entry.content()) {
      crc = crc32(chunk, crc);
      size += chunk.length;
      yield chunk;
    }
    const after = fields([[4, 0x08074b50], [4, crc], [8, size], [8, size]]); // 4.3.9
    at += size + after.length;
    yield after;
    const extra = fields([[2, 1], [2, 24], [8, size], [8, size], [8, start]]); // 4.5.3
    const isFolder = entry.path.endsWith("/");
    const mode = isFolder ? 0o040755 : entry.executable ? 0o100755 : 0o100644;
    directory.push(concat( // 4.3.12
      fields([[4, 0x02014b50], [2, MADE_ON_UNIX | VERSION], [2, VERSION]]), common,
      fields([
        [4, crc], [4, NONE_32], [4, NONE_32], [2, name.length], [2, extra.length], [2, 0], [2, 0], [2, 0],
        [4, mode * 0x10000 + (isFolder ? 0x10 : 0)], [4, NONE_32],
      ]), name, extra,
    ));
  }
  const size = directory.reduce((sum, one) => sum + one.length, 0);
  yield* directory;
  yield fields([ // 4.3.14, 4.3.15, 4.3.16
    [4, 0x06064b50], [8, 44], [2, MADE_ON_UNIX | VERSION], [2, VERSION], [4, 0], [4, 0],
    [8, directory.length], [8, directory.length], [8, size], [8, at],
    [4, 0x07064b50], [4, 0], [8, at + size], [4, 1],
    [4, 0x06054b50], [2, NONE_16], [2, NONE_16], [2, NONE_16], [2, NONE_16], [4, NONE_32], [4, NONE_32], [2, 0],
  ]);
}

/**
 * @param {Bytes} data
 * @param {number} crc of the data before
 */
function crc32(data, crc) {
  crc = ~crc;
  for (let i = 0; i < data.length; i++) crc = CRC_TABLE[(crc ^ data[i]) & 0xff] ^ (crc >>> 8);
  return ~crc >>> 0;
}

/**
 * @param {Date} time
 * @returns {[number, number][]} 4.4.6; years from 1980 to 2107
 */
function dosTime(time) {
  const year = Math.min(Math.max(time.getFullYear(), 1980), 2107);
  return [
    [2, (time.getHours() << 11) | (time.getMinutes() << 5) | (time.getSeconds() >> 1)],
    [2, ((year - 1980) << 9) | ((time.getMonth() + 1) << 5) | time.getDate()],
  ];
}

/**
 * @param {[number, number][]} values size in bytes, and value
 * @returns {Bytes}
 */
function fields(values) {
  const out = new DataView(new ArrayBuffer(values.reduce((sum, [size]) => sum + size, 0)));
  let at = 0;
  for (const [size, value] of values) {
    if (size === 2) out.setUint16(at, value, true);
    else if (size === 4) out.setUint32(at, value, true);
    else out.setBigUint64(at, BigInt(value), true);
    at += size;
  }
  return new Uint8Array(out.buffer);
}
