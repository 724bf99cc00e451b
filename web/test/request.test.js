import assert from "node:assert/strict";
import { test } from "node:test";

import { createMlKem768 } from "../vendor/mlkem/src/mlKem768Impl.js";
import { concat } from "../lib/bytes.js";
import { Aead, hkdf } from "../lib/crypto.js";
import * as integrity from "../lib/integrity.js";
import { pack } from "../lib/packing.js";
import { dropKeys, dropName, finishUpload, NewDrop, openRequest, requestIn, requestKeys, startUpload, uploadState } from "../lib/request.js";
import { cleanPassword } from "../lib/secret.js";
import { linkIn } from "../lib/url.js";
import { byLibrary, byWebCrypto, PublicKeys } from "../lib/wrapping.js";
import { hex, octets, stretch, vectors } from "./vectors.js";

/** @type {Map<string, Promise<any>>} keys by secret and password: Argon2id takes seconds */
const made = new Map();

/** @param {any} vector */
function keysOf({ secret, password }) {
  const clean = password === null ? undefined : /** @type {any} */ (cleanPassword(password));
  const name = `${secret} ${clean && hex(clean)}`;
  if (!made.has(name)) made.set(name, requestKeys({ secret: octets(secret), bundle: octets("") }, clean));
  return /** @type {Promise<any>} */ (made.get(name));
}

for (const vector of vectors("requestlink")) {
  test(vector.name, async () => {
    const keys = { ...(await keysOf(vector)), bundle: octets(vector.bundle) };
    assert.equal(hex(keys.id), vector.request);
    assert.equal(hex(keys.shown), vector.access + vector.proof);
    for (const name of ["key", "commitment", "mark"]) assert.equal(hex(keys[name]), vector[name]);
    const opened = openRequest(keys, octets(vector.sealed));
    if (vector.error) return assert.rejects(opened, { name: "SealedError", code: vector.error });
    const { owner, note, expiresMs, maxFiles, maxBytes } = await opened;
    const { fields } = vector;
    const found = [owner, note, expiresMs, maxFiles, maxBytes].map(String);
    assert.deepEqual(found, [vector.owner.user, fields.note, fields.expires_ms, fields.max_files, fields.max_bytes].map(String));
  });
}

for (const vector of vectors("requesturl")) {
  test(vector.name, () => {
    const found = linkIn(vector.text);
    const url = found?.page === "r" ? requestIn(found.fragment) : null;
    if (vector.error) return assert.equal(url, null);
    assert.equal(found?.base, vector.base);
    assert.deepEqual([url?.secret, url?.bundle].map(hex), [vector.secret, vector.bundle]);
  });
}

for (const vector of vectors("requestupload")) {
  test(`upload ${vector.name}`, () => {
    const { fields, payload } = vector;
    if (vector.name === "start") {
      assert.equal(hex(startUpload(octets(fields.drop), octets(fields.salt), fields.sealed_size)), payload);
    } else if (vector.name === "finish") {
      assert.equal(hex(finishUpload(octets(fields.root), octets(fields.wrapped), octets(fields.note))), payload);
    } else {
      const { ticket, segments, finished } = uploadState(octets(payload));
      assert.deepEqual([hex(ticket), segments, finished], [fields.ticket, fields.segments, fields.finished]);
    }
  });
}

const ALICE = vectors("bundle").find((one) => one.name === "bundle");
const KEYS = vectors("keys").find((one) => one.name === "alice");
const [DROP] = vectors("requestdrop");
const INFO = concat(new TextEncoder().encode("fs/2 wrap requested drop to person"), octets(DROP.request), octets(DROP.drop),
  new TextEncoder().encode("alice"));

/** @param {Uint8Array} wrapped @param {Uint8Array} salt @param {Uint8Array} info */
async function unwrapped(wrapped, salt, info) {
  const how = { name: "RSA-OAEP", hash: "SHA-256" };
  const rsa = await crypto.subtle.importKey("pkcs8", octets(KEYS.pkcs8), how, false, ["decrypt"]);
  const secret = new Uint8Array(await crypto.subtle.decrypt("RSA-OAEP", rsa, wrapped.subarray(0, 384)));
  const kem = await createMlKem768();
  const [, key] = kem.deriveKeyPair(octets(ALICE.private.kem));
  const shared = kem.decap(wrapped.subarray(384, 384 + 1088), key);
  const aead = await Aead.create(await hkdf(concat(secret, new Uint8Array(shared)), salt, info));
  return aead.open(new Uint8Array(12), wrapped.subarray(384 + 1088));
}

