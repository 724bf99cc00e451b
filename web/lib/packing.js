/**
 * Packed values (docs/protocol.md, section 2): msgpack arrays, each value in its shortest encoding.
 *
 * A shape says what is expected: `[INT, bin(32), list(TEXT)]`. A reader refuses everything else.
 */

import { concat, encode } from "./bytes.js";
import { unreadable } from "./errors.js";

/** @import { Bytes } from "./bytes.js" */

/**
 * @typedef {(reader: Reader) => unknown} Shape
 */

/** Reads one value after another; every fault is a SealedError `protocol`. */
class Reader {
  /** @param {Bytes} bytes */
  constructor(bytes) {
    this._bytes = bytes;
    this._view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this._at = 0;
  }

  get isAtEnd() {
    return this._at === this._bytes.length;
  }

  /** @returns {number} the next byte, which stays */
  peek() {
    if (this.isAtEnd) throw unreadable("A packed value ends too early.");
    return this._bytes[this._at];
  }

  byte() {
    const next = this.peek();
    this._at += 1;
    return next;
  }

  /** @param {number} length */
  take(length) {
    if (length > this._bytes.length - this._at) throw unreadable("A packed value ends too early.");
    this._at += length;
    return this._bytes.slice(this._at - length, this._at);
  }

  /**
   * Read an unsigned integer that follows a header byte.
   * @param {number} size in bytes
   * @param {bigint} least a smaller value would have had a shorter encoding
   */
  unsigned(size, least) {
    let value = 0n;
    for (const byte of this.take(size)) value = (value << 8n) | BigInt(byte);
    if (value < least) throw unreadable("A packed value is not in its shortest encoding.");
    return value;
  }

  /**
   * @param {number} size in bytes: 1, 2, 4 or 8
   * @param {bigint} most a larger value would have had another encoding
   */
  negative(size, most) {
    const value = BigInt.asIntN(size * 8, this.unsigned(size, 0n));
    if (value > most) throw unreadable("A packed value is not in its shortest encoding.");
    return value;
  }
}

/**
 * @param {Bytes} bytes exactly one value
 * @param {Shape | Shape[]} shape
 * @returns {any}
 */
export function unpack(bytes, shape) {
  const reader = new Reader(bytes);
  const value = (Array.isArray(shape) ? record(shape) : shape)(reader);
  if (!reader.isAtEnd) throw unreadable("Bytes follow the end of a packed value.");
  return value;
}

/**
 * An integer of at most 64 bits, as a BigInt.
 * @type {Shape}
 */
export function INT(reader) {
  const head = reader.byte();
  if (head < 0x80) return BigInt(head);
  if (head >= 0xe0) return BigInt(head - 0x100);
  switch (head) {
    case 0xcc: return reader.unsigned(1, 0x80n);
    case 0xcd: return reader.unsigned(2, 0x100n);
    case 0xce: return reader.unsigned(4, 0x10000n);
    case 0xcf: return reader.unsigned(8, 0x100000000n);
    case 0xd0: return reader.negative(1, -0x21n);
    case 0xd1: return reader.negative(2, -0x81n);
    case 0xd2: return reader.negative(4, -0x8001n);
    case 0xd3: return reader.negative(8, -0x80000001n);
    default: throw unreadable("A packed value has no integer where one must be.");
  }
}

/**
 * An integer from 0 to 2^63 - 1, as a BigInt.
 * @type {Shape}
 */
export function UINT(reader) {
  const value = /** @type {bigint} */ (INT(reader));
  if (value < 0n || value >= 1n << 63n) throw unreadable("A number is out of its range.");
  return value;
}

/** @type {Shape} */
export function BOOL(reader) {
  const head = reader.byte();
  if (head !== 0xc2 && head !== 0xc3) throw unreadable("A packed value has no yes or no where one must be.");
  return head === 0xc3;
}

/** @type {Shape} */
export function TEXT(reader) {
  const head = reader.byte();
  const length = (head & 0xe0) === 0xa0 ? head & 0x1f : lengthAfter(reader, head, [0xd9, 0xda, 0xdb], 32n);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(reader.take(length));
  } catch (error) {
    if (error instanceof TypeError) throw unreadable("A text is not UTF-8.");
    throw error;
  }
}

/**
 * Bytes: exactly `size`, or any number without one.
 * @param {number} [size]
 * @returns {Shape}
 */
