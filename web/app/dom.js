/** Elements of the page: lookup, creation, messages, drawing. */

/** @typedef {import("../types").Rendered} Rendered */
/** @typedef {import("../types").Recipe} Recipe */

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
  canvas.width = canvas.height = pixels;
  canvas.getContext("2d")?.putImageData(new ImageData(rgba, pixels, pixels), 0, 0);
}

/** Words for a recipe, such as "seed 12, panda, mixed". @param {Recipe} recipe */
export function describe({ seed, class: name, truncation, style }) {
  const words = [seed === null ? "between seeds" : `seed ${seed}`];
  if (name !== null) words.push(/^\d+$/.test(name) ? `class ${name}` : name);
  if (truncation !== 1) words.push(`truncation ${truncation}`);
  if (style) words.push("mixed");
  return words.join(", ");
}

/** A seed that is short enough to remember. */
export function randomSeed() {
  return String(crypto.getRandomValues(new Uint32Array(1))[0] % 1_000_000);
}
