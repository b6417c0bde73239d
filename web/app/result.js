/** The image of a view and the buttons below it. */

import { addActions, itemOf } from "./files.js";
import { byId, draw, showError } from "./dom.js";

/** @typedef {import("../types").App} App */
/** @typedef {import("../types").Recipe} Recipe */
/** @typedef {import("./files.js").Item} Item */

/**
 * @param {App} app
 * @param {string} name of the view: its channel, canvas and bar of buttons
 */
export function createResult(app, name) {
  const canvas = byId(`${name}-image`, HTMLCanvasElement);
  /** @type {Item | null} */
  let shown = null;
  addActions(`${name}-actions`, () => shown);
  return {
    /** @param {() => Recipe} recipe */
    async show(recipe) {
      const { engine, model, pixels } = app;
      canvas.setAttribute("aria-busy", "true");
      try {
        const finished = await engine.render(name, [recipe()], pixels, (rendered) => {
          shown = itemOf(rendered, model);
          draw(canvas, rendered);
        });
        if (finished) canvas.setAttribute("aria-busy", "false");
      } catch (error) {
        showError(error);
      }
    },
  };
}
