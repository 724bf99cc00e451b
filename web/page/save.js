/**
 * Where a download is saved. Nothing has its final name before `close`.
 *
 * With a file picker, the person chooses the place, and the browser writes to a temporary file until the end.
 * Otherwise the content goes to the private file system of this page's origin, and from there to the downloads;
 * without that, to memory.
 */

/** @import { Bytes } from "../lib/bytes.js" */

/**
 * @typedef {object} Target
 * @property {(plaintext: Bytes) => Promise<void>} write
 * @property {() => Promise<void>} close gives the file its name
 * @property {() => Promise<void>} discard
 */

const KEPT_MS = 60_000; // a browser starts to copy at once, but does not tell when it has ended

/**
 * Must be called from a click: a file picker opens only then.
 * @param {string} name
 * @returns {Promise<Target | null>} null if the person has closed the picker
 */
export async function target(name) {
  const picker = /** @type {any} */ (globalThis).showSaveFilePicker;
  if (picker === undefined) return (await privateFile(name)) ?? inMemory(name);
  try {
    const file = await picker({ suggestedName: localName(name) });
    return fromStream(await file.createWritable(), async () => undefined, async () => undefined);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") return null;
    if (error instanceof DOMException && error.name === "SecurityError") return (await privateFile(name)) ?? inMemory(name);
    throw error;
  }
}

/**
 * @param {string} name a valid name of a file
 * @returns {string} a name that pickers and disks take
 */
export function localName(name) {
  const taken = name.replace(/[\\/:*?"<>|\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Cs}]/gu, "_").replace(/^[. ]+|[. ]+$/g, "_");
  return /^(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)/i.test(taken) ? `_${taken}` : taken;
}

/**
 * @param {string} top a folder
 * @returns {(path: string) => string} gives each path below it a local path of its own: different names can be the
 *   same local name
 */
export function localPaths(top) {
  const taken = new Set();
  return (path) => {
    const parts = [top, ...path.split("/")].map(localName);
    const last = /** @type {string} */ (parts.pop());
    const dot = last.lastIndexOf(".") > 0 ? last.lastIndexOf(".") : last.length;
    for (let number = 1; ; number++) {
      const name = number === 1 ? last : `${last.slice(0, dot)} (${number})${last.slice(dot)}`;
      const local = [...parts, name].join("/");
      if (!taken.has(local.toLowerCase())) {
        taken.add(local.toLowerCase());
        return local;
      }
    }
  };
}

/** @param {string} name */
async function privateFile(name) {
  let folder;
  try {
    folder = await navigator.storage.getDirectory();
  } catch {
    return null; // a private window, or a page from a disk
  }
  await removeOld(folder);
  const own = `${Date.now()}-${crypto.randomUUID()}`;
  const handle = await folder.getFileHandle(own, { create: true });
  if (handle.createWritable === undefined) return null;
  const remove = () => folder.removeEntry(own).catch(() => undefined);
  return fromStream(await handle.createWritable(), async () => {
    offer(await handle.getFile(), name);
    setTimeout(remove, KEPT_MS);
  }, remove);
}

/** @param {FileSystemDirectoryHandle} folder */
async function removeOld(folder) {
  for await (const name of /** @type {any} */ (folder).keys()) {
    if (Date.now() - Number.parseInt(name, 10) > 24 * 3600 * 1000) await folder.removeEntry(name).catch(() => undefined);
  }
}

/**
 * @param {FileSystemWritableFileStream} stream
 * @param {() => Promise<void>} closed
 * @param {() => Promise<unknown>} removed
 * @returns {Target}
 */
function fromStream(stream, closed, removed) {
  return {
    write: (plaintext) => stream.write(plaintext),
    close: async () => {
      await stream.close();
      await closed();
    },
    discard: async () => {
      await stream.abort().catch(() => undefined); // it may have failed before
      await removed();
    },
  };
}

/**
 * @param {string} name
 * @returns {Target}
 */
function inMemory(name) {
  /** @type {Bytes[]} */
  let parts = [];
  return {
    write: async (plaintext) => void parts.push(plaintext),
    close: async () => offer(new Blob(parts), name),
    discard: async () => void (parts = []),
  };
}

/**
 * @param {Blob} content
 * @param {string} name
 */
function offer(content, name) {
  const url = URL.createObjectURL(content);
  const link = document.createElement("a");
  link.href = url;
  link.download = localName(name);
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), KEPT_MS);
}
