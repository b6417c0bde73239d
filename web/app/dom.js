/** Elements of the page: lookup, creation, messages, drawing, fields of seeds. */

import { MAX_SEED, parseSeed } from "./random.js";

/** @typedef {import("../types").Rendered} Rendered */

/**
 * @template {Element} T
 * @param {string} id
 * @param {new () => T} kind
 */
export function byId(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new TypeError(`the page has no ${kind.name} #${id}`);
  return found;
}

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, string | boolean>} [attributes] false leaves an attribute out
 * @param {...(Node | string)} children
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** @param {string} name */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

/** @param {unknown} error */
export function showError(error) {
  const text = error instanceof Error ? error.message : String(error);
  fillMessage(byId("alert", HTMLElement), text);
}

/**
 * Shows a message that is no error.
 *
 * @param {string} text
 * @param {{action?: [string, () => void], seconds?: number}} options action: name and function of a button; seconds:
 *     time until the message disappears, which it does not without
 */
export function showNote(text, { action, seconds } = {}) {
  const area = byId("note", HTMLElement);
  fillMessage(area, text);
  const [paragraph] = area.children;
  if (action) {
    const button = make("button", { class: "tool" }, action[0]);
    button.addEventListener("click", () => {
      area.replaceChildren();
      action[1]();
    });
    paragraph.after(button);
  }
  if (seconds) setTimeout(() => paragraph.parentNode === area && area.replaceChildren(), 1000 * seconds);
}

export function clearMessages() {
  for (const id of ["alert", "note"]) byId(id, HTMLElement).replaceChildren();
}

/** @param {HTMLElement} area @param {string} text */
function fillMessage(area, text) {
  if (!text) {
    area.replaceChildren();
    return;
  }
  const close = make("button", { class: "round", "aria-label": "Close message" }, icon("close"));
  close.addEventListener("click", () => area.replaceChildren());
  area.replaceChildren(make("p", {}, text), close);
}

/** @param {string} text for screen readers */
export function announce(text) {
  byId("announcer", HTMLElement).textContent = text;
}

/** @param {HTMLCanvasElement} canvas @param {Rendered} rendered */
export function draw(canvas, { rgba, pixels }) {
  canvas.width = rgba.length / (4 * pixels);
  canvas.height = pixels;
  canvas.getContext("2d")?.putImageData(new ImageData(rgba, canvas.width, pixels), 0, 0);
}

/**
 * Reads fields of seeds, and shows below them if one is invalid.
 *
 * @param {HTMLInputElement[]} inputs
 * @param {string} error id of the element for the message
 * @returns {string[] | null} null if one is invalid
 */
export function readSeeds(inputs, error) {
  const seeds = inputs.map(({ value }) => parseSeed(value));
  inputs.forEach((input, i) => {
    input.value = seeds[i] ?? input.value;
    input.setAttribute("aria-invalid", String(seeds[i] === null));
  });
  const valid = seeds.every((seed) => seed !== null);
  byId(error, HTMLElement).textContent = valid ? "" : `A seed is an integer from 0 to ${MAX_SEED}.`;
  return valid ? seeds : null;
}
