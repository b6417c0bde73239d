/** Files: PNG images and latents, saved, shared and opened. */

import { nameOf, toJson, UserError } from "./recipes.js";
import { byId, draw, icon, make, showError, showNote } from "./dom.js";
import { addEntry } from "./gallery.js";

/** @typedef {import("../types").Rendered} Rendered */
/** @typedef {import("../types").Recipe} Recipe */
/** @typedef {import("../types").ModelName} ModelName */
/** @typedef {{recipe: Recipe, model: ModelName, png: () => Promise<Blob>, pixels: number}} Item an image to save */

const PNG = "image/png";
const canShare = navigator.canShare?.({ files: [new File([], "image.png", { type: PNG })] }) ?? false;

/** @param {Rendered} rendered @param {ModelName} model @returns {Item} */
export function itemOf(rendered, model) {
  return { recipe: rendered.recipe, model, pixels: rendered.pixels, png: () => pngOf(rendered) };
}

/**
 * A canvas stores colours multiplied by alpha: those of nearly transparent pixels are rounded.
 *
 * @param {Rendered} rendered
 * @returns {Promise<Blob>}
 */
function pngOf(rendered) {
  const canvas = document.createElement("canvas");
  draw(canvas, rendered);
  return new Promise((resolve, reject) => {
    const failure = new UserError("The image could not be stored as a PNG: this device is short of memory.");
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(failure)), PNG);
  });
}

/**
 * Adds the buttons Keep, Save, Share and Latent to a bar.
 *
 * @param {string} id of the bar
 * @param {() => Item | null} current the image that they apply to
 * @param {{keep?: boolean}} options keep: with the button Keep
 */
export function addActions(id, current, { keep = true } = {}) {
  const bar = byId(id, HTMLElement);
  /** @type {[string, string, boolean, (item: Item) => Promise<void>][]} */
  const buttons = [
    ["keep", "Keep", keep, keepImage],
    ["save", "Save PNG", true, saveImage],
    ["share", "Share", canShare, shareImage],
    ["latent", "Latent", true, saveLatent],
  ];
  const made = buttons.filter(([, , shown]) => shown).map(([name, label, , action]) => {
    const button = make("button", { class: "tool", "data-action": name }, icon(name), label);
    button.addEventListener("click", async () => {
      const item = current();
      if (item) await action(item).catch(showError);
    });
    return button;
  });
  bar.prepend(...made);
}

/** @param {Item} item */
async function keepImage({ recipe, model, pixels, png }) {
  await addEntry({ recipe, model: nameOf(model), pixels, png: await png(), created: Date.now() });
  showNote("Kept in the gallery of this browser.", { seconds: 4 });
  document.dispatchEvent(new Event("gallery-changed"));
}

/** @param {Item} item */
async function saveImage(item) {
  await saveFile(`${fileName(item)}.png`, await item.png());
}

/** @param {Item} item */
async function saveLatent(item) {
  const text = toJson(item.model, [item.recipe]);
  await saveFile(`${fileName(item)}.json`, new Blob([text], { type: "application/json" }));
}

/** @param {Item} item */
async function shareImage(item) {
  const file = new File([await item.png()], `${fileName(item)}.png`, { type: PNG });
  try {
    await navigator.share({ files: [file] });
  } catch (error) {
    if (/** @type {Error} */ (error).name !== "AbortError") throw new UserError("The image could not be shared; save it instead.");
  }
}

/** @param {Item} item @returns {string} without suffix */
function fileName({ recipe, model }) {
  const base = model.name.replace(/[^\p{L}\p{N}_-]+/gu, "-").slice(0, 60) || "image";
  const mark = recipe.seed === null ? "between" : `seed-${recipe.seed}`;
  return `${base}-${mark}${recipe.style ? "-mixed" : ""}`;
}

/** @param {string} name @param {Blob} blob */
async function saveFile(name, blob) {
  if (window.Android) {
    window.Android.save(name, blob.type, await base64(blob));
    return;
  }
  const url = URL.createObjectURL(blob);
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000); // the download reads it after the click
}

/** @param {Blob} blob @returns {Promise<string>} */
function base64(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).split(",")[1]);
    reader.onerror = () => reject(new UserError("The image could not be read; try again."));
    reader.readAsDataURL(blob);
  });
}
