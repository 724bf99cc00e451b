/** What a public link opens: its name, its size and the files, to be saved. */

import { FILE } from "../lib/link.js";
import { forScreen } from "../lib/names.js";
import { zip } from "../lib/zip.js";
import { byId, complain, element, errorText, noteOf, progress, say, show } from "./dom.js";
import { localPaths, target } from "./save.js";
import { sizeText, TEXT } from "./strings.js";

/** @import { LinkApi } from "../lib/api.js" */
/** @import { Bytes } from "../lib/bytes.js" */
/** @import { Description, LinkedFile } from "../lib/link.js" */

/**
 * @param {LinkApi} api
 * @param {Description} description
 */
export function showDescription(api, description) {
  const { kind, name, note, files } = description;
  const size = files.reduce((sum, file) => sum + file.size, 0);
  document.title = TEXT.title; // never the name: titles go to the history
  /** @type {HTMLElement[]} */
  const parts = [
    element("h1", { id: "name", dir: "auto" }, forScreen(name)),
    element("p", { id: "facts" }, kind === FILE ? TEXT.file(sizeText(size)) : TEXT.folder(files.length, sizeText(size))),
  ];
  if (note) parts.push(noteOf(note));
  const all = kind === FILE ? TEXT.download : TEXT.downloadAll;
  parts.push(element("button", { id: "download", type: "button", onclick: () => save(api, description) }, all));
  parts.push(element("div", { id: "progress", hidden: true }));
  if (kind !== FILE) parts.push(fileList(api, description));
  show(...parts);
  byId("download").focus();
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
    complain(stop.signal.aborted ? TEXT.stopped : errorText(error));
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

/** @param {boolean} busy */
function setBusy(busy) {
  for (const button of document.querySelectorAll("#download, li button")) /** @type {HTMLButtonElement} */ (button).disabled = busy;
}
