/** The page of public links and request links: asks for what is missing, opens the link, and shows what it is for. */

import { LinkApi } from "../lib/api.js";
import { isAvailable } from "../lib/crypto.js";
import { linkKeys, openDescription, secretIn } from "../lib/link.js";
import { openRequest, requestIn, requestKeys } from "../lib/request.js";
import { cleanPassword, hasPassword } from "../lib/secret.js";
import { RequestApi } from "../lib/upload.js";
import { linkIn } from "../lib/url.js";
import { ask, byId, complain, element, errorText, say, SENDING, show } from "./dom.js";
import { showDescription } from "./receive.js";
import { showRequest } from "./send.js";
import { TEXT } from "./strings.js";

/** @import { Bytes } from "../lib/bytes.js" */

/**
 * @typedef {object} Link
 * @property {boolean} guarded whether it has a password
 * @property {(password: Bytes | undefined) => Promise<void>} open
 * @property {Parameters<typeof errorText>[1]} texts for errors
 * @property {string} closedOrPassword the text if the link or the password opens nothing
 */

function askForLink() {
  ask({
    title: TEXT.pasteTitle, text: TEXT.paste, label: TEXT.pasteLabel, type: "text",
    submit: (value) => {
      const found = linkIn(value);
      if (found === null) return complain(TEXT.noLink);
      openFragment(found);
    },
  });
}

/** @param {{base: string, page: string, fragment: string}} url */
function openFragment(url) {
  const link = url.page === "r" ? requestOf(url) : publicLinkOf(url);
  if (link === null) {
    complain(TEXT.cut);
    return askForLink();
  }
  if (!link.guarded) return open(link);
  ask({
    title: TEXT.passwordTitle, text: TEXT.password, label: TEXT.passwordLabel, type: "password",
    submit: (value) => {
      const password = cleanPassword(value);
      if (password === null) return complain(TEXT.emptyPassword);
      open(link, password);
    },
  });
}

/**
 * @param {{base: string, fragment: string}} url
 * @returns {Link | null} null if the URL was cut
 */
function publicLinkOf({ base, fragment }) {
  const secret = secretIn(fragment);
  if (secret === null) return null;
  return {
    guarded: hasPassword(secret), texts: {}, closedOrPassword: TEXT.closedOrPassword,
    open: async (password) => {
      const keys = await linkKeys(secret, password);
      const api = new LinkApi(base, keys);
      showDescription(api, await openDescription(keys, await api.description(new AbortController().signal)));
    },
  };
}

/**
 * @param {{base: string, fragment: string}} url
 * @returns {Link | null} null if the URL was cut
 */
function requestOf({ base, fragment }) {
  const named = requestIn(fragment);
  if (named === null) return null;
  return {
    guarded: hasPassword(named.secret), texts: SENDING, closedOrPassword: TEXT.closedRequestOrPassword,
    open: async (password) => {
      const keys = await requestKeys(named, password);
      const api = new RequestApi(base, keys);
      showRequest(api, await openRequest(keys, await api.description(new AbortController().signal)));
    },
  };
}

/**
 * @param {Link} link
 * @param {Bytes} [password]
 */
async function open(link, password) {
  say(password ? TEXT.passwordWork : TEXT.opening);
  const button = document.querySelector("button");
  if (button) button.disabled = true;
  try {
    await link.open(password);
    say("");
  } catch (error) {
    say("");
    complain(errorText(error, password ? { ...link.texts, closed: link.closedOrPassword } : link.texts));
    if (button) button.disabled = false;
    else show(element("button", { type: "button", onclick: () => (complain(""), open(link)) }, TEXT.again));
  }
}

function start() {
  byId("promise").textContent = TEXT.promise;
  if (!isAvailable()) return complain(TEXT.old);
  const found = linkIn(location.href);
  if (found === null || found.fragment === "") return askForLink();
  openFragment(found);
}

addEventListener("hashchange", () => location.reload());
start();
