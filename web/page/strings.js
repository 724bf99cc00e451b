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
  startingUpload: "Starting the upload…",
  /** @param {string} done @param {string} size */
  progress: (done, size) => `${done} of ${size}`,
  stopped: "The download was stopped. Nothing was saved.",
  /** @param {string} name */
  done: (name) => `“${name}” is complete. Every part was checked.`,
  promise: "The server cannot read this. Your browser opens it with a key that is only in the link.",
  again: "Try again",
  cut: "This link is not complete. Copy the whole link, or ask the sender for it again.",
  noLink: "This is not a link. It starts with https:// and ends with # and 43 or 86 characters.",
  old: "This browser cannot open the link on this page. The page must come over https, and the browser must be up to date.",
  closed: "This link does not open. It may have expired or been used up, or the sender has ended it.",
  closedOrPassword: "This link does not open with that password. Check the password. The link may also have expired or been used up, or the sender has ended it.",
  busy: "The server is busy. Try again in a minute.",
  lost: "The server cannot be reached. Check your connection and try again.",
  /** @param {string} detail */
  refused: (detail) => `The server refused this. ${detail}`,
  /** @param {string} detail */
  damaged: (detail) => `What the server sent is not what the sender sealed. Nothing was saved. ${detail}`,
  noSpace: "There is not enough space to save the file. Nothing was saved.",
  full: "This link takes no further files.",
  tooLarge: "The file is larger than this link or the server permits.",
  noRoom: "There is no room for the file at the server. Tell the person who sent you the link.",
  taken: "The server confused this file with another. Send it again.",
  order: "The server lost a part of the file. Send it again.",
  notWhole: "The file did not arrive whole. Send it again.",
  /** @param {string} detail */
  source: (detail) => `The file could not be read. ${detail} Choose it again.`,
  closedRequest: "This link takes no files. It may have expired, or its owner has ended it.",
  closedRequestOrPassword: "This link does not open with that password. Check the password. The link may also have expired, or its owner has ended it.",
  requestTitle: "Send files",
  /** @param {string} owner */
  sendTo: (owner) => `Send files to ${owner}`,
  requestNote: "Note from the owner",
  /** @param {string} count */
  mostFiles: (count) => `at most ${count === "1" ? "1 file" : `${count} files`}`,
  /** @param {string} size */
  mostBytes: (size) => `at most ${size} in all`,
  /** @param {string} time */
  until: (time) => `until ${time}`,
  sender: "Your name (the owner sees it; may be empty)",
  choose: "Files",
  chooseFolder: "Or a folder",
  dropHere: "You can also drop files and folders here.",
  unreadableFolder: "The folder could not be read. It may have been moved or removed.",
  /** @param {number} most */
  tooMany: (most) => `This page sends at most ${most} files at a time. Put the folder into an archive.`,
  send: "Send",
  chooseFirst: "Choose files first.",
  remove: "Remove",
  /** @param {string} name */
  removeFile: (name) => `Remove ${name}`,
  waiting: "not sent yet",
  sending: "is being sent",
  /** @param {string} name */
  sent: (name) => `“${name}” was sent.`,
  receipt: "Receipt",
  /** @param {number} count */
  allSent: (count) => `${count === 1 ? "The file was" : `All ${count} files were`} sent. The owner sees the same receipts in their inbox.`,
  /** @param {string} detail */
  damagedRequest: (detail) => `What the server sent does not belong to this link. Nothing more was sent. ${detail}`,
  uploadStopped: "The upload was stopped. The file was not sent.",
  /** @param {string} detail */
  notSent: (detail) => `The file could not be sent. ${detail}`,
  promiseSend: "The server cannot read the files. Your browser seals them to the keys of the owner, which the link names.",
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
