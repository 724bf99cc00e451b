/** Sends files through a request link (docs/protocol.md, section 13, "HTTP"): sealed here, segment by segment. */

import { concat, equal, toBase64url } from "./bytes.js";
import { ServerError, SourceError, unreadable } from "./errors.js";
import { ask, body, Tries } from "./http.js";
import * as integrity from "./integrity.js";
import { finishUpload, NewDrop, startUpload, uploadState } from "./request.js";
import { plainStart, sealedSize, segmentCount } from "./stream.js";

/** @import { Bytes } from "./bytes.js" */
/** @import { OpenedRequest } from "./request.js" */
/** @import { UrlKeys } from "./secret.js" */

const MAX_SEALED = 8192;
const MAX_STATE = 128;
const MOST_SEGMENTS = 8;
const SHORT_MS = 1000; // a request that takes less is followed by a larger one
const LONG_MS = 4000;
const FORGET_MS = 3000;

/**
 * @typedef {object} Source
 * @property {string} name valid for a drop
 * @property {number} size in bytes
 * @property {bigint} mtimeNs
 * @property {(start: number, end: number) => Promise<Bytes>} read
 */

/**
 * @typedef {{drop: Bytes, secret: Bytes, salt: Bytes}} Drawn the random values of a drop: 16, 32 and 32 bytes
 */

/**
 * @typedef {object} Journal what is stored of an upload, for another attempt with the same file
 * @property {() => Promise<{drawn: Drawn, leaves: Bytes[]} | null>} read
 * @property {(drawn: Drawn) => Promise<void>} start
 * @property {(leaves: Bytes[]) => Promise<void>} append must end when the leaves are on the disk
 * @property {() => Promise<void>} close
 * @property {() => Promise<void>} remove
 */

/** One request link at its server. */
export class RequestApi {
  /**
   * @param {string} base the URL before `/r`
   * @param {UrlKeys} keys
   */
  constructor(base, keys) {
    this._url = `${base}/r/1/${toBase64url(keys.id)}`;
    this._proof = { Authorization: `FS-Proof ${toBase64url(keys.shown)}` };
    this._ticket = {};
  }

  /**
   * @param {AbortSignal} signal
   * @returns {Promise<Bytes>} the sealed description
   */
  async description(signal) {
    return body(await ask(this._url, { headers: this._proof, signal }), MAX_SEALED);
  }

  /**
   * Start an upload, or ask how much of it the server has.
   * @param {NewDrop} drop
   * @param {number} size of the sealed content
   * @param {AbortSignal} signal
   */
  start(drop, size, signal) {
    return this._state(this._url, { method: "POST", headers: this._proof, body: startUpload(drop.id, drop.salt, size), signal });
  }

  /**
   * @param {NewDrop} drop
   * @param {number} number of the first segment
   * @param {Bytes} segments one to eight
   * @param {AbortSignal} signal
   */
  put(drop, number, segments, signal) {
    return this._state(`${this._of(drop)}/${number}`, { method: "PUT", headers: this._ticket, body: segments, signal });
  }

  /**
   * @param {NewDrop} drop
   * @param {Bytes} end from `finishUpload`
   * @param {AbortSignal} signal
   */
  finish(drop, end, signal) {
    return this._state(this._of(drop), { method: "POST", headers: this._ticket, body: end, signal });
  }

  /**
   * Let the server forget an unfinished upload; it does so by itself after a day.
   * @param {NewDrop} drop
   */
  async forget(drop) {
    const signal = AbortSignal.timeout(FORGET_MS);
    await ask(this._of(drop), { method: "DELETE", headers: this._ticket, signal }).catch(() => undefined);
  }

  /** @param {NewDrop} drop */
  _of(drop) {
    return `${this._url}/${toBase64url(drop.id)}`;
  }

  /**
   * @param {string} url
   * @param {RequestInit} how
   */
  async _state(url, how) {
    const state = uploadState(await body(await ask(url, how), MAX_STATE));
    this._ticket = { Authorization: `FS-Ticket ${toBase64url(state.ticket)}` };
    return state;
  }
}

/** One file on its way to the owner of a request link. A lost connection is made again, and the upload resumes. */
export class Upload {
  /**
   * @param {RequestApi} api
   * @param {OpenedRequest} request
   * @param {Source} source
   * @param {string} sender how the person signs; may be empty
   * @param {Journal | null} [journal] of an earlier attempt, or for a later one
   */
  constructor(api, request, source, sender, journal = null) {
    this._api = api;
    this._request = request;
    this._source = source;
    this._sender = sender;
    this._journal = journal;
    this._stored = 0; // leaves in the journal
    this._count = segmentCount(source.size);
    /** @type {NewDrop | null} */
    this._drop = null;
    /** @type {Bytes[]} those of all segments that were ever sealed */
    this._leaves = [];
    /** @type {{end: Bytes, root: Bytes} | null} the last request, which a repetition must not seal again */
    this._last = null;
    this._most = 1;
  }

