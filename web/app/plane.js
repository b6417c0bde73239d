/** The view Explore: a plane through the latents of three seeds, on which a point is dragged. */

import { BACKGROUND } from "./engine.js";
import { randomSeed } from "./random.js";
import { onPlane, recipeOfSeed } from "./recipes.js";
import { createResult } from "./result.js";
import { byId, draw, readSeeds, showError } from "./dom.js";

/** @typedef {import("../types").App} App */
/** @typedef {import("../types").View} View */
/** @typedef {import("../types").Recipe} Recipe */

/** Corners of the triangle, in shares of the pad from the upper left. */
const CORNERS = [
  [0.16, 0.84],
  [0.84, 0.84],
  [0.5, 0.14],
];
const CENTRE = [0.5, 0.6];
const CELLS = 6; // preview images in a row of the pad
const STEP = 0.02; // of an arrow key
const PREVIEW_PIXELS = 64;
/** @type {Record<string, number[]>} */
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** @implements {View} */
export class Plane {
  #pad = byId("pad", HTMLCanvasElement);
  #inputs = CORNERS.map((_, i) => byId(`corner-${i}`, HTMLInputElement));
  #point = CENTRE;
  /** @type {string[]} */
  #seeds = [];
  #previewed = ""; // the plane whose previews are drawn or being drawn
  /** @type {Recipe[]} */
  #corners = [];
  /** @type {(HTMLCanvasElement | null)[]} */
  #previews = [];
  #app;
  #result;

