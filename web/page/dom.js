/** Parts of the page, and what every view of it does: show, say, complain, ask. */

import { SealedError, ServerError, SourceError } from "../lib/errors.js";
import { forScreen } from "../lib/names.js";
import { sizeText, TEXT } from "./strings.js";

const SHOWN_EVERY_MS = 200;

/** @param {string} id */
export const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, unknown>} [properties]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** @param {...Node} content */
export function show(...content) {
  byId("main").replaceChildren(...content);
}

/** @param {string} text which a screen reader reads at once */
export function say(text) {
  byId("status").textContent = text;
}

/** @param {string} text */
export function complain(text) {
  byId("error").textContent = text;
}

/**
 * A form with one field.
 * @param {{title: string, text: string, label: string, type: string, submit: (value: string) => void}} about
 */
export function ask({ title, text, label, type, submit }) {
  const field = element("input", { id: "field", type, autocomplete: "off", spellcheck: false, required: true });
  const name = element("label", { htmlFor: "field" }, label);
  const form = element("form", {}, element("h1", {}, title), element("p", {}, text), name, field,
    element("button", { type: "submit" }, TEXT.open));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    complain("");
    submit(field.value);
  });
  show(form);
  field.focus();
}

/**
 * Show the progress of a download or an upload.
 * @param {number} size in bytes
 * @param {() => void} cancel
 * @param {string} [name] of what is sent or received, for screen readers
 * @returns {(more: number) => void} to be called with each piece's size
 */
export function progress(size, cancel, name = TEXT.starting) {
  const bar = element("progress", { max: size || 1, value: 0, ariaLabel: name });
  const text = element("span", {}, "");
  const box = byId("progress");
  box.replaceChildren(bar, text, element("button", { type: "button", onclick: cancel }, TEXT.cancel));
  box.hidden = false;
  let [done, last] = [0, 0];
  return (more) => {
    done += more;
    if (performance.now() - last < SHOWN_EVERY_MS && done < size) return;
    last = performance.now();
    bar.value = done;
    text.textContent = TEXT.progress(sizeText(done), sizeText(size));
    say("");
  };
}

/** @param {string} text in which line ends stay */
export function forScreenLines(text) {
  return text.split("\n").map(forScreen).join("\n");
}

/** @param {string} note of another person */
export function noteOf(note, title = TEXT.note) {
  return element("figure", {}, element("figcaption", {}, title), element("blockquote", { dir: "auto" }, forScreenLines(note)));
}

const RECEIVING = { closed: TEXT.closed, damaged: TEXT.damaged, other: TEXT.other };
export const SENDING = { closed: TEXT.closedRequest, damaged: TEXT.damagedRequest, other: TEXT.notSent };

/**
 * @param {unknown} error
 * @param {Partial<typeof RECEIVING>} [texts] for what depends on the view
 * @returns {string} for the person
 */
export function errorText(error, texts) {
  const { closed, damaged, other } = { ...RECEIVING, ...texts };
  if (error instanceof ServerError) {
    if (error.reason === "closed") return closed;
    return error.reason === "refused" ? TEXT.refused(error.message) : TEXT[error.reason];
  }
  if (error instanceof SealedError) return error.code === "invalid-name" ? error.message : damaged(error.message);
  if (error instanceof SourceError) return TEXT.source(error.message);
  if (error instanceof DOMException && error.name === "QuotaExceededError") return TEXT.noSpace;
  return other(error instanceof Error ? error.message : String(error));
}
