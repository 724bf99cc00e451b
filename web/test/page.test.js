import assert from "node:assert/strict";
import { test } from "node:test";

import { linkIn } from "../lib/url.js";
import { localName, localPaths } from "../page/save.js";
import { sizeText } from "../page/strings.js";

const SECRET = "Pm06wBGfI5fjcyWb-_k7F9AqsL0_z-bCPMIsvF7X81A";

test("URLs of links, as programs pass them on", () => {
  const link = `https://files.example.org/l#${SECRET}`;
  const found = { base: "https://files.example.org", page: "l", fragment: SECRET };
  const same = [
    link, ` <${link}> `, `"${link}"`, link.replace("#", "\n#"), encodeURIComponent(link),
    encodeURIComponent(encodeURIComponent(link)), link.replace("#", "?utm_source=mail&x=1#"), link.replace("/l#", "/l/#"),
    `https://check.example.com/?url=${encodeURIComponent(link)}`, `${link}.`, `${link})`,
  ];
  for (const text of same) assert.deepEqual(linkIn(text), found, text);
  assert.deepEqual(linkIn(`http://127.0.0.1:8080/a/b/l#${SECRET}`), { base: "http://127.0.0.1:8080/a/b", page: "l", fragment: SECRET });
  assert.equal(linkIn("https://files.example.org/l")?.fragment, "");
  assert.equal(linkIn(link.slice(0, -5))?.fragment.length, SECRET.length - 5);
  for (const text of ["", "files.example.org/l#x", "https://files.example.org/", "https://x/%zz", "ftp://x/l#y", "javascript:alert(1)/l#x"]) {
    assert.equal(linkIn(text), null, text);
  }
});

test("local names hide and reach nothing", () => {
  assert.equal(localName("a\u202egpj.exe"), "a_gpj.exe");
  assert.equal(localName("a/b\\c:d*e?f\"g<h>i|j"), "a_b_c_d_e_f_g_h_i_j");
  assert.equal(localName("con.txt"), "_con.txt");
  assert.equal(localName(".hidden. "), "_hidden_");
  assert.equal(localName("100%.pdf"), "100%.pdf");
});

test("names that are one local name stay apart in an archive", () => {
  const local = localPaths("top");
  const paths = ["a:b.txt", "a*b.txt", "A_b.txt", "x/y", "x/y.z/w", "../w"];
  assert.deepEqual(paths.map(local), [
    "top/a_b.txt", "top/a_b (2).txt", "top/A_b (3).txt", "top/x/y", "top/x/y.z/w", "top/_/w",
  ]);
});

test("sizes that people read", () => {
  const sizes = [0, 1, 999, 1000, 999_499, 999_999, 3_456_789, 12_345_678_901];
  assert.deepEqual(sizes.map(sizeText), ["0 bytes", "1 byte", "999 bytes", "1.00 KB", "999 KB", "1.00 MB", "3.46 MB", "12.3 GB"]);
});
