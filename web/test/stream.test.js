import assert from "node:assert/strict";
import { test } from "node:test";

import { concat } from "../lib/bytes.js";
import { sha256 } from "../lib/crypto.js";
import * as integrity from "../lib/integrity.js";
import {
  contentAd, HEADER_SIZE, keyCommitment, plainLength, SEGMENT_SIZE, sealedSize, segmentCount, StreamOpener, StreamSealer,
} from "../lib/stream.js";
import { hex, octets, stretch, vectors } from "./vectors.js";

const streams = vectors("stream");

/** @param {any} vector */
function plaintextOf(vector) {
  const size = vector.plaintext_size ?? vector.plaintext.length / 2;
  return stretch(vector.plaintext_seed, size);
}

/** @param {any} vector */
async function sealed(vector) {
  const plaintext = plaintextOf(vector);
  const [key, ad] = [octets(vector.file_key), octets(vector.associated_data)];
  const sealer = await StreamSealer.create(key, ad, octets(vector.commitment_salt));
  const count = segmentCount(plaintext.length);
  const segments = [];
  for (let i = 0, at = 0; i < count; at += plainLength(i), i++) {
    segments.push(await sealer.seal(i, plaintext.subarray(at, at + plainLength(i)), i === count - 1));
  }
  return concat(...segments);
}

/**
 * @param {any} vector
 * @param {Uint8Array} stored
 */
async function opened(vector, stored) {
  const [key, ad] = [octets(vector.file_key), octets(vector.associated_data)];
  const opener = await StreamOpener.create(key, ad, stored.subarray(0, HEADER_SIZE));
  const count = Math.max(1, Math.ceil(stored.length / SEGMENT_SIZE));
  const out = [];
  for (let i = 0; i < count; i++) {
    out.push(await opener.open(i, stored.subarray(i * SEGMENT_SIZE, (i + 1) * SEGMENT_SIZE), i === count - 1));
  }
  return concat(...out);
}

/**
 * @param {Uint8Array} stored
 * @param {any} edit
 */
function edited(stored, edit) {
  if (edit?.cut !== undefined) return stored.slice(0, edit.cut);
  if (edit?.append !== undefined) return concat(stored, octets(edit.append));
  if (edit?.order) {
    const part = (/** @type {number} */ i) => stored.subarray(i * SEGMENT_SIZE, (i + 1) * SEGMENT_SIZE);
    return concat(...edit.order.map(part));
  }
  const out = stored.slice();
  if (edit?.xor) out[edit.xor[0]] ^= edit.xor[1];
  return out;
}

for (const vector of streams.filter((one) => one.error === null)) {
  test(vector.name, async () => {
    const plaintext = plaintextOf(vector);
    const stored = await sealed(vector);
    assert.equal(hex(await sha256(stored)), vector.stored_sha256 ?? hex(await sha256(octets(vector.stored))));
    assert.equal(stored.length, sealedSize(plaintext.length));
    assert.deepEqual(await opened(vector, stored), plaintext);
    assert.equal(hex(contentAd(octets(vector.node), BigInt(vector.version))), vector.associated_data);
    const committed = await keyCommitment(octets(vector.file_key), octets(vector.commitment_salt));
    assert.equal(hex(committed), vector.commitment);
  });
}

for (const vector of streams.filter((one) => one.error !== null)) {
  test(`${vector.name} is refused`, async () => {
    const stored = edited(await sealed(streams.find((one) => one.name === vector.of)), vector.edit);
    assert.equal(hex(await sha256(stored)), vector.stored_sha256 ?? hex(await sha256(octets(vector.stored))));
    await assert.rejects(opened(vector, stored), { name: "SealedError", code: vector.error });
  });
}

for (const vector of vectors("integrity")) {
  test(vector.name, async () => {
    const [salt, blob] = [octets(vector.salt), stretch(vector.blob_seed, vector.blob_size)];
    const leaves = [];
    for (let at = 0; at < blob.length; at += SEGMENT_SIZE) {
      leaves.push(await integrity.leaf(salt, at / SEGMENT_SIZE, blob.subarray(at, at + SEGMENT_SIZE)));
    }
    assert.deepEqual(leaves.map(hex), vector.leaves);
    assert.equal(hex(await integrity.root(salt, leaves, blob.length)), vector.root);
  });
}
