/** What a request link is for: a person chooses files, and they are sealed and sent one after the other. */

import { toHex } from "../lib/bytes.js";
import { forScreen } from "../lib/names.js";
import { dropName, MAX_SENDER } from "../lib/request.js";
import { ServerError, SourceError } from "../lib/errors.js";
import { Upload } from "../lib/upload.js";
import { byId, complain, element, errorText, noteOf, progress, say, SENDING, show } from "./dom.js";
import { sizeText, TEXT } from "./strings.js";

/** @import { OpenedRequest } from "../lib/request.js" */
/** @import { RequestApi, Source } from "../lib/upload.js" */

/**
 * @typedef {object} Chosen
 * @property {File} file
 * @property {HTMLElement} row
 * @property {HTMLElement} state shown in the row
 * @property {boolean} isSent
 */

/**
 * @param {RequestApi} api
 * @param {OpenedRequest} request
 */
export function showRequest(api, request) {
  document.title = TEXT.requestTitle;
  byId("promise").textContent = TEXT.promiseSend;
  const sender = element("input", { id: "sender", type: "text", autocomplete: "name", maxLength: MAX_SENDER });
  const files = element("input", { id: "files", type: "file", multiple: true });
  const list = element("ul", { id: "chosen", ariaLabel: TEXT.filesLabel, hidden: true });
  const button = element("button", { id: "send", type: "submit" }, TEXT.send);
  const form = element("form", {},
    element("label", { htmlFor: "sender" }, TEXT.sender), sender, element("label", { htmlFor: "files" }, TEXT.choose), files,
    element("p", { id: "drop" }, TEXT.dropHere), list, button, element("div", { id: "progress", hidden: true }));
  /** @type {HTMLElement[]} */
  const parts = [element("h1", { id: "name" }, TEXT.sendTo(forScreen(request.owner)))];
  const limits = limitsOf(request);
  if (limits) parts.push(element("p", { id: "facts" }, limits));
  if (request.note) parts.push(noteOf(request.note, TEXT.requestNote));
  show(...parts, form);
  files.focus();

  /** @type {Chosen[]} */
  const chosen = [];
  /** @param {Iterable<File>} added */
  const add = (added) => {
    complain("");
    for (const file of added) chosen.push(rowOf(file, list, (one) => chosen.splice(chosen.indexOf(one), 1)));
    list.hidden = chosen.length === 0;
  };
  files.addEventListener("change", () => {
    add(files.files ?? []);
    files.value = ""; // so that the same file can be chosen again
  });
  takeDropped(add);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    complain("");
    if (!chosen.some((one) => !one.isSent)) return complain(TEXT.chooseFirst);
    send(api, request, chosen, sender.value.trim());
  });
}

/** @param {OpenedRequest} request */
function limitsOf({ maxFiles, maxBytes, expiresMs }) {
  const limits = [];
  if (maxFiles !== null) limits.push(TEXT.mostFiles(String(maxFiles)));
  if (maxBytes !== null) limits.push(TEXT.mostBytes(sizeText(Number(maxBytes))));
  if (expiresMs !== null && expiresMs <= 8_640_000_000_000_000n) { // the last time that a Date can have
    limits.push(TEXT.until(new Date(Number(expiresMs)).toLocaleString([], { dateStyle: "long", timeStyle: "short" })));
  }
  const text = limits.join(", ");
  return text && `${text[0].toUpperCase()}${text.slice(1)}.`;
}

/**
 * @param {File} file
 * @param {HTMLElement} list
 * @param {(chosen: Chosen) => void} removed
 * @returns {Chosen}
 */
function rowOf(file, list, removed) {
  const state = element("small", {}, TEXT.waiting);
  const name = forScreen(file.name);
  const remove = element("button", { type: "button", ariaLabel: TEXT.removeFile(name) }, TEXT.remove);
  const row = element("li", {},
    element("span", { dir: "auto" }, name), element("small", {}, sizeText(file.size)), state, remove);
  const chosen = { file, row, state, isSent: false };
  remove.addEventListener("click", () => {
    row.remove();
    list.hidden = list.childElementCount === 0;
    removed(chosen);
  });
  list.append(row);
  return chosen;
}

/** @param {(files: Iterable<File>) => void} add */
function takeDropped(add) {
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    const items = [...(event.dataTransfer?.items ?? [])].filter((item) => item.kind === "file");
    const isFolder = items.map((item) => item.webkitGetAsEntry?.()?.isDirectory === true);
    const files = [...(event.dataTransfer?.files ?? [])].filter((_, i) => !isFolder[i]);
    if (document.querySelector("#send:disabled")) return;
    add(files);
    if (isFolder.includes(true)) complain(TEXT.noFolders);
  });
}

/**
 * Send all files that were not sent yet. One that cannot be sent does not stop the others, unless none can be sent.
 * @param {RequestApi} api
 * @param {OpenedRequest} request
 * @param {Chosen[]} chosen
 * @param {string} sender
 */
async function send(api, request, chosen, sender) {
  const stop = new AbortController();
  setBusy(true);
  const faults = [];
  for (const one of chosen.filter((other) => !other.isSent)) {
    try {
      const receipt = await sendOne(api, request, one, sender, stop);
      one.isSent = true;
      one.row.querySelector("button")?.remove();
      one.state.textContent = TEXT.sent(forScreen(one.file.name));
      one.row.append(element("small", { className: "receipt" }, `${TEXT.receipt}: `, element("code", {}, toHex(receipt))));
    } catch (error) {
      const text = stop.signal.aborted ? TEXT.uploadStopped
        : errorText(error, SENDING);
      one.state.textContent = text;
      faults.push(`${forScreen(one.file.name)}: ${text}`);
      if (stop.signal.aborted || isForAll(error)) break;
    }
  }
  setBusy(false);
  byId("progress").hidden = true;
  say(faults.length === 0 ? TEXT.allSent(chosen.length) : "");
  complain(faults.join("\n"));
}

/**
 * @param {RequestApi} api
 * @param {OpenedRequest} request
 * @param {Chosen} chosen
 * @param {string} sender
 * @param {AbortController} stop
 */
async function sendOne(api, request, { file, state }, sender, stop) {
  const source = sourceOf(file);
  state.textContent = TEXT.sending;
  say(TEXT.startingUpload);
  const shown = progress(file.size, () => stop.abort(), forScreen(file.name));
  let before = 0;
  return new Upload(api, request, source, sender).run(stop.signal, (done) => {
    shown(done - before);
    before = done;
  });
}

/**
 * @param {File} file
 * @returns {Source}
 */
function sourceOf(file) {
  return {
    name: dropName(file.name), size: file.size, mtimeNs: BigInt(file.lastModified) * 1_000_000n,
    read: async (start, end) => {
      try {
        return new Uint8Array(await file.slice(start, end).arrayBuffer());
      } catch {
        throw new SourceError("It was changed, moved or removed.");
      }
    },
  };
}

/** @param {unknown} error */
function isForAll(error) {
  return error instanceof ServerError && ["closed", "lost", "busy", "full", "noRoom", "refused"].includes(error.reason);
}

/** @param {boolean} busy */
function setBusy(busy) {
  for (const one of document.querySelectorAll("form input, #send, #chosen button")) /** @type {HTMLInputElement} */ (one).disabled = busy;
  globalThis.onbeforeunload = busy ? (event) => event.preventDefault() : null;
}
