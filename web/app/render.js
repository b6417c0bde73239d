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
 * @param {number} pixels height, that of one of the model's sizes
 * @returns {Promise<Uint8ClampedArray<ArrayBuffer>>} RGBA with straight alpha, rows from the top
 */
export async function generate(model, run, recipe, pixels) {
  const size = model.sizes.find((entry) => entry.pixels === pixels);
  if (!size) throw new RangeError(`${model.name} has no images of ${pixels} pixels`);
  const values = (await GENERATORS[model.family](model, run, recipe))[size.output];
  const output = model.parts.images.outputs.find(({ name }) => name === size.output);
  if (!output) throw new RangeError(`${model.name} has no output ${size.output}`);
  return toBytes(values, output.shape, pixels);
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
 * Bytes of an image in [-1, 1], as `to_uint8` of Python; a smaller image is the mean over squares of pixels.
 *
 * @param {Float32Array} values of one image, rows from the top; colours of RGBA are multiplied by alpha
 * @param {number[]} shape 1, height, width, channels: 1 (grey), 3 (RGB) or 4 (RGBA)
 * @param {number} pixels height of the result, divides that of the image
 */
export function toBytes(values, [, height, width, channels], pixels) {
  const square = height / pixels;
  const columns = width / square;
  const rgba = new Uint8ClampedArray(pixels * columns * 4).fill(255); // rounds half to even, as NumPy does
  const pixel = new Float32Array(channels); // from 0 to 255
  const written = Math.max(3, channels);
  for (let y = 0; y < pixels; y++) {
    for (let x = 0; x < columns; x++) {
      for (let channel = 0; channel < channels; channel++) {
        let sum = 0;
        for (let i = y * square; i < (y + 1) * square; i++) {
          for (let j = x * square; j < (x + 1) * square; j++) sum += values[(i * width + j) * channels + channel];
        }
        const mean = Math.fround(sum / square ** 2);
        pixel[channel] = Math.fround(mean + 1) * 127.5;
      }
      if (channels === 4) straighten(pixel);
      const start = (y * columns + x) * 4;
      for (let i = 0; i < written; i++) rgba[start + i] = pixel[channels === 1 ? 0 : i];
    }
  }
  return rgba;
}

/** Divides the colours of a pixel by its alpha, or makes them black where alpha is 0. @param {Float32Array} pixel */
function straighten(pixel) {
  const alpha = pixel[3] > 0.5 ? pixel[3] : Infinity; // 0.5 is rounded to 0
  for (let colour = 0; colour < 3; colour++) pixel[colour] = Math.fround(255 * pixel[colour]) / alpha;
}
