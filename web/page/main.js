/** The page that opens a public link: asks for what is missing, shows what is in it, and saves it. */

import { LinkApi } from "../lib/api.js";
import { isAvailable } from "../lib/crypto.js";
import { SealedError, ServerError } from "../lib/errors.js";
import { cleanPassword, FILE, hasPassword, linkKeys, openDescription, secretIn } from "../lib/link.js";
import { forScreen } from "../lib/names.js";
import { linkIn } from "../lib/url.js";
import { zip } from "../lib/zip.js";
import { localPaths, target } from "./save.js";
import { sizeText, TEXT } from "./strings.js";

/** @import { Bytes } from "../lib/bytes.js" */
/** @import { Description, LinkedFile } from "../lib/link.js" */
/** @import { Target } from "./save.js" */

const SHOWN_EVERY_MS = 200;

/** @param {string} id */
const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, unknown>} [properties]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** @param {...Node} content */
function show(...content) {
  byId("main").replaceChildren(...content);
}

/** @param {string} text which a screen reader reads at once */
function say(text) {
  byId("status").textContent = text;
}

/** @param {string} text */
function complain(text) {
  byId("error").textContent = text;
}

/**
 * A form with one field.
 * @param {{title: string, text: string, label: string, type: string, submit: (value: string) => void}} about
 */
function ask({ title, text, label, type, submit }) {
  const field = element("input", { id: "field", type, autocomplete: "off", spellcheck: false, required: true });
  const name = element("label", { htmlFor: "field" }, label);
  const form = element("form", {}, element("h1", {}, title), element("p", {}, text), name, field,
    element("button", { type: "submit" }, TEXT.open));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    complain("");
    submit(field.value);
  });
  show(form);
  field.focus();
}

function askForLink() {
  ask({
    title: TEXT.pasteTitle, text: TEXT.paste, label: TEXT.pasteLabel, type: "text",
    submit: (value) => {
      const found = linkIn(value);
      if (found === null) return complain(TEXT.noLink);
      openFragment(found.base, found.fragment);
    },
  });
}

/**
 * @param {string} base the URL before `/l`
 * @param {string} fragment
 */
function openFragment(base, fragment) {
  const secret = secretIn(fragment);
  if (secret === null) {
    complain(TEXT.cut);
    return askForLink();
  }
  if (!hasPassword(secret)) return openLink(base, secret);
  ask({
    title: TEXT.passwordTitle, text: TEXT.password, label: TEXT.passwordLabel, type: "password",
    submit: (value) => {
      const password = cleanPassword(value);
      if (password === null) return complain(TEXT.emptyPassword);
      openLink(base, secret, password);
    },
  });
}

/**
 * @param {string} base
 * @param {Bytes} secret
 * @param {Bytes} [password]
 */
async function openLink(base, secret, password) {
  say(password ? TEXT.passwordWork : TEXT.opening);
  const button = document.querySelector("button");
  if (button) button.disabled = true;
  try {
    const keys = await linkKeys(secret, password);
    const api = new LinkApi(base, keys);
    const sealed = await api.description(new AbortController().signal);
    showDescription(api, await openDescription(keys, sealed));
    say("");
  } catch (error) {
    say("");
    complain(errorText(error, password !== undefined));
    if (button) button.disabled = false;
    else show(element("button", { type: "button", onclick: () => (complain(""), openLink(base, secret)) }, TEXT.again));
  }
}

/**
 * @param {LinkApi} api
 * @param {Description} description
 */
function showDescription(api, description) {
  const { kind, name, note, files } = description;
  const size = files.reduce((sum, file) => sum + file.size, 0);
  document.title = TEXT.title; // never the name: titles go to the history
  /** @type {HTMLElement[]} */
  const parts = [
    element("h1", { id: "name", dir: "auto" }, forScreen(name)),
    element("p", { id: "facts" }, kind === FILE ? TEXT.file(sizeText(size)) : TEXT.folder(files.length, sizeText(size))),
  ];
  if (note) {
    parts.push(element("figure", {}, element("figcaption", {}, TEXT.note), element("blockquote", { dir: "auto" }, forScreenLines(note))));
  }
  const all = kind === FILE ? TEXT.download : TEXT.downloadAll;
  parts.push(element("button", { id: "download", type: "button", onclick: () => save(api, description) }, all));
  parts.push(element("div", { id: "progress", hidden: true }));
  if (kind !== FILE) parts.push(fileList(api, description));
  show(...parts);
  byId("download").focus();
}

/** @param {string} text in which line ends stay */
function forScreenLines(text) {
  return text.split("\n").map(forScreen).join("\n");
}