  /** @param {App} app */
  constructor(app) {
    this.#app = app;
    this.#result = createResult(app, "plane");
    const pad = this.#pad;
    pad.addEventListener("pointerdown", (event) => {
      pad.setPointerCapture(event.pointerId);
      this.#follow(event);
    });
    pad.addEventListener("pointermove", (event) => {
      if (pad.hasPointerCapture(event.pointerId)) this.#follow(event);
    });
    pad.addEventListener("keydown", (event) => this.#moveByKey(event));
    new ResizeObserver(() => this.#drawPad()).observe(pad);
    for (const input of this.#inputs) {
      input.addEventListener("change", () => {
        this.#readSeeds();
        this.show();
      });
    }
    byId("new-corners", HTMLElement).addEventListener("click", () => {
      this.#renew();
      this.show();
    });
    this.#renew();
  }

  show() {
    this.#corners = this.#seeds.map((seed) => recipeOfSeed(this.#app.model, seed, this.#app.settings()));
    this.#showPoint();
    this.#showPreviews();
  }

  hide() {
    this.#app.engine.cancel(BACKGROUND);
  }

  modelChanged() {
    this.#previewed = "";
  }

  #renew() {
    for (const input of this.#inputs) input.value = randomSeed();
    this.#readSeeds();
  }

  #readSeeds() {
    this.#seeds = readSeeds(this.#inputs, "corner-error") ?? this.#seeds;
  }

  #showPoint() {
    const weights = weightsAt(this.#point[0], this.#point[1]);
    const texts = weights.map((weight, i) => `${"ABC"[i]} ${Math.round(100 * weight)}%`);
    byId("pad-position", HTMLElement).textContent = texts.join(", ");
    this.#drawPad();
    this.#result.show(() => onPlane(this.#corners, weights));
  }

  /** Draws small images of the whole plane, while nothing else is to be done. */
  #showPreviews() {
    const { model, engine } = this.#app;
    const corners = this.#corners.map(({ seed, class: name, truncation }) => [seed, name, truncation]);
    const plane = JSON.stringify([model.id, corners]);
    if (plane === this.#previewed && !this.#previews.includes(null)) return;
    this.#previewed = plane;
    this.#previews = Array(CELLS ** 2).fill(null);
    const order = cellsFromCentre();
    const recipes = order.map((i) => onPlane(this.#corners, weightsAt(...centreOf(i))));
    const sizes = model.sizes.map(({ pixels }) => pixels).filter((pixels) => pixels >= PREVIEW_PIXELS);
    engine
      .render(BACKGROUND, recipes, Math.min(...sizes, model.height), (rendered, i) => {
        if (plane !== this.#previewed) return;
        const canvas = document.createElement("canvas");
        draw(canvas, rendered);
        this.#previews[order[i]] = canvas;
        this.#drawPad();
      })
      .catch(showError);
  }

  /** @param {number[]} point */
  #move(point) {
    this.#point = point.map((share) => Math.min(1, Math.max(0, share)));
    this.#showPoint();
  }

  /** @param {PointerEvent} event */
  #follow(event) {
    const box = this.#pad.getBoundingClientRect();
    this.#move([(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height]);
  }

  /** @param {KeyboardEvent} event */
  #moveByKey(event) {
    const direction = KEYS[event.key];
    if (!direction && event.key !== "Home") return;
    event.preventDefault();
    const step = event.shiftKey ? 5 * STEP : STEP;
    this.#move(direction ? this.#point.map((share, i) => share + step * direction[i]) : CENTRE);
  }

  #drawPad() {
    drawPad(this.#pad, this.#point, this.#previews);
  }
}

/**
 * Weights of the corners at a point: 1 at a corner, 0 on the opposite side, sum 1.
 *
 * @param {number} x
 * @param {number} y
 */
export function weightsAt(x, y) {
  const [[x0, y0], [x1, y1], [x2, y2]] = CORNERS;
  const area = (y1 - y2) * (x0 - x2) + (x2 - x1) * (y0 - y2);
  const first = ((y1 - y2) * (x - x2) + (x2 - x1) * (y - y2)) / area;
  const second = ((y2 - y0) * (x - x2) + (x0 - x2) * (y - y2)) / area;
  return [first, second, 1 - first - second];
}

/** Numbers of the cells, those in the middle first. */
function cellsFromCentre() {
  /** @param {number} i */
  const distance = (i) => Math.hypot(centreOf(i)[0] - CENTRE[0], centreOf(i)[1] - CENTRE[1]);
  return Array.from({ length: CELLS ** 2 }, (_, i) => i).sort((a, b) => distance(a) - distance(b));
}

/** @param {number} i @returns {[number, number]} centre of a cell in shares of the pad */
function centreOf(i) {
  return [((i % CELLS) + 0.5) / CELLS, (Math.floor(i / CELLS) + 0.5) / CELLS];
}

/**
 * @param {HTMLCanvasElement} pad
 * @param {number[]} point
 * @param {(HTMLCanvasElement | null)[]} previews
 */
function drawPad(pad, point, previews) {
  const width = Math.round(pad.clientWidth * devicePixelRatio);
  const height = Math.round(pad.clientHeight * devicePixelRatio);
  const context = pad.getContext("2d");
  if (!width || !context) return; // not shown
  pad.width = width;
  pad.height = height;
  context.imageSmoothingQuality = "high";
  const [cellWidth, cellHeight] = [width / CELLS, height / CELLS];
  previews.forEach((preview, i) => {
    const [x, y] = [(i % CELLS) * cellWidth, Math.floor(i / CELLS) * cellHeight];
    if (preview) context.drawImage(preview, x, y, cellWidth + 1, cellHeight + 1);
  });
  const unit = Math.sqrt(width * height) / 100;
  /** @param {number[]} point @returns {[number, number]} */
  const scaled = ([x, y]) => [x * width, y * height];
  /** @param {number[][]} points @param {boolean} closed */
  const line = (points, closed) => {
    context.beginPath();
    points.forEach((point) => context.lineTo(...scaled(point)));
    if (closed) context.closePath();
    strokeTwice(context, unit);
  };
  line(CORNERS, true);
  context.font = `600 ${4.6 * unit}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  CORNERS.forEach((corner, i) => disc(context, scaled(corner), 3.8 * unit, ["#fff", "#1b1d1f"], "ABC"[i]));
  disc(context, scaled(point), 3 * unit, ["#0d7a6c", "#fff"]);
}

/** A white line with a dark edge, visible on any image. @param {CanvasRenderingContext2D} context @param {number} unit */
function strokeTwice(context, unit) {
  for (const [colour, width] of /** @type {[string, number][]} */ ([["rgba(0, 0, 0, 0.55)", 1.1], ["#fff", 0.5]])) {
    context.strokeStyle = colour;
    context.lineWidth = width * unit;
    context.stroke();
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number[]} centre
 * @param {number} radius
 * @param {[string, string]} colours of the disc, and of its edge and text
 * @param {string} text
 */
function disc(context, [x, y], radius, [fill, edge], text = "") {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = fill;
  context.fill();
  context.strokeStyle = edge;
  context.lineWidth = radius / 4;
  context.stroke();
  context.fillStyle = edge;
  context.fillText(text, x, y);
}
