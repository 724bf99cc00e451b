/** URLs of public links and request links, as programs pass them on: in `<…>`, percent-encoded, broken over lines. */

const START = /https?:\/\/|https?%(?:25)*3a/gi;
const URL_OF_A_LINK = /^(https?:\/\/[^\s?#<>"'\\]+)\/([lr])\/?(?:\?[^#]*)?(?:#(.*))?$/i;
const DIGITS = /^[A-Za-z0-9_-]*/;
const MOST_ENCODINGS = 3;

/**
 * @param {string} text
 * @returns {{base: string, page: string, fragment: string} | null} the URL before the page; `l` for a public link, `r`
 *   for a request link; and the fragment, perhaps empty or cut; null if the text is no URL of a link
 */
export function linkIn(text) {
  let found = text.replace(/\s+/g, "");
  const start = [...found.matchAll(START)].pop(); // a program that checks links puts them into a URL of its own
  if (start === undefined) return null;
  found = found.slice(start.index);
  for (let i = 0; i < MOST_ENCODINGS && !(found.includes("#") && found.includes("://")); i++) found = decoded(found);
  const match = URL_OF_A_LINK.exec(found.replace(/[<>"']+$/, ""));
  if (match === null || !namesHost(match[1])) return null;
  return { base: match[1], page: match[2], fragment: /** @type {RegExpExecArray} */ (DIGITS.exec(match[3] ?? ""))[0] };
}

/** @param {string} base */
function namesHost(base) {
  try {
    const { host, username, password } = new URL(base);
    return host !== "" && username === "" && password === "";
  } catch {
    return false; // no host, or a port that cannot be
  }
}

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a `%` that encodes nothing
  }
}