export function bin(size) {
  return (reader) => {
    const length = lengthAfter(reader, reader.byte(), [0xc4, 0xc5, 0xc6], 0n);
    if (size !== undefined && length !== size) throw unreadable(`A field has ${length} bytes instead of ${size}.`);
    return reader.take(length);
  };
}

/**
 * @param {Shape} shape
 * @returns {Shape}
 */
export function orNil(shape) {
  return (reader) => (reader.peek() === 0xc0 ? (reader.byte(), null) : shape(reader));
}

/**
 * @param {Shape | Shape[]} of the shape of each item
 * @returns {Shape}
 */
export function list(of) {
  const item = Array.isArray(of) ? record(of) : of;
  return (reader) => Array.from({ length: arrayLength(reader) }, () => item(reader));
}

/**
 * An array with exactly these fields.
 * @param {Shape[]} fields
 * @returns {Shape}
 */
export function record(fields) {
  return (reader) => {
    if (arrayLength(reader) !== fields.length) throw unreadable("A packed value has too many or too few fields.");
    return fields.map((field) => field(reader));
  };
}

/** @param {Reader} reader */
function arrayLength(reader) {
  const head = reader.byte();
  const length = (head & 0xf0) === 0x90 ? head & 0x0f : lengthAfter(reader, head, [-1, 0xdc, 0xdd], 16n);
  // Every item takes a byte at least: a length from a stranger must not reserve memory.
  if (length > reader._bytes.length - reader._at) throw unreadable("A packed value ends too early.");
  return length;
}

/**
 * @param {Reader} reader
 * @param {number} head
 * @param {number[]} heads those before a length of 1, 2 and 4 bytes; -1 if there is none
 * @param {bigint} least the smallest length that the first of these heads may have
 */
function lengthAfter(reader, head, heads, least) {
  const which = heads.indexOf(head);
  if (which < 0) throw unreadable("A packed value has another type where text, bytes or a list must be.");
  const floors = [least, heads[0] < 0 ? least : 0x100n, 0x10000n];
  return Number(reader.unsigned(1 << which, floors[which]));
}

/** @typedef {null | boolean | number | bigint | string | Bytes | Packable[]} Packable */

/**
 * @param {Packable} value numbers are integers
 * @returns {Bytes}
 */
export function pack(value) {
  if (value === null) return Uint8Array.of(0xc0);
  if (typeof value === "boolean") return Uint8Array.of(value ? 0xc3 : 0xc2);
  if (typeof value === "number" || typeof value === "bigint") return packedInteger(BigInt(value));
  if (typeof value === "string") {
    const bytes = encode(value);
    return concat(bytes.length < 32 ? Uint8Array.of(0xa0 | bytes.length) : head([0xd9, 0xda, 0xdb], bytes.length), bytes);
  }
  if (value instanceof Uint8Array) return concat(head([0xc4, 0xc5, 0xc6], value.length), value);
  const before = value.length < 16 ? Uint8Array.of(0x90 | value.length) : head([-1, 0xdc, 0xdd], value.length);
  return concat(before, ...value.map(pack));
}

/** @param {bigint} value of at most 64 bits */
function packedInteger(value) {
  if (value >= -0x20n && value < 0x80n) return Uint8Array.of(Number(value) & 0xff);
  const bits = value < 0n ? -value - 1n : value >> 1n; // as many as a number with a sign needs, less the sign
  const size = [1, 2, 4, 8].find((bytes) => bits >> BigInt(8 * bytes - 1) === 0n);
  if (size === undefined) throw new RangeError("an integer has more than 64 bits");
  return concat(Uint8Array.of((value < 0n ? 0xd0 : 0xcc) + Math.log2(size)), bigEndian(value, size));
}

/**
 * @param {number[]} heads those before a length of 1, 2 and 4 bytes; -1 if there is none
 * @param {number} length
 */
function head(heads, length) {
  const which = length < 0x100 && heads[0] >= 0 ? 0 : length < 0x10000 ? 1 : 2;
  return concat(Uint8Array.of(heads[which]), bigEndian(BigInt(length), 1 << which));
}

/**
 * @param {bigint} value
 * @param {number} size in bytes
 */
function bigEndian(value, size) {
  const out = new Uint8Array(8);
  new DataView(out.buffer).setBigInt64(0, BigInt.asIntN(64, value));
  return out.subarray(8 - size);
}
