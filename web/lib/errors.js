/** Errors about bytes that somebody else has made. Each has a code of docs/protocol.md, section 11. */

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

/** @param {string} sentence */
export function damaged(sentence) {
  return new SealedError("integrity", sentence);
}

/** @param {string} sentence */
export function unreadable(sentence) {
  return new SealedError("protocol", sentence);
}
