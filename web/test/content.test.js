import assert from "node:assert/strict";
import { test } from "node:test";

import { concat } from "../lib/bytes.js";
import { ContentOpener } from "../lib/content.js";
import * as integrity from "../lib/integrity.js";
import { contentAd, plainLength, plainStart, SEGMENT_SIZE, segmentCount, StreamSealer } from "../lib/stream.js";
import { stretch } from "./vectors.js";

const NODE = stretch("node", 16);
const KEY = stretch("key", 32);
const SALT = stretch("salt", 32);

/** @param {Uint8Array} plaintext */
async function made(plaintext) {
  const sealer = await StreamSealer.create(KEY, contentAd(NODE, 5n), SALT);
  const count = segmentCount(plaintext.length);
  const [segments, leaves] = [[], []];
  for (let i = 0, at = 0; i < count; at += plainLength(i), i++) {
    const segment = await sealer.seal(i, plaintext.subarray(at, at + plainLength(i)), i === count - 1);
    segments.push(segment);
    leaves.push(await integrity.leaf(SALT, i, segment));
  }
  const blob = concat(...segments);
  const root = await integrity.root(SALT, leaves, blob.length);
  return { blob, content: { size: plaintext.length, node: NODE, version: 5n, salt: SALT, root, fileKey: KEY } };
}

/**
 * @param {ContentOpener} opener
 * @param {Uint8Array} blob
 * @param {number} step size of the chunks
 */
async function opened(opener, blob, step) {
  return concat(...(await pushed(opener, blob, step)), ...(await opener.finish()));
}

/** @param {ContentOpener} opener @param {Uint8Array} blob @param {number} step */
async function pushed(opener, blob, step) {
  const out = [];
  for (let at = 0; at < blob.length; at += step) out.push(...(await opener.push(blob.subarray(at, at + step))));
  return out;
}

for (const size of [0, 1, plainLength(0), plainLength(0) + 1, 2 * SEGMENT_SIZE + 7]) {
  for (const step of [65_537, SEGMENT_SIZE, 4 * SEGMENT_SIZE]) {
    test(`${size} bytes open from chunks of ${step}`, async () => {
      const plaintext = stretch("plaintext", size);
      const { blob, content } = await made(plaintext);
      const opener = new ContentOpener(content);
      assert.deepEqual(await opened(opener, blob, step), plaintext);
    });
  }
}

test("an interrupted download goes on at the segment that was not complete", async () => {
  const plaintext = stretch("plaintext", 3 * SEGMENT_SIZE);
  const { blob, content } = await made(plaintext);
  const opener = new ContentOpener(content);
  const out = await pushed(opener, blob.subarray(0, SEGMENT_SIZE + 1000), 10_000);
  out.push(...(await opener.restart()));
  assert.deepEqual(concat(...out), plaintext.subarray(0, plainStart(1)));
  assert.equal(opener.position, SEGMENT_SIZE);
  out.push(...(await pushed(opener, blob.subarray(opener.position), 500_000)));
  assert.deepEqual(concat(...out, ...(await opener.finish())), plaintext);
});

test("segments that were stored before are verified with the others", async () => {
  const plaintext = stretch("plaintext", 3 * SEGMENT_SIZE);
  const { blob, content } = await made(plaintext);
  const stored = [0, 1].map((index) => plaintext.slice(plainStart(index), plainStart(index + 1)));
  const opener = new ContentOpener(content);
  for (const one of stored) await opener.keep(one);
  assert.equal(opener.position, 2 * SEGMENT_SIZE);
  assert.deepEqual(await opened(opener, blob.subarray(opener.position), 70_000), plaintext.subarray(plainStart(2)));
  stored[1][5] ^= 1;
  const changed = new ContentOpener(content);
  for (const one of stored) await changed.keep(one);
  await assert.rejects(opened(changed, blob.subarray(changed.position), SEGMENT_SIZE), integrityError);
});

const integrityError = { name: "SealedError", code: "integrity" };

test("content that is cut, longer, changed or another version is refused", async () => {
  const { blob, content } = await made(stretch("plaintext", SEGMENT_SIZE + 500));
  const cut = new ContentOpener(content);
  await pushed(cut, blob.subarray(0, -1), SEGMENT_SIZE);
  await assert.rejects(cut.finish(), integrityError);
  const long = concat(blob, Uint8Array.of(0));
  await assert.rejects(opened(new ContentOpener(content), long, long.length), integrityError);
  for (const at of [0, 20, 500, SEGMENT_SIZE + 3, blob.length - 1]) {
    const changed = blob.slice();
    changed[at] ^= 1;
    await assert.rejects(opened(new ContentOpener(content), changed, SEGMENT_SIZE), integrityError);
  }
  await assert.rejects(opened(new ContentOpener({ ...content, version: 6n }), blob, SEGMENT_SIZE), integrityError);
});

test("content that opens under the key and is not the one of the root is refused", async () => {
  const { content } = await made(stretch("one", 1000));
  const other = await made(stretch("other", 1000));
  const opener = new ContentOpener(content);
  await pushed(opener, other.blob, other.blob.length);
  await assert.rejects(opener.finish(), integrityError);
});
