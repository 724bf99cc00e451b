/** The project's vectors, for tests in Node and in browsers. tests/vectors/README.md says what each field means. */

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
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

/** @param {Uint8Array} bytes */
export function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * @param {string} seed
 * @param {number} size
 */
export function stretch(seed, size) {
  if (size === 0) return new Uint8Array(0);
  return new Uint8Array(createHash("shake256", { outputLength: size }).update(seed).digest());
}
