import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { concat, encode } from "../lib/bytes.js";
import { zip } from "../lib/zip.js";

test("Python's zipfile reads the archive", async () => {
  const modified = new Date(2026, 10, 29, 13, 14, 16);
  const entry = (/** @type {string} */ path, /** @type {string[]} */ chunks, executable = false) => ({
    path, modified, executable, content: async function* () { for (const one of chunks) yield encode(one); },
  });
  const parts = [];
  for await (const part of zip([entry("top/leer/", []), entry("top/ü.txt", ["one ", "two"]), entry("top/run", [], true)])) parts.push(part);
  const folder = mkdtempSync(join(tmpdir(), "zip-"));
  try {
    writeFileSync(join(folder, "made.zip"), concat(...parts));
    const script = `
import json, sys, zipfile
made = zipfile.ZipFile(sys.argv[1])
assert made.testzip() is None
print(json.dumps([[i.filename, made.read(i).decode(), oct(i.external_attr >> 16), i.date_time, i.is_dir()] for i in made.infolist()]))`;
    const read = JSON.parse(execFileSync("python3", ["-c", script, join(folder, "made.zip")], { encoding: "utf-8" }));
    const time = [2026, 11, 29, 13, 14, 16];
    assert.deepEqual(read, [
      ["top/leer/", "", "0o40755", time, true], ["top/ü.txt", "one two", "0o100644", time, false], ["top/run", "", "0o100755", time, false],
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
