/** The project's vectors, for tests in Node. tests/vectors/README.md says what each field means. */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

/**
 * @param {string} file without `.json`
 * @returns {any[]} numbers of more than 15 digits are text: JSON.parse would round them
 */
export function vectors(file) {
  const path = new URL(`../../tests/vectors/${file}.json`, import.meta.url);
  const text = readFileSync(path, "utf-8").replace(/^( *(?:"\w+": )?)(-?\d{16,})(?=,?$)/gm, '$1"$2"');
  return JSON.parse(text).vectors;
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
