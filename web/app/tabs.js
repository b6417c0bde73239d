/** The tabs, with the keys of the ARIA pattern: arrows move, Home and End go to the ends. */

import { byId } from "./dom.js";

/** @typedef {import("../types").Model} Model */
/** @typedef {import("../types").View} View */

export class Tabs {
  #list = byId("tabs", HTMLElement);
  #tabs = [...this.#list.querySelectorAll("button")];
  #views;
  current = "images";

  /** @param {Record<string, View>} views by the names of their tabs; some have no use for some models */
  constructor(views) {
    this.#views = views;
    for (const tab of this.#tabs) tab.addEventListener("click", () => this.open(nameOf(tab)));
    this.#list.addEventListener("keydown", (event) => this.#moveByKey(event));
  }

  /** @param {string} name */
  open(name) {
    if (name !== this.current) this.#views[this.current].hide?.();
    this.current = name;
    for (const tab of this.#tabs) {
      const selected = nameOf(tab) === name;
      tab.setAttribute("aria-selected", String(selected));
      tab.tabIndex = selected ? 0 : -1;
      byId(`panel-${nameOf(tab)}`, HTMLElement).hidden = !selected;
    }
    this.#views[name].show();
  }

  /** @param {Model} model */
  modelChanged(model) {
    byId("tab-mix", HTMLElement).hidden = !model.style;
    if (!model.style && this.current === "mix") this.open("images");
    for (const view of Object.values(this.#views)) view.modelChanged?.();
  }

  /** @param {boolean} busy */
  setBusy(busy) {
    for (const tab of this.#tabs) tab.disabled = busy;
    byId(`panel-${this.current}`, HTMLElement).inert = busy;
    this.#list.setAttribute("aria-busy", String(busy));
  }

  /** @param {KeyboardEvent} event */
  #moveByKey(event) {
    const shown = this.#tabs.filter((tab) => !tab.hidden);
    const at = shown.findIndex((tab) => nameOf(tab) === this.current);
    const target = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: shown.length - 1 }[event.key];
    if (target === undefined) return;
    event.preventDefault();
    const tab = shown[(target + shown.length) % shown.length];
    this.open(nameOf(tab));
    tab.focus();
  }
}

/** @param {HTMLElement} tab */
function nameOf(tab) {
  return tab.id.replace("tab-", "");
}
