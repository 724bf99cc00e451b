/** Requests to a server: every failure is a ServerError, and those that may pass are repeated. */

import { concat } from "./bytes.js";
import { ServerError, unreadable } from "./errors.js";

/** @import { Bytes } from "./bytes.js" */
/** @import { Reason } from "./errors.js" */

const TRIES = 8;
const FIRST_WAIT_MS = 500;
const MOST_WAIT_MS = 15_000;
const MAX_WORD = 64;
/** @type {Record<string, Reason>} words of docs/protocol.md, section 13 */
const WORDS = {
  full: "full", "too-large": "tooLarge", "no-room": "noRoom", busy: "busy", taken: "taken", order: "order", damaged: "notWhole",
};

/**
 * @param {string} url
 * @param {RequestInit} how
 * @returns {Promise<Response>} an answer with a good status
 */
export async function ask(url, how) {
  let answer;
  try {
    answer = await fetch(url, { ...how, cache: "no-store", credentials: "omit", referrerPolicy: "no-referrer", redirect: "error" });
  } catch (error) {
    throw lostOr(error);
  }
  if (answer.ok) return answer;
  if (answer.status === 404) throw new ServerError("closed", "The link opens nothing.");
  const word = new TextDecoder().decode(await body(answer, MAX_WORD).catch(() => new Uint8Array(0))).trim();
  if (Object.hasOwn(WORDS, word)) throw new ServerError(WORDS[word], `The server says: ${word}.`);
  if ([408, 429, 503].includes(answer.status)) throw new ServerError("busy", "The server is busy.");
  throw new ServerError("refused", `The server answered with the status ${answer.status}.`);
}

/** Counts failures in a row, and waits longer after each. */
export class Tries {
  /** @param {AbortSignal} signal */
  constructor(signal) {
    this._signal = signal;
    this._failures = 0;
  }

  /** To be called when there is progress. */
  reset() {
    this._failures = 0;
  }

  /**
   * Wait before the next try.
   * @param {unknown} error which is thrown again if another try is of no use
   */
  async failed(error) {
    const again = error instanceof ServerError && ["lost", "busy", "order"].includes(error.reason);
    if (!again || ++this._failures >= TRIES || this._signal.aborted) throw error;
    await pause(Math.min(FIRST_WAIT_MS * 2 ** (this._failures - 1), MOST_WAIT_MS), this._signal);
  }
}

/**
 * @param {Response} answer
 * @returns {AsyncGenerator<Bytes>}
 */
export async function* chunks(answer) {
  const reader = /** @type {ReadableStream<Bytes>} */ (answer.body).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((error) => Promise.reject(lostOr(error)));
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => undefined); // it may have ended; what matters was received
  }
}

/**
 * @param {Response} answer
 * @param {number} most bytes
 */
export async function body(answer, most) {
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