  /**
   * @param {AbortSignal} signal
   * @param {(done: number) => void} progress gets the bytes of plaintext that the server has
   * @returns {Promise<Bytes>} the receipt: the root of the sealed content
   */
  async run(signal, progress) {
    const tries = new Tries(signal);
    let isTicketGood = false;
    try {
      this._drop = (await this._resumed(signal)) ?? (await this._started());
      const wasSent = this._leaves.length === this._count; // perhaps also its end
      for (;;) {
        try {
          const state = await this._api.start(this._drop, sealedSize(this._source.size), signal);
          if (state.finished && this._last === null && !wasSent) throw unreadable("The server has a file that was not sent.");
          if (!state.finished) {
            await this._send(this._checked(state.segments), signal, (done) => {
              tries.reset();
              isTicketGood = true;
              progress(done);
            });
          }
          const { root } = await this._end();
          await this._journal?.remove();
          return root;
        } catch (error) {
          if (isTicketGood && error instanceof ServerError && error.reason === "closed") isTicketGood = false; // it got old
          else await tries.failed(error);
        }
      }
    } catch (error) {
      const isLost = error instanceof ServerError && ["lost", "busy"].includes(error.reason) && !signal.aborted;
      if (isLost && this._journal) {
        await this._journal.close();
      } else {
        if (this._drop) await this._api.forget(this._drop);
        await this._journal?.remove();
      }
      throw error;
    }
  }

  /** @returns {Promise<NewDrop>} */
  async _started() {
    const drop = await NewDrop.create(this._request);
    await this._journal?.start(drop.drawn);
    return drop;
  }

  /**
   * Continue an earlier attempt, if the file is unchanged: all segments that may have been sent are sealed again first,
   * because another plaintext must not be sealed under the same key and nonce.
   * @param {AbortSignal} signal
   * @returns {Promise<NewDrop | null>}
   */
  async _resumed(signal) {
    const before = await this._journal?.read();
    if (!before || before.leaves.length > this._count) return null;
    this._drop = await NewDrop.create(this._request, before.drawn);
    this._leaves = before.leaves;
    try {
      for (let at = 0; at < before.leaves.length;) {
        signal.throwIfAborted();
        at += (await this._sealed(at, before.leaves.length)).length;
      }
      this._stored = before.leaves.length;
      return this._drop;
    } catch (error) {
      if (!(error instanceof SourceError)) throw error;
      this._leaves = [];
      return null;
    }
  }

  /**
   * @param {number} from how many segments the server has
   * @param {AbortSignal} signal
   * @param {(done: number) => void} progress
   */
  async _send(from, signal, progress) {
    const { _api: api, _source: source } = this;
    const drop = /** @type {NewDrop} */ (this._drop);
    /** @type {Promise<Bytes[]> | null} */
    let ready = null;
    while (from < this._count) {
      /** @type {Bytes[]} */
      const segments = await (ready ?? this._sealed(from));
      const next = from + segments.length;
      ready = next < this._count ? this._sealed(next) : null; // while the network is busy
      ready?.catch(() => undefined);
      if (this._journal && next > this._stored) await this._store(next);
      const started = performance.now();
      const state = await api.put(drop, from, concat(...segments), signal);
      if (state.segments !== next) throw unreadable("The server has another number of segments than were sent.");
      const took = performance.now() - started;
      if (took < SHORT_MS) this._most = Math.min(this._most * 2, MOST_SEGMENTS);
      else if (took > LONG_MS) this._most = Math.max(this._most >> 1, 1);
      from = next;
      progress(Math.min(plainStart(from), source.size));
    }
    const { finished } = await api.finish(drop, (await this._end()).end, signal);
    if (!finished) throw unreadable("The server does not confirm that the file is complete.");
  }

  /**
   * Store the leaves of segments before they are sent. A journal without one of them must not be used again.
   * @param {number} next
   */
  async _store(next) {
    try {
      await this._journal?.append(this._leaves.slice(this._stored, next));
      this._stored = next;
    } catch {
      await this._journal?.remove();
      this._journal = null;
    }
  }

  /** @param {number} segments which the server says that it has */
  _checked(segments) {
    if (segments > this._leaves.length) throw unreadable("The server has more segments than were sent.");
    return segments;
  }

  /**
   * Seal some segments. A segment that is sealed again must be the same: its key and its nonce are.
   * @param {number} from
   * @param {number} [end] the first one that is not sealed
   */
  async _sealed(from, end = this._count) {
    const { sealer, salt } = /** @type {NewDrop} */ (this._drop);
    const numbers = Array.from({ length: Math.min(this._most, end - from) }, (_, i) => from + i);
    return Promise.all(numbers.map(async (number) => {
      const stop = Math.min(plainStart(number + 1), this._source.size);
      const plaintext = await this._source.read(plainStart(number), stop);
      if (plaintext.length !== stop - plainStart(number)) throw new SourceError("The file became shorter.");
      const segment = await sealer.seal(number, plaintext, number === this._count - 1);
      const leaf = await integrity.leaf(salt, number, segment);
      this._leaves[number] ??= leaf;
      if (!equal(this._leaves[number], leaf)) throw new SourceError("The file was changed.");
      return segment;
    }));
  }

  /** @returns {Promise<{end: Bytes, root: Bytes}>} */
  async _end() {
    if (this._last === null) {
      const drop = /** @type {NewDrop} */ (this._drop);
      const root = await integrity.root(drop.salt, this._leaves, sealedSize(this._source.size));
      const { name, size, mtimeNs } = this._source;
      const note = await drop.note(root, { name, size, mtimeNs, sender: this._sender });
      this._last = { root, end: finishUpload(root, await drop.wrapped(), note) };
    }
    return this._last;
  }
}
