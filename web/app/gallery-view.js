/** The view Gallery: kept images, each with a dialog of what can be done with it. */

import { addActions } from "./files.js";
import { addEntry, allEntries, deleteEntry } from "./gallery.js";
import { describe, fromJson, modelFor, UserError } from "./recipes.js";
import { byId, make, showError, showNote } from "./dom.js";

/** @typedef {import("../types").App} App */
/** @typedef {import("../types").View} View */
/** @typedef {import("../types").Entry} Entry */

const MAX_IMAGES = 16; // of a latent file, in the view Images

/** @param {App} app @returns {View} */
export function createGallery(app) {
  const dialog = byId("entry", HTMLDialogElement);
  const list = byId("gallery", HTMLElement);
  const empty = byId("gallery-empty", HTMLElement);
  /** @type {Entry | null} */
  let current = null;
  /** @type {string[]} */
  let urls = [];

  async function show() {
    empty.textContent = "";
    try {
      const entries = await allEntries();
      urls.forEach(URL.revokeObjectURL);
      urls = entries.map(({ png }) => URL.createObjectURL(png));
      list.replaceChildren(...entries.map((entry, i) => card(entry, urls[i])));
      if (!entries.length) empty.textContent = "No images yet: press Keep below an image, and it is stored here on this device.";
    } catch (error) {
      empty.textContent = error instanceof UserError ? error.message : String(error);
    }
  }

  /** @param {Entry} entry @param {string} url */
  function card(entry, url) {
    const text = `${describe(entry.recipe)}${app.models.length > 1 ? ` (${entry.model.name})` : ""}`;
    const button = make("button", { class: "thumb" }, make("img", { src: url, alt: "" }), make("small", {}, text));
    button.addEventListener("click", () => {
      current = entry;
      byId("entry-title", HTMLElement).textContent = text;
      Object.assign(byId("entry-image", HTMLImageElement), { src: url, alt: `Image: ${text}` });
      dialog.showModal();
    });
    return make("li", {}, button);
  }

  addActions("entry-actions", () => current && { ...current, png: async () => /** @type {Entry} */ (current).png }, {
    keep: false,
  });
  byId("entry-open", HTMLElement).addEventListener("click", () => {
    dialog.close();
    if (current) openImages(app, { model: current.model, images: [current.recipe] }).catch(showError);
  });
  byId("entry-delete", HTMLElement).addEventListener("click", async () => {
    const deleted = current;
    dialog.close();
    if (deleted?.id === undefined) return;
    try {
      await deleteEntry(deleted.id);
      const undo = () => addEntry(deleted).then(show, showError);
      showNote("The image was deleted.", { action: ["Undo", undo], seconds: 20 });
    } catch (error) {
      showError(error);
    }
    show();
  });
  document.addEventListener("gallery-changed", () => list.isConnected && show());
  return { show };
}

/** Connects the button that opens a latent file. @param {App} app */
export function addFileButton(app) {
  const input = byId("open-file", HTMLInputElement);
  input.addEventListener("change", async () => {
    const file = input.files?.[0];
    input.value = ""; // so that the same file can be opened again
    try {
      if (file) await openImages(app, fromJson(await file.text()));
    } catch (error) {
      showError(error);
    }
  });
}

/** @param {App} app @param {ReturnType<typeof fromJson>} file */
async function openImages(app, file) {
  const { model, note } = modelFor(file, [app.model, ...app.models]);
  const rest = file.images.length - MAX_IMAGES;
  const cut = rest > 0 ? `The first ${MAX_IMAGES} of ${file.images.length} images of the file are shown.` : "";
  await app.open(file.images.slice(0, MAX_IMAGES), model, [note, cut].filter(Boolean).join(" "));
}
