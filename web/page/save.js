/**
 * Where a download is saved. Nothing has its final name before `close`.
 *
 * With a file picker, the person chooses the place, and the browser writes to a temporary file until the end.
 * Otherwise the content goes to the private file system of this page's origin, and from there to the downloads;
 * without that, to memory. In the private file system, a file that is incomplete stays for a day, so that its download
 * can go on after the page was closed.
 */

import { plainLength, plainStart } from "../lib/stream.js";
import { PrivateFile } from "./private.js";

/** @import { Bytes } from "../lib/bytes.js" */

/**
 * @typedef {object} Target
 * @property {(plaintext: Bytes) => Promise<void>} write takes the bytes over
 * @property {() => Promise<void>} close gives the file its name
 * @property {() => Promise<void>} discard
 * @property {Resumable} [resumable]
 */

/**
 * @typedef {object} Resumable
 * @property {Bytes | null} ticket of the download, if it was started before
 * @property {(ticket: Bytes) => Promise<void>} remember
 * @property {(size: number) => AsyncIterable<Bytes>} kept the whole segments that are there, before the first `write`
 * @property {() => Promise<void>} reset keeps nothing
 * @property {() => Promise<void>} suspend keeps everything
 */

const OFFERED_MS = 60_000; // a browser starts to copy at once, but does not tell when it has ended
const HEAD_SIZE = 128; // of a private file: the length of the ticket, the ticket, zeros

/**
 * Must be called from a click: a file picker opens only then.
 * @param {string} name
 * @param {string} [id] of the content, if its download can go on later
 * @returns {Promise<Target | null>} null if the person has closed the picker
 */
export async function target(name, id) {
  const picker = /** @type {any} */ (globalThis).showSaveFilePicker;
  if (picker === undefined) return (await privateTarget(name, id)) ?? inMemory(name);
  try {
    const file = await picker({ suggestedName: localName(name) });
    return fromStream(await file.createWritable());
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") return null;
    if (error instanceof DOMException && error.name === "SecurityError") return (await privateTarget(name, id)) ?? inMemory(name);
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

/**
 * @param {string} name
 * @param {string} [id]
 * @returns {Promise<Target | null>} null if this browser has no private files here
 */
export async function privateTarget(name, id) {
  // A second page that downloads the same has a file of its own.
  const opened = id === undefined ? null : await PrivateFile.open(`part-${id}`);
  const file = opened ?? (await PrivateFile.open(crypto.randomUUID()));
  if (file === null) return null;
  let at = Math.max(file.size, HEAD_SIZE);
  const head = await file.read(0, HEAD_SIZE);
  if (head.length < HEAD_SIZE) await file.write(0, new Uint8Array(HEAD_SIZE));
  return {
    write: (plaintext) => {
      at += plaintext.length;
      return file.write(at - plaintext.length, plaintext);
    },
    close: async () => {
      await file.close();
      offer((await file.content()).slice(HEAD_SIZE), name);
      setTimeout(() => file.remove(), OFFERED_MS);
    },
    discard: () => file.remove(),
    resumable: opened === null ? undefined : {
      ticket: head[0] > 0 ? head.slice(1, 1 + head[0]) : null,
      remember: async (ticket) => {
        const bytes = new Uint8Array(HEAD_SIZE);
        bytes[0] = ticket.length;
        bytes.set(ticket, 1);
        await file.write(0, bytes);
      },
      kept: async function* (size) {
        const stored = Math.min(file.size - HEAD_SIZE, size - 1); // the last segment comes from the server in any case
        at = HEAD_SIZE;
        for (let i = 0; plainStart(i + 1) <= stored; i++) {
          yield await file.read(at, plainLength(i));
          at += plainLength(i);
        }
        await file.truncate(at);
      },
      reset: async () => {
        await file.truncate(HEAD_SIZE);
        at = HEAD_SIZE;
      },
      suspend: () => file.close(),
    },
  };
}

/**
 * @param {FileSystemWritableFileStream} stream
 * @returns {Target}
 */
function fromStream(stream) {
  return {
    write: (plaintext) => stream.write(plaintext),
    close: () => stream.close(),
    discard: () => stream.abort().catch(() => undefined), // it may have failed before
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
  setTimeout(() => URL.revokeObjectURL(url), OFFERED_MS);
}
