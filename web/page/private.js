/**
 * Files in the private file system of this page's origin.
 *
 * A worker reads and writes them: browsers let only workers write to such a file directly, and what was written stays
 * when the page is closed.
 */

/** @import { Bytes } from "../lib/bytes.js" */

const MOST_WAITING = 8; // writes
const KEPT_MS = 24 * 3600 * 1000;

/** What the worker does. It runs elsewhere, so it uses nothing of this module. */
function work() {
  /** @type {any} */
  let handle;
  /** @type {Record<string, (...values: any[]) => unknown>} */
  const acts = {
    open: async (name) => {
      const folder = await navigator.storage.getDirectory();
      handle = await (/** @type {any} */ (await folder.getFileHandle(name, { create: true }))).createSyncAccessHandle();
      return handle.getSize();
    },
    read: (at, size) => {
      const bytes = new Uint8Array(size);
      return bytes.subarray(0, handle.read(bytes, { at }));
    },
    write: (at, bytes) => {
      if (handle.write(bytes, { at }) !== bytes.length) throw new DOMException("The disk is full.", "QuotaExceededError");
    },
    truncate: (size) => handle.truncate(size),
    flush: () => handle.flush(),
    close: () => handle.close(),
  };
  let last = Promise.resolve();
  globalThis.onmessage = ({ data: [number, act, ...values] }) => {
    last = last.then(() => acts[act](...values))
      .then((value) => postMessage([number, value]), (error) => postMessage([number, undefined, error]));
  };
}

/** A file that is open. Another page, or another part of this one, cannot open it at the same time. */
export class PrivateFile {
  /** @param {Worker} worker */
  constructor(worker) {
    this._worker = worker;
    this._name = "";
    this._asked = 0;
    /** @type {Map<number, {resolve: (value: any) => void, reject: (error: unknown) => void}>} */
    this._waiting = new Map();
    /** @type {Promise<void>[]} */
    this._writes = [];
    this.size = 0;
    worker.onmessage = ({ data: [number, value, error] }) => {
      const asked = this._waiting.get(number);
      this._waiting.delete(number);
      if (error === undefined) asked?.resolve(value);
      else asked?.reject(error);
    };
    worker.onerror = () => {
      for (const { reject } of this._waiting.values()) reject(new Error("The worker of the page failed."));
    };
  }

  /**
   * Open a file, or make it. Files that nobody has written to for a day are removed.
   * @param {string} name
   * @returns {Promise<PrivateFile | null>} null if this browser has no such files here, or another page has this one open
   */
  static async open(name) {
    /** @type {PrivateFile | null} */
    let made = null;
    try {
      await removeOld();
      const url = URL.createObjectURL(new Blob([`(${work})()`], { type: "text/javascript" }));
      made = new PrivateFile(new Worker(url));
      made.size = await made._ask("open", name);
      URL.revokeObjectURL(url);
      made._name = name;
      return made;
    } catch {
      made?._worker.terminate();
      return null; // a private window, or a page from a disk
    }
  }

  /**
   * @param {string} act
   * @param {...unknown} values
   * @returns {Promise<any>}
   */
  _ask(act, ...values) {
    return this._post(act, values, []);
  }

  /**
   * @param {string} act
   * @param {unknown[]} values
   * @param {Transferable[]} given
   * @returns {Promise<any>}
   */
  _post(act, values, given) {
    return new Promise((resolve, reject) => {
      const number = this._asked++;
      this._waiting.set(number, { resolve, reject });
      this._worker.postMessage([number, act, ...values], given);
    });
  }

  /**
   * @param {number} at
   * @param {number} size
   * @returns {Promise<Bytes>} fewer bytes at the end of the file
   */
  read(at, size) {
    return this._ask("read", at, size);
  }

  /**
   * Write soon; wait only if many writes have not ended. An error is thrown by a later call.
   * @param {number} at
   * @param {Bytes} bytes which the caller does not use again
   */
  async write(at, bytes) {
    this.size = Math.max(this.size, at + bytes.length);
    const writing = this._post("write", [at, bytes], bytes.length === bytes.buffer.byteLength ? [bytes.buffer] : []);
    writing.catch(() => undefined);
    this._writes.push(writing);
    if (this._writes.length > MOST_WAITING) await this._writes.shift();
  }

  /** @param {number} size */
  async truncate(size) {
    await this._ask("truncate", size);
    this.size = size;
  }

  /** Wait until everything is on the disk. */
  async flush() {
    await Promise.all(this._writes);
    this._writes = [];
    await this._ask("flush");
  }

  /** Wait until everything is written, and let others use the file. */
  async close() {
    try {
      await Promise.all(this._writes);
      await this._ask("close");
    } finally {
      this._worker.terminate(); // this closes the file, too
    }
  }

  /** @returns {Promise<File>} the file as it is now, after `close` */
  async content() {
    return (await (await navigator.storage.getDirectory()).getFileHandle(this._name)).getFile();
  }

  async remove() {
    this._worker.terminate();
    // The browser may need a moment to close the file. If it takes longer, the file is removed after a day.
    for (let tries = 0; tries < 20; tries++) {
      try {
        return await (await navigator.storage.getDirectory()).removeEntry(this._name);
      } catch (error) {
        if (!(error instanceof DOMException) || error.name !== "NoModificationAllowedError") return;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }
}

async function removeOld() {
  const folder = await navigator.storage.getDirectory();
  for await (const [name, handle] of /** @type {any} */ (folder).entries()) {
    const { lastModified } = await handle.getFile();
    if (Date.now() - lastModified > KEPT_MS) await folder.removeEntry(name).catch(() => undefined);
  }
}
