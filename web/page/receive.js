/** What a public link opens: its name, its size and the files, to be saved. */

import { toHex } from "../lib/bytes.js";
import { sha256 } from "../lib/crypto.js";
import { SealedError, ServerError } from "../lib/errors.js";
import { FILE } from "../lib/link.js";
import { forScreen } from "../lib/names.js";
import { zip } from "../lib/zip.js";
import { byId, complain, element, errorText, noteOf, progress, say, show } from "./dom.js";
import { localPaths, target } from "./save.js";
import { sizeText, TEXT } from "./strings.js";

/** @import { LinkApi } from "../lib/api.js" */
/** @import { Bytes } from "../lib/bytes.js" */
/** @import { Description, LinkedFile } from "../lib/link.js" */
/** @import { Target } from "./save.js" */

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
    place = await target(name, file && (await contentId(api, file)));
    if (place === null) return;
    setBusy(true);
    say(TEXT.starting);
    if (file) await saveFile(api, file, place, stop);
    else await saveFolder(api, description, place, size, stop);
    await place.close();
    say(TEXT.done(forScreen(name)));
  } catch (error) {
    say("");
    const isLost = error instanceof ServerError && ["lost", "busy"].includes(error.reason) && !stop.signal.aborted;
    if (isLost && place?.resumable) await place.resumable.suspend().catch(() => undefined);
    else await place?.discard();
    complain(stop.signal.aborted ? TEXT.stopped : errorText(error));
  } finally {
    byId("progress").hidden = true;
    setBusy(false);
  }
}

/**
 * @param {LinkApi} api
 * @param {Description} description
 * @param {Target} place
 * @param {number} size
 * @param {AbortController} stop
 */
async function saveFolder(api, description, place, size, stop) {
  const shown = progress(size, () => stop.abort());
  await api.start(stop.signal);
  const content = (/** @type {LinkedFile} */ file) => counted(shown, api.content(file, stop.signal));
  for await (const piece of zip(entries(description, content))) await place.write(piece);
}

/**
 * @param {LinkApi} api
 * @param {LinkedFile} file
 * @param {Target} place
 * @param {AbortController} stop
 */
async function saveFile(api, file, place, stop) {
  const { resumable } = place;
  api.ticket ??= resumable?.ticket ?? null;
  let isTicketOld = api.ticket !== null;
  for (;;) {
    const shown = progress(file.size, () => stop.abort());
    let kept = 0;
    try {
      await api.start(stop.signal);
      await resumable?.remember(/** @type {Bytes} */ (api.ticket));
      const stored = counted((size) => shown((kept += size, size)), resumable?.kept(file.size) ?? []);
      for await (const plaintext of counted(shown, api.content(file, stop.signal, stored))) await place.write(plaintext);
      return;
    } catch (error) {
      if (kept > 0 && error instanceof SealedError) await resumable?.reset(); // the stored part was changed
      else if (isTicketOld && error instanceof ServerError && error.reason === "closed") api.ticket = null;
      else throw error;
      isTicketOld = false;
    }
  }
}

/**
 * @param {LinkApi} api
 * @param {LinkedFile} file
 * @returns {Promise<string>} a name for what is stored of a file of a link
 */
async function contentId(api, { root }) {
  return toHex(await sha256(api.id, root));
}

/**
 * @param {(size: number) => void} shown
 * @param {AsyncIterable<Bytes> | Bytes[]} content
 */
async function* counted(shown, content) {
  for await (const plaintext of content) {
    shown(plaintext.length);
    yield plaintext;
  }
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
