/** The views of two images: style mixing, and interpolation with a slider. */

import { between, mixed } from "./recipes.js";
import { createResult } from "./result.js";
import { createSlots } from "./slots.js";
import { byId, icon, make } from "./dom.js";

/** @typedef {import("../types").App} App */
/** @typedef {import("../types").View} View */

const SECONDS = 4; // from one image to the other

/** @param {App} app @returns {View} */
export function createMix(app) {
  const result = createResult(app, "mix");
  const boxes = byId("layers", HTMLElement);
  const slots = createSlots(app, "mix-slots", ["Content", "Style"], show);

  function show() {
    const checked = boxes.querySelectorAll("input:checked");
    const layers = Array.from(checked, (box) => Number(box.getAttribute("value")));
    const [content, style] = slots.recipes();
    result.show(() => mixed(content, style, layers));
  }

  boxes.addEventListener("change", show);
  return {
    show() {
      slots.fill();
      show();
    },
    modelChanged() {
      slots.clear();
      boxes.replaceChildren(...layerBoxes(app.model.style));
    },
  };
}

/** @param {import("../types").Model["style"]} style */
function layerBoxes(style) {
  if (!style) return [];
  return style.layers.map((pixels, i) => {
    const same = style.layers.slice(0, i).filter((other) => other === pixels).length;
    const several = style.layers.filter((other) => other === pixels).length > 1;
    const box = make("input", { type: "checkbox", value: String(i), checked: style.default.includes(i) });
    return make("label", {}, box, make("span", {}, several ? `${pixels} px, ${same + 1}` : `${pixels} px`));
  });
}

/** @param {App} app @returns {View} */
export function createPath(app) {
  const result = createResult(app, "path");
  const slider = byId("share-of-b", HTMLInputElement);
  const play = byId("play", HTMLButtonElement);
  const slots = createSlots(app, "path-slots", ["A", "B"], show);
  let playing = 0; // number of the run, 0: paused
  let runs = 0;

  function show() {
    const [a, b] = slots.recipes();
    slider.setAttribute("aria-valuetext", `${Math.round(100 * Number(slider.value))}% of the way from A to B`);
    return result.show(() => between(a, b, Number(slider.value)));
  }

  function pause() {
    playing = 0;
    showState(play, false);
  }

  async function start() {
    const run = (playing = ++runs);
    showState(play, true);
    let position = Number(slider.value) * SECONDS; // in seconds of a way of 2 * SECONDS, forth and back
    let time = performance.now();
    while (playing === run) {
      const now = performance.now();
      position = (position + (now - time) / 1000) % (2 * SECONDS);
      time = now;
      slider.value = String(1 - Math.abs(1 - position / SECONDS));
      await show();
      await new Promise(requestAnimationFrame);
    }
  }

  slider.addEventListener("input", () => {
    pause();
    show();
  });
  play.addEventListener("click", () => (playing ? pause() : start()));
  return {
    show() {
      slots.fill();
      show();
    },
    hide: pause,
    modelChanged() {
      pause();
      slots.clear();
    },
  };
}

/** @param {HTMLButtonElement} button @param {boolean} playing */
function showState(button, playing) {
  button.setAttribute("aria-label", playing ? "Pause" : "Play");
  button.replaceChildren(icon(playing ? "pause" : "play"));
}
