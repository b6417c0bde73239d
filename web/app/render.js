/** Generates the image of a recipe: the inputs of each network, by family. */

import { noiseOfSeed } from "./random.js";

/** @typedef {import("../types").Model} Model */
/** @typedef {import("../types").Recipe} Recipe */
/** @typedef {Record<string, Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer>>} Arrays */
/** @typedef {(part: "style" | "images", arrays: Arrays) => Promise<Record<string, Float32Array<ArrayBuffer>>>} Run */
/** @typedef {{latent: number[], noise_seed: string, class: string | null, truncation: number}} Source */

const KEPT_NOISE = 4; // images

/** @type {Map<string, Arrays>} noise maps of recent images: they stay the same while a latent is dragged */
const recentNoise = new Map();

/**
 * @param {Model} model
 * @param {Run} run runs one of the model's networks
 * @param {Recipe} recipe
 * @param {number} pixels one of the model's sizes
 * @returns {Promise<Uint8ClampedArray<ArrayBuffer>>} RGBA, rows from the top
 */
export async function generate(model, run, recipe, pixels) {
  const size = model.sizes.find((entry) => entry.pixels === pixels);
  if (!size) throw new RangeError(`${model.name} has no images of ${pixels} pixels`);
  const values = (await GENERATORS[model.family](model, run, recipe))[size.output];
  return toBytes(values, Math.sqrt(values.length / 3), pixels);
}

/** @type {Record<Model["family"], (model: Model, run: Run, recipe: Recipe) => ReturnType<Run>>} */
const GENERATORS = { pggan, fastgan, stylegan2 };

/** @param {Model} model @param {Run} run @param {Recipe} recipe */
async function pggan(model, run, recipe) {
  return run("images", inputsOf(model, recipe));
}

/**
 * The excitations of the chosen layers are those of the other image.
 *
 * @param {Model} model @param {Run} run @param {Recipe} recipe
 */
async function fastgan(model, run, recipe) {
  const inputs = inputsOf(model, recipe, recipe.truncation);
  const maps = await run("style", inputs);
  if (recipe.style) {
    const other = { ...recipe.style, truncation: recipe.truncation };
    const styles = await run("style", inputsOf(model, other, other.truncation));
    for (const layer of recipe.style.layers) maps[`style_${layer}`] = styles[`style_${layer}`];
  }
  return run("images", { ...inputs, ...maps });
}

/**
 * Each layer has a style w; the chosen layers have that of the other image.
 *
 * @param {Model} model @param {Run} run @param {Recipe} recipe
 */
async function stylegan2(model, run, recipe) {
  const count = model.style?.layers.length ?? 0;
  const own = await truncatedW(model, run, recipe);
  const ws = new Float32Array(count * own.length);
  for (let layer = 0; layer < count; layer++) ws.set(own, layer * own.length);
  if (recipe.style) {
    const other = await truncatedW(model, run, { ...recipe.style, truncation: recipe.truncation });
    for (const layer of recipe.style.layers) ws.set(other, layer * own.length);
  }
  return run("images", { ...inputsOf(model, recipe), ws });
}

/** @param {Model} model @param {Run} run @param {Source} source */
async function truncatedW(model, run, source) {
  const { w } = await run("style", inputsOf(model, source));
  const mean = model.mean_w?.[Math.max(0, model.classes.indexOf(source.class ?? ""))];
  return mean && source.truncation !== 1 ? w.map((value, i) => mean[i] + source.truncation * (value - mean[i])) : w;
}

/**
 * @param {Model} model
 * @param {{latent: number[], noise_seed: string, class: string | null}} source
 * @param {number} scale of the latent
 * @returns {Arrays}
 */
function inputsOf(model, { latent, noise_seed, class: name }, scale = 1) {
  return {
    latents: Float32Array.from(latent, (value) => scale * value),
    labels: Int32Array.of(Math.max(0, model.classes.indexOf(name ?? ""))),
    ...noiseMaps(model, noise_seed),
  };
}

/** @param {Model} model @param {string} seed */
function noiseMaps(model, seed) {
  const key = `${model.id} ${seed}`;
  const maps = recentNoise.get(key) ?? noiseOfSeed(model, seed);
  recentNoise.delete(key); // the order of a Map is that of insertion: the oldest is the first
  recentNoise.set(key, maps);
  if (recentNoise.size > KEPT_NOISE) recentNoise.delete(recentNoise.keys().next().value ?? "");
  return maps;
}

/**
 * Bytes of an image in [-1, 1]; a smaller image is the mean over squares of pixels.
 *
 * @param {Float32Array} values [size, size, 3]
 * @param {number} size
 * @param {number} pixels divides `size`
 */
function toBytes(values, size, pixels) {
  const square = size / pixels;
  const rgba = new Uint8ClampedArray(pixels * pixels * 4).fill(255); // rounds half to even, as NumPy does
  for (let y = 0; y < pixels; y++) {
    for (let x = 0; x < pixels; x++) {
      for (let channel = 0; channel < 3; channel++) {
        let sum = 0;
        for (let i = y * square; i < (y + 1) * square; i++) {
          for (let j = x * square; j < (x + 1) * square; j++) sum += values[(i * size + j) * 3 + channel];
        }
        const mean = Math.fround(sum / square ** 2);
        rgba[(y * pixels + x) * 4 + channel] = Math.fround(Math.fround(mean + 1) * 127.5);
      }
    }
  }
  return rgba;
}
