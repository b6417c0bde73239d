/** Slots for an image: a button with the image, which opens a dialog with new and kept images to choose from. */

import { allEntries } from "./gallery.js";
import { randomSeed } from "./random.js";
import { describe, modelFor, recipeOfSeed } from "./recipes.js";
import { byId, draw, icon, make } from "./dom.js";

/** @typedef {import("../types").App} App */
/** @typedef {import("../types").Recipe} Recipe */

/**
 * A row of two slots with a button that exchanges them.
 *
 * @param {App} app
 * @param {string} id of the element that receives them; also the channel of their images
 * @param {[string, string]} labels
 * @param {() => void} onChange
 */
export function createSlots(app, id, labels, onChange) {
  /** @type {Recipe[]} */
  let recipes = [];
  const slots = labels.map((text, i) => {
    const canvas = make("canvas", { "aria-hidden": "true" });
    const name = make("small", {});
    const button = make("button", { class: "slot", "data-slot": String(i) }, canvas, make("span", {}, text), name);
    button.addEventListener("click", async () => {
      const recipe = await pick(app, text);
      if (recipe) set(recipes.map((old, j) => (i === j ? recipe : old)));
    });
    return { button, canvas, name };
  });
  const swap = make("button", { class: "round", "aria-label": `Exchange ${labels.join(" and ")}` }, icon("swap"));
  swap.addEventListener("click", () => set([...recipes].reverse()));
  byId(id, HTMLElement).append(slots[0].button, swap, slots[1].button);

  /** @param {Recipe[]} chosen */
  function set(chosen) {
    recipes = chosen;
    drawSlots();
    onChange();
  }

  function drawSlots() {
    slots.forEach(({ name }, i) => (name.textContent = describe(recipes[i])));
    // The image that follows is more urgent, so errors are left to it.
    app.engine.render(id, recipes, app.pixels, (rendered, i) => draw(slots[i].canvas, rendered)).catch(() => {});
  }

  return {
    recipes: () => recipes,
    /** Fills empty slots: with the image of the view Images, and a new one. */
    fill() {
      if (!recipes.length) recipes = [app.selected(), recipeOfSeed(app.model, randomSeed(), app.settings())];
      drawSlots();
    },
    clear: () => (recipes = []),
  };
}

/**
 * Opens the dialog.
 *
 * @param {App} app
 * @param {string} title
 * @returns {Promise<Recipe | null>} null if it was closed without a choice
 */
async function pick(app, title) {
  const dialog = byId("picker", HTMLDialogElement);
  const list = byId("picker-list", HTMLElement);
  const entries = (await allEntries().catch(() => [])).filter((entry) => fits(app, entry));
  const urls = entries.map(({ png }) => URL.createObjectURL(png));
  byId("picker-title", HTMLElement).textContent = `Choose an image: ${title}`;
  return new Promise((resolve) => {
    /** @type {Recipe | null} */
    let chosen = null;
    /** @param {Node} content @param {string} text @param {() => Recipe} recipe */
    const choice = (content, text, recipe) => {
      const button = make("button", { class: "thumb" }, content, make("small", {}, text));
      button.addEventListener("click", () => {
        chosen = recipe();
        dialog.close();
      });
      return make("li", {}, button);
    };
    list.replaceChildren(
      choice(icon("new"), "new image", () => recipeOfSeed(app.model, randomSeed(), app.settings())),
      choice(icon("images"), "as in Images", () => app.selected()),
      ...entries.map(({ recipe }, i) => choice(make("img", { src: urls[i], alt: "" }), describe(recipe), () => recipe)),
    );
    dialog.addEventListener(
      "close",
      () => {
        urls.forEach(URL.revokeObjectURL);
        resolve(chosen);
      },
      { once: true },
    );
    dialog.showModal();
  });
}

/** @param {App} app @param {import("../types").Entry} entry */
function fits(app, { model, recipe }) {
  try {
    modelFor({ model, images: [recipe] }, [app.model]);
    return true;
  } catch {
    return false;
  }
}
