/** Requests to the server of a public link (docs/protocol.md, section 12, "HTTP"). */

import { concat, toBase64url } from "./bytes.js";
import { ContentOpener } from "./content.js";
import { ServerError, unreadable } from "./errors.js";

/** @import { Bytes } from "./bytes.js" */
/** @import { LinkedFile, LinkKeys } from "./link.js" */

const MAX_SEALED = 1 << 23;
const MAX_TICKET = 64;
const TRIES = 8;
const FIRST_WAIT_MS = 500;
const MOST_WAIT_MS = 15_000;

/** One link at its server. */
export class LinkApi {
  /**
   * @param {string} base the URL before `/l`
   * @param {LinkKeys} keys
   */
  constructor(base, keys) {
    this._url = `${base}/l/1/${toBase64url(keys.link)}`;
    this._proof = `FS-Proof ${toBase64url(keys.shown)}`;
    /** @type {string | null} */
    this._ticket = null;
  }

  /**
   * @param {AbortSignal} signal
   * @returns {Promise<Bytes>} the sealed description
   */
  async description(signal) {
    const answer = await this._ask(this._url, { headers: { Authorization: this._proof }, signal });
    return body(answer, MAX_SEALED);
  }

  /**
   * Start a download. The server counts it once, however many files are fetched and however often.
   * @param {AbortSignal} signal
   */
  async start(signal) {
    if (this._ticket !== null) return;
    const answer = await this._ask(this._url, { method: "POST", headers: { Authorization: this._proof }, signal });
    this._ticket = toBase64url(await body(answer, MAX_TICKET));
  }

  /**
   * Fetch and open one file, after `start`. A lost connection is made again, and the download goes on where it was.
   * @param {LinkedFile} file
   * @param {AbortSignal} signal
   * @yields {Bytes} plaintext; the file is whole when the generator has ended without an error
   */
  async *content(file, signal) {
    const opener = new ContentOpener(file);
    for (let tries = 0; ; ) {
      try {
        for await (const chunk of await this._chunks(file, opener.position, signal)) {
          for (const plaintext of await opener.push(chunk)) {
            yield plaintext;
            tries = 0;
          }
        }
        await opener.finish();
        return;
      } catch (error) {
        const again = error instanceof ServerError && (error.reason === "lost" || error.reason === "busy");
        if (!again || ++tries >= TRIES || signal.aborted) throw error;
        opener.restart();
        await pause(Math.min(FIRST_WAIT_MS * 2 ** (tries - 1), MOST_WAIT_MS), signal);
      }
    }
  }

  /**
   * @param {LinkedFile} file
   * @param {number} from
   * @param {AbortSignal} signal
   */
  async _chunks(file, from, signal) {
    const headers = { Authorization: `FS-Ticket ${this._ticket}`, ...(from > 0 && { Range: `bytes=${from}-` }) };
    const answer = await this._ask(`${this._url}/${toBase64url(file.root)}`, { headers, signal });
    if (from > 0 && answer.status !== 206) throw unreadable("The server does not send the rest of a file.");
    return chunks(answer);
  }

  /**
   * @param {string} url
   * @param {RequestInit} how
   */
  async _ask(url, how) {
    let answer;
    try {
      answer = await fetch(url, { ...how, cache: "no-store", credentials: "omit", referrerPolicy: "no-referrer", redirect: "error" });
    } catch (error) {
      throw lostOr(error);
    }
    if (answer.ok) return answer;
    if (answer.status === 404) throw new ServerError("closed", "The link opens nothing.");
    if (answer.status === 503 || answer.status === 429) throw new ServerError("busy", "The server is busy.");
    throw new ServerError("refused", `The server answered with the status ${answer.status}.`);
  }
}

/**
 * @param {Response} answer
 * @returns {AsyncGenerator<Bytes>}
 */
async function* chunks(answer) {
  const reader = /** @type {ReadableStream<Bytes>} */ (answer.body).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((error) => Promise.reject(lostOr(error)));
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => undefined); // it may have ended; what matters has been told
  }
}

/**
 * @param {Response} answer
 * @param {number} most bytes
 */
async function body(answer, most) {
  const parts = [];
  let size = 0;
  for await (const chunk of chunks(answer)) {
    size += chunk.length;
    if (size > most) throw unreadable("The server's answer is too long.");
    parts.push(chunk);
  }
  return concat(...parts);
}

/** @param {unknown} error from `fetch`: TypeError for everything that the network does */
function lostOr(error) {
  return error instanceof TypeError ? new ServerError("lost", "The server cannot be reached.") : error;
}

/**
 * @param {number} ms
 * @param {AbortSignal} signal
 */
function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => (clearTimeout(timer), reject(signal.reason));
    const timer = setTimeout(() => (signal.removeEventListener("abort", stop), resolve(undefined)), ms);
    signal.addEventListener("abort", stop, { once: true });
  });
}
