import assert from "node:assert/strict";
import { test } from "node:test";

import { encode, fromBase64url, toBase64url } from "../lib/bytes.js";
import { expand, hkdf } from "../lib/crypto.js";
import { checkName, cleanName, forScreen, isAssigned } from "../lib/names.js";
import { bin, BOOL, INT, list, orNil, TEXT, UINT, unpack } from "../lib/packing.js";
import { hex, octets, stretch, vectors } from "./vectors.js";

const FOLDER_STATE = [INT, bin(16), UINT, bin(32), bin(32), UINT, TEXT, bin(32), UINT, bin()];

for (const vector of vectors("packing")) {
  test(vector.name, () => {
    const read = () => unpack(octets(vector.payload), FOLDER_STATE);
    if (vector.error) return assert.throws(read, { name: "SealedError", code: vector.error });
    const found = read().map((/** @type {unknown} */ one) => (one instanceof Uint8Array ? hex(one) : one));
    assert.deepEqual(found.map(String), Object.values(vector.fields).map(String));
  });
}

const integers = [
  ["00", 0n], ["7f", 127n], ["cc80", 128n], ["ccff", 255n], ["cd0100", 256n], ["ce00010000", 65_536n],
  ["cf0000000100000000", 1n << 32n], ["cfffffffffffffffff", (1n << 64n) - 1n], ["ff", -1n], ["e0", -32n],
  ["d0df", -33n], ["d080", -128n], ["d1ff7f", -129n], ["d2ffff7fff", -32_769n], ["d3ffffffff7fffffff", -(1n << 31n) - 1n],
];

for (const [packed, value] of integers) {
  test(`${packed} is ${value}`, () => assert.equal(unpack(octets(String(packed)), INT), value));
}

for (const packed of ["cc7f", "cd00ff", "ce0000ffff", "cf00000000ffffffff", "d0e0", "d1ff80", "d2ffff8000", "d001", "d30000000000000001", "c3", ""]) {
  test(`'${packed}' is no integer`, () => assert.throws(() => unpack(octets(packed), INT), { code: "protocol" }));
}

test("shapes: nil, yes and no, lists, long texts", () => {
  assert.equal(unpack(octets("c0"), orNil(INT)), null);
  assert.equal(unpack(octets("c3"), BOOL), true);
  assert.deepEqual(unpack(octets("92a161a162"), list(TEXT)), ["a", "b"]);
  assert.equal(unpack(octets(`d921${"61".repeat(33)}`), TEXT), "a".repeat(33));
  for (const packed of ["d91f" + "61".repeat(31), "da0021" + "61".repeat(33), "a2c328", "dd7fffffff", "dc0001a161"]) {
    assert.throws(() => unpack(octets(packed), packed.startsWith("d") ? list(TEXT) : TEXT), { code: "protocol" });
  }
});

for (const vector of vectors("names").filter((one) => one.typed !== undefined)) {
  test(vector.name, () => {
    if (vector.error) return assert.throws(() => cleanName(vector.typed), { code: vector.error });
    assert.equal(cleanName(vector.typed), vector.kept);
    assert.equal(checkName(vector.kept), vector.kept);
    assert.equal(encode(vector.kept).length, vector.bytes);
    // A later version of Unicode may have the character.
    if (vector.new) assert.ok(isAssigned(vector.kept));
    if (vector.kept !== vector.typed) assert.throws(() => checkName(vector.typed), { code: "invalid-name" });
  });
}

test("what could move or hide text is escaped on the screen", () => {
  assert.equal(forScreen("a\u202eb\u0007c"), "a\\u202eb\\u0007c");
  assert.equal(forScreen("\u{1f468}\u200d\u{1f469}"), "\u{1f468}\u200d\u{1f469}");
});

test("base64url has one form", () => {
  // RFC 4648, section 10, and the two characters that differ from base64.
  const known = { "": "", f: "Zg", fo: "Zm8", foo: "Zm9v", foob: "Zm9vYg", fooba: "Zm9vYmE", foobar: "Zm9vYmFy", "\u007f~\u007f?": "f35_Pw" };
  for (const [text, encoded] of Object.entries(known)) {
    assert.equal(toBase64url(encode(text)), encoded);
    assert.deepEqual(fromBase64url(encoded), encode(text));
  }
  assert.equal(toBase64url(octets("fbefbe")), "----");
  assert.deepEqual(fromBase64url("----"), octets("fbefbe"));
  const others = ["a", "ab=", "a+b/", "ab c", "\u00fc", "ab"]; // the unused bits of the last are not 0
  for (const text of others) assert.equal(fromBase64url(text), null, text);
});

test("HKDF is that of RFC 5869, appendix A.1", async () => {
  const [ikm, salt, info] = [octets("0b".repeat(22)), octets("000102030405060708090a0b0c"), octets("f0f1f2f3f4f5f6f7f8f9")];
  const okm = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865";
  assert.equal(hex(await hkdf(ikm, salt, info, 42)), okm);
  const prk = octets("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
  assert.equal(hex(await expand(prk, info, 42)), okm);
});
