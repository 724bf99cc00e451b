/** Every text of the page, so that it can be translated in one place. */

export const TEXT = {
  title: "A file for you",
  pasteTitle: "Open a link",
  paste: "Paste the whole link here.",
  pasteLabel: "Link",
  open: "Open",
  opening: "Opening the link…",
  passwordTitle: "This link has a password",
  password: "The person who sent you the link has chosen it.",
  passwordLabel: "Password",
  passwordWork: "Checking the password. This takes a few seconds.",
  emptyPassword: "Type the password first.",
  /** @param {string} size */
  file: (size) => size,
  /** @param {number} count @param {string} size */
  folder: (count, size) => `Folder with ${count === 1 ? "1 file" : `${count} files`}, ${size}`,
  note: "Note from the sender",
  download: "Download",
  downloadAll: "Download all as a ZIP file",
  downloadOne: "Download this file",
  filesLabel: "Files",
  cancel: "Cancel",
  starting: "Starting the download…",
  /** @param {string} done @param {string} size */
  progress: (done, size) => `${done} of ${size}`,
  stopped: "The download was stopped. Nothing was saved.",
  /** @param {string} name */
  done: (name) => `“${name}” is complete. Every part was checked.`,
  promise: "The server cannot read this. Your browser opens it with a key that is only in the link.",
  again: "Try again",
  cut: "This link is not complete. Copy the whole link, or ask the sender for it again.",
  noLink: "This is not a link. It starts with https:// and ends with # and 43 characters.",
  old: "This browser cannot open the link on this page. The page must come over https, and the browser must be up to date.",
  closed: "This link does not open. It may have expired or been used up, or the sender has ended it.",
  closedOrPassword: "This link does not open with that password. Check the password. The link may also have expired or been used up, or the sender has ended it.",
  busy: "The server is busy. Try again in a minute.",
  lost: "The server cannot be reached. Check your connection and try again.",
  /** @param {string} detail */
  refused: (detail) => `The server did not send the file. ${detail}`,
  /** @param {string} detail */
  damaged: (detail) => `What the server sent is not what the sender sealed. Nothing was saved. ${detail}`,
  noSpace: "There is not enough space to save the file. Nothing was saved.",
  /** @param {string} detail */
  other: (detail) => `The file could not be saved. ${detail}`,
};

const UNITS = ["bytes", "KB", "MB", "GB", "TB", "PB"];

/**
 * @param {number} size in bytes
 * @returns {string} with powers of 1000, as file managers show it
 */
export function sizeText(size) {
  if (size === 1) return "1 byte";
  let unit = 0;
  while (size >= 999.5 && unit < UNITS.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? size : size.toPrecision(3)} ${UNITS[unit]}`;
}
