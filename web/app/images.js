/** The view Images: images of seeds, or of recipes that were opened, with their settings. */

import { addActions, itemOf } from "./files.js";
import { classOfSeed, MAX_SEED, randomSeed } from "./random.js";
import { describe, recipeOfSeed } from "./recipes.js";
import { announce, byId, draw, make, readSeeds, showError } from "./dom.js";

/** @typedef {import("../types").App} App */
/** @typedef {import("../types").Recipe} Recipe */
/** @typedef {import("../types").Rendered} Rendered */
/** @typedef {import("./files.js").Item} Item */
/** @typedef {{recipe: Recipe, element: HTMLElement, canvas: HTMLCanvasElement, item: Item | null}} Tile */

const COUNTS = [1, 4, 9, 16];

export class Images {
  #seedInput = byId("seed", HTMLInputElement);
  #classSelect = byId("class", HTMLSelectElement);
  #truncation = byId("truncation", HTMLInputElement);
  #newButton = byId("new-image", HTMLElement);
  #larger = byId("larger", HTMLButtonElement);
  /** First seed of the grid; null while opened recipes are shown. @type {string | null} */
  #seed = randomSeed();
  /** @type {Recipe[]} */
  #opened = [];
  /** @type {Tile[]} */
  #tiles = [];
  #selected = 0;
  #app;

