/** Errors that a person can read. Those about received bytes have a code of docs/protocol.md, section 11. */

/** @typedef {"integrity" | "protocol" | "invalid-name"} Code */

/** Received bytes are not what they must be. */
export class SealedError extends Error {
  /**
   * @param {Code} code
   * @param {string} sentence for people
   */
  constructor(code, sentence) {
    super(sentence);
    this.name = "SealedError";
    /** @type {Code} */
    this.code = code;
  }
}

/** The server gave no answer that helps. */
export class ServerError extends Error {
  /**
   * @param {"closed" | "busy" | "lost" | "refused"} reason closed: the link opens nothing (any more), or the password
   *   is wrong; busy: too many connections; lost: no answer, or half of one; refused: any other status
   * @param {string} sentence for people
   */
  constructor(reason, sentence) {
    super(sentence);
    this.name = "ServerError";
    this.reason = reason;
  }
}

/** @param {string} sentence */
export function damaged(sentence) {
  return new SealedError("integrity", sentence);
}

/** @param {string} sentence */
export function unreadable(sentence) {
  return new SealedError("protocol", sentence);
}