test("a drop is sealed as in its vector", async () => {
  const secret = await unwrapped(octets(DROP.wrapped), octets(DROP.bundle), INFO);
  assert.equal(hex(/** @type {any} */ (secret)), DROP.secret);
  const request = { keys: { id: octets(DROP.request), mark: octets(DROP.mark), bundle: octets(DROP.bundle) }, owner: "alice" };
  const { fileKey, noteKey } = await dropKeys(request.keys.id, octets(DROP.secret), request.keys.mark);
  assert.deepEqual([hex(fileKey), hex(noteKey)], [DROP.file_key, DROP.note_key]);
  const drawn = { drop: octets(DROP.drop), secret: octets(DROP.secret), salt: octets(DROP.content.salt) };
  const drop = await NewDrop.create(/** @type {any} */ (request), drawn);
  const blob = await drop.sealer.seal(0, octets(DROP.plaintext), true);
  assert.equal(hex(blob), DROP.blob);
  const root = await integrity.root(drawn.salt, [await integrity.leaf(drawn.salt, 0, blob)], blob.length);
  assert.equal(hex(root), DROP.content.root);
  const { name, size, mtime_ns, sender } = DROP.fields;
  const nonce = octets(DROP.note).subarray(0, 12);
  assert.equal(hex(await drop.note(root, { name, size, mtimeNs: BigInt(mtime_ns), sender }, nonce)), DROP.note);
});

test("what is sealed to public keys opens with the private ones", async () => {
  const to = await PublicKeys.create(octets(KEYS.spki), octets(ALICE.fields.kem));
  const [salt, secret] = [stretch("salt", 32), stretch("secret", 32)];
  const wrapped = await to.seal(secret, salt, INFO);
  assert.equal(wrapped.length, 384 + 1088 + 48);
  assert.equal(hex(/** @type {any} */ (await unwrapped(wrapped, salt, INFO))), hex(secret));
  assert.equal(await unwrapped(wrapped, stretch("other", 32), INFO), null);
});

test("ML-KEM of the library, and of WebCrypto where it is there, open with the private key", async () => {
  const kem = await createMlKem768();
  const [publicKey, key] = kem.deriveKeyPair(octets(ALICE.private.kem));
  assert.equal(hex(publicKey), ALICE.fields.kem);
  for (const made of [await byLibrary(new Uint8Array(publicKey)), await byWebCrypto(new Uint8Array(publicKey))]) {
    if (made !== null) assert.equal(hex(kem.decap(made[0], key)), hex(made[1]));
  }
});

test("public keys that cannot be used are refused", async () => {
  const [rsa, kem] = [octets(KEYS.spki), octets(ALICE.fields.kem)];
  const unusable = { name: "SealedError", code: "protocol" };
  await assert.rejects(PublicKeys.create(rsa.slice(0, -1), kem), unusable);
  await assert.rejects(PublicKeys.create(rsa, kem.slice(0, -1)), unusable);
  const large = kem.slice();
  large.fill(0xff, 0, 3); // two numbers of 12 bits, above 3328
  await assert.rejects((await PublicKeys.create(rsa, large)).seal(octets("00"), stretch("salt", 32), INFO), unusable);
  const { privateKey, publicKey } = await crypto.subtle.generateKey(
    { name: "RSA-OAEP", hash: "SHA-256", modulusLength: 2048, publicExponent: Uint8Array.of(1, 0, 1) }, true, ["encrypt", "decrypt"]);
  const small = new Uint8Array(await crypto.subtle.exportKey("spki", publicKey));
  await assert.rejects(PublicKeys.create(small, kem), unusable);
  assert.ok(privateKey);
});

test("names of drops", () => {
  assert.equal(dropName("e\u0301.txt"), "\u00e9.txt");
  assert.equal(dropName("folder/a.txt"), "folder/a.txt");
  for (const name of ["", ".", "..", "../x", "/x", "x/", "a//b", "a\u0007", "x".repeat(256), Array(33).fill("a").join("/"), Array(6).fill("x".repeat(200)).join("/")]) {
    assert.throws(() => dropName(name), { code: "invalid-name" });
  }
});

test("packed integers and texts are read again, in the shortest encoding", () => {
  const known = [
    [0n, "00"], [127n, "7f"], [128n, "cc80"], [255n, "ccff"], [256n, "cd0100"], [65_535n, "cdffff"], [65_536n, "ce00010000"],
    [(1n << 32n) - 1n, "ceffffffff"], [1n << 32n, "cf0000000100000000"], [(1n << 64n) - 1n, "cfffffffffffffffff"],
    [-1n, "ff"], [-32n, "e0"], [-33n, "d0df"], [-128n, "d080"], [-129n, "d1ff7f"], [-32_769n, "d2ffff7fff"],
    [-(1n << 31n) - 1n, "d3ffffffff7fffffff"], [-(1n << 63n), "d38000000000000000"],
    ["a".repeat(31), `bf${"61".repeat(31)}`], ["a".repeat(32), `d920${"61".repeat(32)}`], [null, "c0"], [[true, false], "92c3c2"],
    [Array(16).fill(0), `dc0010${"00".repeat(16)}`],
  ];
  for (const [value, packed] of known) assert.equal(hex(pack(/** @type {any} */ (value))), packed);
  assert.equal(hex(pack(new Uint8Array(256)).slice(0, 4)), "c5010000");
  assert.throws(() => pack(1n << 64n), { name: "RangeError" });
});