  /** @param {App} app */
  constructor(app) {
    this.#app = app;
    this.#newButton.addEventListener("click", () => this.#showSeed(randomSeed()));
    this.#seedInput.addEventListener("change", () => {
      const seeds = readSeeds([this.#seedInput], "seed-error");
      if (seeds) this.#showSeed(seeds[0]);
    });
    byId("count", HTMLElement).addEventListener("change", () => {
      this.#seed ??= this.selected().seed ?? randomSeed();
      this.show();
    });
    this.#larger.addEventListener("click", () => this.#showLarger());
    this.#classSelect.addEventListener("change", () => this.#applySettings());
    this.#truncation.addEventListener("input", () => this.#applySettings());
    addActions("images-actions", () => this.#tiles[this.#selected].item);
  }

  /** Class (null: drawn from the seed) and truncation. */
  settings() {
    return { class: this.#classSelect.value || null, truncation: Number(this.#truncation.value) };
  }

  /** @returns {Recipe} */
  selected() {
    return this.#tiles[this.#selected]?.recipe ?? this.#recipes()[0];
  }

  modelChanged() {
    const { classes, truncation } = this.#app.model;
    const named = classes.map((name) => make("option", { value: name }, name));
    this.#classSelect.replaceChildren(make("option", { value: "" }, "any"), ...named);
    byId("class-field", HTMLElement).hidden = !classes.length;
    byId("truncation-field", HTMLElement).hidden = !truncation;
    this.#truncation.value = "1";
    this.#seed ??= randomSeed();
    this.#tiles = [];
  }

  /** Shows these images at the next `show`. @param {Recipe[]} recipes */
  open(recipes) {
    const [{ class: name, truncation }] = recipes;
    this.#seed = null;
    this.#opened = recipes;
    setCount(COUNTS.find((number) => number >= recipes.length) ?? recipes.length);
    this.#classSelect.value = name ?? "";
    this.#truncation.min = String(Math.min(0, truncation));
    this.#truncation.max = String(Math.max(1.5, truncation));
    this.#truncation.value = String(truncation);
  }

  /** Shows the images of the state; tiles are kept while their number is, so that nothing flickers. */
  show() {
    const recipes = this.#recipes();
    byId("truncation-value", HTMLElement).textContent = Number(this.#truncation.value).toFixed(2);
    if (this.#tiles.length !== recipes.length) this.#makeTiles(recipes);
    this.#tiles.forEach((tile, i) => {
      Object.assign(tile, { recipe: recipes[i], item: null });
      label(tile);
    });
    this.#select(this.#selected);
    const { engine, pixels } = this.#app;
    engine
      .render("images", recipes, pixels, (rendered, i) => this.#draw(rendered, i))
      .then((finished) => {
        if (finished) announce(recipes.length > 1 ? `${recipes.length} images` : `Image: ${describe(recipes[0])}`);
      })
      .catch(showError);
  }

  #recipes() {
    if (this.#seed === null) return this.#opened;
    const first = BigInt(this.#seed);
    const seeds = Array.from({ length: chosenCount() }, (_, i) => String((first + BigInt(i)) % (MAX_SEED + 1n)));
    return seeds.map((seed) => recipeOfSeed(this.#app.model, seed, this.settings()));
  }

  /** @param {Recipe[]} recipes */
  #makeTiles(recipes) {
    const several = recipes.length > 1;
    this.#tiles = recipes.map((recipe, i) => makeTile(recipe, several, () => this.#select(i)));
    const grid = byId("tiles", HTMLElement);
    grid.replaceChildren(...this.#tiles.map(({ element }) => element));
    grid.dataset.columns = String(Math.ceil(Math.sqrt(recipes.length)));
    byId("new-label", HTMLElement).textContent = several ? "New images" : "New image";
    this.#larger.hidden = !several;
    this.#selected = 0;
  }

  /** @param {Rendered} rendered @param {number} i */
  #draw(rendered, i) {
    const tile = this.#tiles[i];
    if (tile?.recipe !== rendered.recipe) return; // of a grid that was replaced
    tile.item = itemOf(rendered, this.#app.model);
    draw(tile.canvas, rendered);
    label(tile);
  }

  /** @param {number} i */
  #select(i) {
    this.#selected = i;
    const { recipe } = this.#tiles[i];
    if (this.#tiles.length > 1) {
      this.#tiles.forEach(({ element }, j) => element.setAttribute("aria-pressed", String(i === j)));
    }
    byId("caption", HTMLElement).textContent = describe(recipe);
    this.#seedInput.value = this.#seed ?? recipe.seed ?? "";
    this.#seedInput.placeholder = this.#seedInput.value ? "" : "none: between seeds";
    this.#seedInput.setAttribute("aria-invalid", "false");
    byId("seed-error", HTMLElement).textContent = "";
  }

  /** @param {string} seed */
  #showSeed(seed) {
    if (this.#seed === null) setCount(1);
    this.#seed = seed;
    this.show();
  }

  /** Shows the selected image alone. */
  #showLarger() {
    if (this.#seed === null) this.#opened = [this.selected()];
    else this.#seed = this.selected().seed;
    setCount(1);
    this.show();
  }

  /** Shows the images with changed settings. */
  #applySettings() {
    const { model } = this.#app;
    const { class: chosen, truncation } = this.settings();
    this.#opened = this.#opened.map((recipe) => ({
      ...recipe,
      class: model.classes.length ? (chosen ?? classOfSeed(model, recipe.noise_seed)) : null,
      truncation: model.truncation ? truncation : 1,
    }));
    this.show();
  }
}

/** @param {Recipe} recipe @param {boolean} selectable @param {() => void} onSelect @returns {Tile} */
function makeTile(recipe, selectable, onSelect) {
  const canvas = make("canvas", { role: "img" });
  const element = make(selectable ? "button" : "div", { class: "tile" }, canvas);
  if (selectable) element.addEventListener("click", onSelect);
  return { recipe, element, canvas, item: null };
}

/** @param {Tile} tile */
function label({ recipe, element, canvas, item }) {
  canvas.setAttribute("aria-label", `Image: ${describe(recipe)}`);
  element.classList.toggle("waiting", item === null);
  element.title = describe(recipe);
}

/** @param {number} number */
function setCount(number) {
  const input = document.querySelector(`input[name="count"][value="${number}"]`);
  if (input instanceof HTMLInputElement) input.checked = true;
}

function chosenCount() {
  return Number(document.querySelector('input[name="count"]:checked')?.getAttribute("value"));
}
