import assert from "node:assert/strict";
import { test } from "node:test";

import { linkKeys, openDescription, secretIn } from "../lib/link.js";
import { cleanPassword } from "../lib/secret.js";
import { linkIn } from "../lib/url.js";
import { hex, octets, vectors } from "./vectors.js";

/** @type {Map<string, Promise<any>>} keys by secret and password: Argon2id takes seconds */
const made = new Map();

/** @param {any} vector */
function keysOf({ secret, password }) {
  const clean = password === null ? undefined : /** @type {any} */ (cleanPassword(password));
  const name = `${secret} ${clean && hex(clean)}`;
  if (!made.has(name)) made.set(name, linkKeys(/** @type {any} */ (octets(secret)), clean));
  return /** @type {Promise<any>} */ (made.get(name));
}

for (const vector of vectors("publiclink")) {
  test(vector.name, async () => {
    const keys = await keysOf(vector);
    assert.equal(hex(keys.id), vector.link);
    assert.equal(hex(keys.shown), vector.access + vector.proof);
    assert.equal(hex(keys.key), vector.key);
    assert.equal(hex(keys.commitment), vector.commitment);
    const opened = openDescription(keys, /** @type {any} */ (octets(vector.sealed)));
    if (vector.error) return assert.rejects(opened, { name: "SealedError", code: vector.error });
    const { kind, name, note, files, folders } = await opened;
    const { fields } = vector;
    assert.deepEqual([kind, name, note, folders], [fields.kind, fields.name, fields.note, fields.folders]);
    assert.equal(files.length, fields.files.length);
    files.forEach((file, i) => {
      const expected = fields.files[i];
      const found = [file.path, file.size, file.mtimeNs, Number(file.executable), file.version].map(String);
      assert.deepEqual(found, [expected.path, expected.size, expected.mtime_ns, expected.mode, expected.version].map(String));
      const bytes = [file.node, file.salt, file.root, file.fileKey].map(hex);
      assert.deepEqual(bytes, [expected.node, expected.salt, expected.root, expected.key]);
    });
  });
}

for (const vector of vectors("linkurl")) {
  test(vector.name, () => {
    const found = linkIn(vector.text);
    const secret = found && secretIn(found.fragment);
    if (vector.error) return assert.equal(secret, null);
    assert.equal(found?.base, vector.base);
    assert.equal(hex(/** @type {any} */ (secret)), vector.secret);
  });
}
