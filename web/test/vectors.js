/** The project's vectors, for tests in Node. tests/vectors/README.md says what each field means. */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

/**
 * @param {string} file without `.json`
 * @returns {any[]}
 */
export function vectors(file) {
  const path = new URL(`../../tests/vectors/${file}.json`, import.meta.url);
  return JSON.parse(readFileSync(path, "utf-8"), exactNumbers).vectors;
}

/**
 * Numbers of more than 53 bits stand in the file as they are, and JSON.parse would round them.
 * @param {string} _key
 * @param {unknown} value
 */
function exactNumbers(_key, value) {
  if (typeof value === "number" && !Number.isSafeInteger(value)) throw new RangeError("a number that was rounded");
  return value;
}

/** @param {string} hex */
export function octets(hex) {
  return new Uint8Array(Buffer.from(hex, "hex"));
}

/** @param {Uint8Array} bytes */
export function hex(bytes) {
  return Buffer.from(bytes).toString("hex");
}

/**
 * @param {string} seed
 * @param {number} size
 */
export function stretch(seed, size) {
  if (size === 0) return new Uint8Array(0);
  return new Uint8Array(createHash("shake256", { outputLength: size }).update(seed).digest());
}
