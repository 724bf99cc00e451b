/** What a request link is for: a person chooses files, and they are sealed and sent one after the other. */

import { toHex } from "../lib/bytes.js";
import { forScreen } from "../lib/names.js";
import { dropName, MAX_SENDER } from "../lib/request.js";
import { ServerError, SourceError } from "../lib/errors.js";
import { Upload } from "../lib/upload.js";
import { byId, complain, element, errorText, noteOf, progress, say, SENDING, show } from "./dom.js";
import { UploadJournal } from "./journal.js";
import { sizeText, TEXT } from "./strings.js";

/** @import { OpenedRequest } from "../lib/request.js" */
/** @import { RequestApi, Source } from "../lib/upload.js" */

const WORTH_KEEPING = 8 << 20; // bytes of a file whose upload can go on after the page was closed
const MOST_CHOSEN = 5000;

/**
 * @typedef {object} Named
 * @property {File} file
 * @property {string} path its name, with the folders that were chosen before it
 */

/**
 * @typedef {object} Chosen
 * @property {File} file
 * @property {string} path
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
  const folder = element("input", { id: "folder", type: "file", multiple: true, webkitdirectory: true });
  const hasFolders = "webkitdirectory" in HTMLInputElement.prototype;
  const folderParts = hasFolders ? [element("label", { htmlFor: "folder" }, TEXT.chooseFolder), folder] : [];
  const list = element("ul", { id: "chosen", ariaLabel: TEXT.filesLabel, hidden: true });
  const button = element("button", { id: "send", type: "submit" }, TEXT.send);
  const form = element("form", {},
    element("label", { htmlFor: "sender" }, TEXT.sender), sender, element("label", { htmlFor: "files" }, TEXT.choose), files,
    ...folderParts, element("p", { id: "drop" }, TEXT.dropHere), list, button, element("div", { id: "progress", hidden: true }));
  /** @type {HTMLElement[]} */
  const parts = [element("h1", { id: "name" }, TEXT.sendTo(forScreen(request.owner)))];
  const limits = limitsOf(request);
  if (limits) parts.push(element("p", { id: "facts" }, limits));
  if (request.note) parts.push(noteOf(request.note, TEXT.requestNote));
  show(...parts, form);
  files.focus();

  /** @type {Chosen[]} */
  const chosen = [];
  /** @param {Named[]} added */
  const add = (added) => {
    complain("");
    if (chosen.length + added.length > MOST_CHOSEN) return complain(TEXT.tooMany(MOST_CHOSEN));
    for (const one of added) chosen.push(rowOf(one, list, (removed) => chosen.splice(chosen.indexOf(removed), 1)));
    list.hidden = chosen.length === 0;
  };
  for (const input of [files, folder]) {
    input.addEventListener("change", () => {
      add([...(input.files ?? [])].map((file) => ({ file, path: file.webkitRelativePath || file.name })));
      input.value = ""; // so that the same file can be chosen again
    });
  }
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
 * @param {Named} named
 * @param {HTMLElement} list
 * @param {(chosen: Chosen) => void} removed
 * @returns {Chosen}
 */
function rowOf({ file, path }, list, removed) {
  const state = element("small", {}, TEXT.waiting);
  const name = forScreen(path);
  const remove = element("button", { type: "button", ariaLabel: TEXT.removeFile(name) }, TEXT.remove);
  const row = element("li", {},
    element("span", { dir: "auto" }, name), element("small", {}, sizeText(file.size)), state, remove);
  const chosen = { file, path, row, state, isSent: false };
  remove.addEventListener("click", () => {
    row.remove();
    list.hidden = list.childElementCount === 0;
    removed(chosen);
  });
  list.append(row);
  return chosen;
}

/** @param {(files: Named[]) => void} add */
function takeDropped(add) {
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", async (event) => {
    event.preventDefault();
    if (document.querySelector("#send:disabled")) return;
    const items = [...(event.dataTransfer?.items ?? [])].filter((item) => item.kind === "file");
    // Both must be asked for at once: after the event, the items are gone.
    const dropped = items.map((item) => ({ entry: item.webkitGetAsEntry?.(), file: item.getAsFile() }));
    try {
      const found = [];
      for (const { entry, file } of dropped) {
        if (entry?.isDirectory) found.push(...(await filesIn(/** @type {FileSystemDirectoryEntry} */ (entry), "")));
        else if (file) found.push({ file, path: file.name });
      }
      add(found);
    } catch {
      complain(TEXT.unreadableFolder);
    }
  });
}

/**
 * @param {FileSystemDirectoryEntry} folder
 * @param {string} before the path of the folder that has it, with a `/`
 * @returns {Promise<Named[]>} the files in a folder and below it
 */
async function filesIn(folder, before) {
  const path = `${before}${folder.name}/`;
  const reader = folder.createReader();
  /** @type {Named[]} */
  const found = [];
  for (;;) {
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (entries.length === 0) return found; // a browser gives a hundred at a time
    for (const entry of entries) {
      if (entry.isDirectory) found.push(...(await filesIn(entry, path)));
      else found.push({ file: await new Promise((resolve, reject) => entry.file(resolve, reject)), path: `${path}${entry.name}` });
      if (found.length > MOST_CHOSEN) return found;
    }
  }
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
      one.state.textContent = TEXT.sent(forScreen(one.path));
      one.row.append(element("small", { className: "receipt" }, `${TEXT.receipt}: `, element("code", {}, toHex(receipt))));
    } catch (error) {
      const text = stop.signal.aborted ? TEXT.uploadStopped
        : errorText(error, SENDING);
      one.state.textContent = text;
      faults.push(`${forScreen(one.path)}: ${text}`);
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
async function sendOne(api, request, { file, path, state }, sender, stop) {
  const source = sourceOf(file, path);
  state.textContent = TEXT.sending;
  say(TEXT.startingUpload);
  const shown = progress(file.size, () => stop.abort(), forScreen(path));
  let before = 0;
  const journal = file.size < WORTH_KEEPING ? null : await UploadJournal.open(request, source);
  return new Upload(api, request, source, sender, journal).run(stop.signal, (done) => {
    shown(done - before);
    before = done;
  });
}

/**
 * @param {File} file
 * @param {string} path
 * @returns {Source}
 */
function sourceOf(file, path) {
  return {
    name: dropName(path), size: file.size, mtimeNs: BigInt(file.lastModified) * 1_000_000n,
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