/**
 * @param {LinkApi} api
 * @param {Description} description
 */
function fileList(api, description) {
  const rows = description.files.map((file) => element("li", {},
    element("span", { dir: "auto" }, forScreen(file.path)), element("small", {}, sizeText(file.size)),
    element("button", {
      type: "button", ariaLabel: `${TEXT.downloadOne}: ${forScreen(file.path)}`, onclick: () => save(api, description, file),
    }, TEXT.download)));
  const list = element("ul", { ariaLabel: TEXT.filesLabel }, ...rows);
  const folders = description.folders.map((path) => element("li", { dir: "auto" }, `${forScreen(path)}/`));
  list.append(...folders);
  return list;
}

/**
 * Save one file, or the whole folder as an archive.
 * @param {LinkApi} api
 * @param {Description} description
 * @param {LinkedFile} [file]
 */
async function save(api, description, file = description.kind === FILE ? description.files[0] : undefined) {
  const name = file ? /** @type {string} */ (file.path.split("/").pop()) : `${description.name}.zip`;
  const size = file ? file.size : description.files.reduce((sum, one) => sum + one.size, 0);
  const stop = new AbortController();
  complain("");
  let place;
  try {
    place = await target(name);
    if (place === null) return;
    setBusy(true);
    say(TEXT.starting);
    const shown = progress(size, () => stop.abort());
    await api.start(stop.signal);
    const counted = counting(api, stop.signal, shown);
    const content = file ? counted(file) : zip(entries(description, counted));
    for await (const plaintext of content) await place.write(plaintext);
    await place.close();
    say(TEXT.done(forScreen(name)));
  } catch (error) {
    await place?.discard();
    say("");
    complain(stop.signal.aborted ? TEXT.stopped : errorText(error, false));
  } finally {
    byId("progress").hidden = true;
    setBusy(false);
  }
}

/**
 * @param {LinkApi} api
 * @param {AbortSignal} signal
 * @param {(size: number) => void} shown
 */
function counting(api, signal, shown) {
  /** @param {LinkedFile} file */
  return async function* (file) {
    for await (const plaintext of api.content(file, signal)) {
      shown(plaintext.length);
      yield plaintext;
    }
  };
}

/**
 * @param {Description} description
 * @param {(file: LinkedFile) => AsyncIterable<Bytes>} content
 */
function* entries({ name, files, folders }, content) {
  const local = localPaths(name);
  for (const path of folders) {
    yield { path: `${local(path)}/`, modified: new Date(), executable: false, content: async function* () {} };
  }
  for (const file of files) {
    const modified = new Date(Number(file.mtimeNs / 1_000_000n));
    yield { path: local(file.path), modified, executable: file.executable, content: () => content(file) };
  }
}

/**
 * Show the progress of a download.
 * @param {number} size in bytes
 * @param {() => void} cancel
 * @returns {(more: number) => void} to be called with each piece's size
 */
function progress(size, cancel) {
  const bar = element("progress", { max: size || 1, value: 0, ariaLabel: TEXT.starting });
  const text = element("span", {}, "");
  const box = byId("progress");
  box.replaceChildren(bar, text, element("button", { type: "button", onclick: cancel }, TEXT.cancel));
  box.hidden = false;
  let [done, last] = [0, 0];
  return (more) => {
    done += more;
    if (performance.now() - last < SHOWN_EVERY_MS && done < size) return;
    last = performance.now();
    bar.value = done;
    text.textContent = TEXT.progress(sizeText(done), sizeText(size));
    say("");
  };
}

/** @param {boolean} busy */
function setBusy(busy) {
  for (const button of document.querySelectorAll("#download, li button")) /** @type {HTMLButtonElement} */ (button).disabled = busy;
}

/**
 * @param {unknown} error
 * @param {boolean} withPassword whether a password was sent
 * @returns {string} for the person
 */
function errorText(error, withPassword) {
  if (error instanceof ServerError) {
    if (error.reason === "closed") return withPassword ? TEXT.closedOrPassword : TEXT.closed;
    return error.reason === "refused" ? TEXT.refused(error.message) : TEXT[error.reason];
  }
  if (error instanceof SealedError) return TEXT.damaged(error.message);
  if (error instanceof DOMException && error.name === "QuotaExceededError") return TEXT.noSpace;
  return TEXT.other(error instanceof Error ? error.message : String(error));
}

function start() {
  byId("promise").textContent = TEXT.promise;
  if (!isAvailable()) return complain(TEXT.old);
  const found = linkIn(location.href);
  if (found === null || found.fragment === "") return askForLink();
  openFragment(found.base, found.fragment);
}

addEventListener("hashchange", () => location.reload());
start();
