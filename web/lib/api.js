/** Requests to the server of a public link (docs/protocol.md, section 12, "HTTP"). */

import { toBase64url } from "./bytes.js";
import { ContentOpener } from "./content.js";
import { ServerError, unreadable } from "./errors.js";
import { ask, body, chunks, Tries } from "./http.js";

/** @import { Bytes } from "./bytes.js" */
/** @import { LinkedFile } from "./link.js" */
/** @import { UrlKeys } from "./secret.js" */

const MAX_SEALED = 1 << 23;
const MAX_TICKET = 64;

/** One link at its server. */
export class LinkApi {
  /**
   * @param {string} base the URL before `/l`
   * @param {UrlKeys} keys
   */
  constructor(base, keys) {
    this.id = keys.id;
    this._url = `${base}/l/1/${toBase64url(keys.id)}`;
    this._proof = `FS-Proof ${toBase64url(keys.shown)}`;
    /** @type {Bytes | null} of the download; it can be stored, and set again within a day to resume */
    this.ticket = null;
  }

  /**
   * @param {AbortSignal} signal
   * @returns {Promise<Bytes>} the sealed description
   */
  async description(signal) {
    const answer = await ask(this._url, { headers: { Authorization: this._proof }, signal });
    return body(answer, MAX_SEALED);
  }

  /**
   * Start a download. The server counts it once, however many files are fetched and however often.
   * @param {AbortSignal} signal
   */
  async start(signal) {
    if (this.ticket !== null) return;
    const answer = await ask(this._url, { method: "POST", headers: { Authorization: this._proof }, signal });
    this.ticket = await body(answer, MAX_TICKET);
  }

  /**
   * Fetch and open one file, after `start`. A lost connection is made again, and the download goes on where it was.
   * @param {LinkedFile} file
   * @param {AbortSignal} signal
   * @param {Iterable<Bytes> | AsyncIterable<Bytes>} [kept] the plaintext of the first segments, if they were stored
   *   before; they are verified with the others, at the end
   * @yields {Bytes} the other plaintext; the file is whole when the generator has ended without an error
   */
  async *content(file, signal, kept = []) {
    const opener = new ContentOpener(file);
    for await (const plaintext of kept) await opener.keep(plaintext);
    const tries = new Tries(signal);
    for (;;) {
      try {
        for await (const chunk of await this._chunks(file, opener.position, signal)) {
          for (const plaintext of await opener.push(chunk)) {
            yield plaintext;
            tries.reset();
          }
        }
        yield* await opener.finish();
        return;
      } catch (error) {
        if (error instanceof ServerError) yield* await opener.restart(); // to be kept, whatever follows
        await tries.failed(error);
      }
    }
  }

  /**
   * @param {LinkedFile} file
   * @param {number} from
   * @param {AbortSignal} signal
   */
  async _chunks(file, from, signal) {
    const ticket = toBase64url(this.ticket ?? new Uint8Array(0));
    const headers = { Authorization: `FS-Ticket ${ticket}`, ...(from > 0 && { Range: `bytes=${from}-` }) };
    const answer = await ask(`${this._url}/${toBase64url(file.root)}`, { headers, signal });
    if (from > 0 && answer.status !== 206) throw unreadable("The server does not send the rest of a file.");
    return chunks(answer);
  }
}
