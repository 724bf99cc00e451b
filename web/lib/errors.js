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

/**
 * Why the server gave no answer that helps. closed: the link opens nothing (any more), or the password is wrong; busy:
 * too many connections or uploads; lost: no answer, or half of one; refused: any other status; the others are those of
 * uploads (docs/protocol.md, section 13).
 * @typedef {"closed" | "busy" | "lost" | "refused" | "full" | "tooLarge" | "noRoom" | "taken" | "order" | "notWhole"} Reason
 */

/** The server gave no answer that helps. */
export class ServerError extends Error {
  /**
   * @param {Reason} reason
   * @param {string} sentence for people
   */
  constructor(reason, sentence) {
    super(sentence);
    this.name = "ServerError";
    /** @type {Reason} */
    this.reason = reason;
  }
}

/** A file on this machine changed while it was read, or cannot be read. */
export class SourceError extends Error {}

/** @param {string} sentence */
export function damaged(sentence) {
  return new SealedError("integrity", sentence);
}

/** @param {string} sentence */
export function unreadable(sentence) {
  return new SealedError("protocol", sentence);
}
