/** Valid names of files and folders (docs/protocol.md, section 2). */

import { encode } from "./bytes.js";
import { SealedError } from "./errors.js";

const MAX_NAME_BYTES = 255;
const REFUSED = /[/\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/u;
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/gu;
const HARMLESS = "\u00ad\u200c\u200d"; // the soft hyphen, and the joiners of emoji and Indic scripts

/**
 * @param {string} name as typed
 * @returns {string} the name in NFC; SealedError `invalid-name` if nothing can have it
 */
export function cleanName(name) {
  const clean = name.normalize("NFC");
  if (clean === "" || clean === "." || clean === ".." || REFUSED.test(clean) || encode(clean).length > MAX_NAME_BYTES) {
    throw new SealedError("invalid-name", `'${forScreen(name.slice(0, 80))}' cannot name a file or folder.`);
  }
  return clean;
}

/**
 * @param {string} name from another person
 * @returns {string} the same name; SealedError `invalid-name` if it is not one that a client may have given
 */
export function checkName(name) {
  // A writer may know a newer version of Unicode: the normal form of what is not assigned here is unknown.
  if (cleanName(name) !== name && isAssigned(name)) {
    throw new SealedError("invalid-name", `The name '${forScreen(name.slice(0, 80))}' is not in its normal form.`);
  }
  return name;
}

/**
 * @param {string} name
 * @returns {boolean} whether this program's version of Unicode has all its characters
 */
export function isAssigned(name) {
  return !/\p{Cn}/u.test(name);
}

/**
 * @param {string} text
 * @returns {string} with control characters and direction marks escaped: they could show `txt.exe` as `exe.txt`
 */
export function forScreen(text) {
  return text.replace(INVISIBLE, (c) =>
    HARMLESS.includes(c) ? c : `\\u${/** @type {number} */ (c.codePointAt(0)).toString(16).padStart(4, "0")}`);
}
