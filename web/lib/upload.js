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
   */
  constructor(api, request, source, sender) {
    this._api = api;
    this._request = request;
    this._source = source;
    this._sender = sender;
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
    this._drop = await NewDrop.create(this._request);
    const tries = new Tries(signal);
    let isTicketGood = false;
    try {
      for (;;) {
        try {
          const state = await this._api.start(this._drop, sealedSize(this._source.size), signal);
          if (state.finished && this._last === null) throw unreadable("The server has a file that was not sent.");
          if (!state.finished) {
            await this._send(this._checked(state.segments), signal, (done) => {
              tries.reset();
              isTicketGood = true;
              progress(done);
            });
          }
          return (await this._end()).root;
        } catch (error) {
          if (isTicketGood && error instanceof ServerError && error.reason === "closed") isTicketGood = false; // it got old
          else await tries.failed(error);
        }
      }
    } catch (error) {
      await this._api.forget(this._drop);
      throw error;
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

  /** @param {number} segments which the server says that it has */
  _checked(segments) {
    if (segments > this._leaves.length) throw unreadable("The server has more segments than were sent.");
    return segments;
  }

  /**
   * Seal some segments. A segment that is sealed again must be the same: its key and its nonce are.
   * @param {number} from
   */
  async _sealed(from) {
    const { sealer, salt } = /** @type {NewDrop} */ (this._drop);
    const numbers = Array.from({ length: Math.min(this._most, this._count - from) }, (_, i) => from + i);
    return Promise.all(numbers.map(async (number) => {
      const end = Math.min(plainStart(number + 1), this._source.size);
      const plaintext = await this._source.read(plainStart(number), end);
      if (plaintext.length !== end - plainStart(number)) throw new SourceError("The file became shorter.");
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
