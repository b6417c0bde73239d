/** Starts the page: reads the site's description, loads the model, and connects the views. */

import { Engine } from "./engine.js";
import { addFileButton, createGallery } from "./gallery-view.js";
import { Images } from "./images.js";
import { createMix, createPath } from "./pairs.js";
import { Plane } from "./plane.js";
import { UserError } from "./recipes.js";
import { registerServiceWorker } from "./offline.js";
import { Tabs } from "./tabs.js";
import { byId, clearMessages, make, showError, showNote } from "./dom.js";

/** @typedef {import("../types").App} App */
/** @typedef {import("../types").Model} Model */
/** @typedef {import("../types").Recipe} Recipe */
/** @typedef {import("../types").Site} Site */

const ACCELERATORS = { webgpu: "WebGPU", wasm: "WebAssembly" };

/** @implements {App} */
class Page {
  #modelSelect = byId("model", HTMLSelectElement);
  #sizeSelect = byId("size", HTMLSelectElement);
  #loaded = false; // a model
  #loading = Promise.resolve(false);
  /** @type {Model | null} */
  #next = null; // model that was requested last
  #site;
  /** @type {Images} */
  #images;
  /** @type {Tabs} */
  #tabs;

  /** @param {Site} site @param {Engine} engine */
  constructor(site, engine) {
    this.#site = site;
    this.engine = engine;
    this.models = site.models;
    this.model = site.models[0];
    this.pixels = this.model.height;
    this.#images = new Images(this);
    this.#tabs = new Tabs({
      images: this.#images,
      mix: createMix(this),
      path: createPath(this),
      plane: new Plane(this),
      gallery: createGallery(this),
    });
    addFileButton(this);
    this.#modelSelect.append(...site.models.map(({ id, name }) => make("option", { value: id }, name)));
    byId("model-choice", HTMLElement).hidden = site.models.length < 2;
    this.#modelSelect.addEventListener("change", () => this.#chooseModel());
    this.#sizeSelect.addEventListener("change", () => {
      this.pixels = Number(this.#sizeSelect.value);
      this.#images.show();
    });
  }

  settings() {
    return this.#images.settings();
  }

  selected() {
    return this.#images.selected();
  }

  /** @param {Recipe[]} recipes @param {Model} model @param {string} note */
  async open(recipes, model, note) {
    if (model !== this.model && !(await this.load(model))) return;
    this.#images.open(recipes);
    this.#tabs.open("images");
    showNote(note);
  }

  /**
   * Loads a model and shows its progress; after an error the last model stays. Models are loaded one after the other,
   * without those that another has replaced before their turn.
   *
   * @param {Model} model
   * @returns {Promise<boolean>} false after an error, or if it was replaced
   */
  load(model) {
    this.#next = model;
    this.#loading = this.#loading.then(() => model === this.#next && this.#load(model));
    return this.#loading;
  }

  /** @param {Model} model */
  async #load(model) {
    this.#tabs.setBusy(true);
    clearMessages();
    this.#modelSelect.value = model.id;
    try {
      const accelerator = await this.engine.load(model, showProgress);
      byId("runs", HTMLElement).textContent = `Runs on this device with ${ACCELERATORS[accelerator]}.`;
    } catch (error) {
      showError(error);
      this.#modelSelect.value = this.model.id;
      if (this.#loaded) this.#tabs.setBusy(false);
      return false;
    } finally {
      byId("loading", HTMLElement).hidden = true;
    }
    this.#loaded = true;
    this.#tabs.setBusy(false);
    this.model = model;
    fillSizes(this.#sizeSelect, model);
    this.pixels = model.height;
    setShape(model);
    byId("about-text", HTMLElement).replaceChildren(...about(this.#site, model));
    this.#tabs.modelChanged(model);
    return true;
  }

  async #chooseModel() {
    const model = this.models.find(({ id }) => id === this.#modelSelect.value);
    if (model && (await this.load(model))) this.#tabs.open(this.#tabs.current);
  }

  showFirst() {
    this.#tabs.open("images");
  }
}

/** @returns {Promise<Site>} */
async function readSite() {
  try {
    const response = await fetch("site.json", { cache: "no-cache" });
    if (!response.ok) throw new UserError(`The file site.json is missing on the server (status ${response.status}).`);
    const site = await response.json();
    if (site.format !== 1) throw new UserError(`This page reads site.json of format 1, and the file has ${site.format}.`);
    document.title = site.title;
    byId("title", HTMLElement).textContent = site.title;
    return site;
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(
      error instanceof SyntaxError
        ? "The file site.json is damaged; reload the page to download it again."
        : "The connection was lost before the page was stored; connect to the network and reload the page.",
    );
  }
}

/** @param {import("./engine.js").Progress} progress */
function showProgress(progress) {
  const bar = byId("loading-bar", HTMLProgressElement);
  byId("loading", HTMLElement).hidden = false;
  if (progress.what === "compile") {
    bar.removeAttribute("value");
    byId("loading-text", HTMLElement).textContent = "Preparing the model…";
    return;
  }
  bar.value = progress.loaded / progress.total;
  const [loaded, total] = [progress.loaded, progress.total].map((bytes) => (bytes / 1e6).toFixed(1));
  byId("loading-text", HTMLElement).textContent = `Downloading the model: ${loaded} of ${total} MB`;
}

/** @param {HTMLSelectElement} select @param {Model} model */
function fillSizes(select, { sizes }) {
  const options = sizes.map(({ width, pixels, scaled }) =>
    make("option", { value: String(pixels) }, `${width} × ${pixels}${scaled ? ", scaled" : ""}`),
  );
  select.replaceChildren(...options);
}

/** Gives the elements that show images their shape, and a background that shows transparency. @param {Model} model */
function setShape({ width, height, channels }) {
  document.documentElement.style.setProperty("--aspect", String(width / height));
  document.documentElement.dataset.channels = channels;
}

/** @param {Site} site @param {Model} model */
function about(site, model) {
  const seen = model.images_seen.toLocaleString("en");
  const score = model.score ? `, ${model.score}` : "";
  const { largest, mean } = model.difference;
  const texts = [
    `Model ${model.name}: ${model.family}, after ${seen} images seen in training${score}.`,
    `Images differ from those of Keras in float32 by ${mean.toPrecision(2)} on average and at most ${largest.toPrecision(2)}, of values from -1 to 1.`,
    model.licence,
    `Made by ${site.made_by}. The runtime is LiteRT.js, under Apache-2.0. Nothing leaves this device.`,
  ];
  return texts.map((text) => make("p", {}, text));
}

async function start() {
  const engine = new Engine(); // its worker starts while the description is downloaded
  const page = new Page(await readSite(), engine);
  if (await page.load(page.model)) page.showFirst();
  registerServiceWorker(); // after an error, too: there may be a newer version
}

byId("start-note", HTMLElement).remove();
byId("app", HTMLElement).hidden = false;
start().catch((error) => {
  byId("loading", HTMLElement).hidden = true;
  showError(error);
});
