/** Recipes of images: made from seeds, mixed, interpolated, placed on a plane, written to files and read from them. */

import { classOfSeed, latentOfSeed, parseSeed } from "./random.js";

/** @typedef {import("../types").Model} Model */
/** @typedef {import("../types").ModelName} ModelName */
/** @typedef {import("../types").Recipe} Recipe */
/** @typedef {import("../types").Style} Style */

const FORMAT = "gan_tf latents";
const MIN_RADIUS = 1e-3;
const MAX_NUMBER = 1000; // in a latent of a file, as for gan-tf generate
const OPPOSITE = 1e-3; // angles this close to a half turn have no shortest path

/** A mistake that the user can correct; the message is one sentence for the page. */
export class UserError extends Error {}

/**
 * @param {Model} model
 * @param {string} seed decimal
 * @param {{class?: string | null, truncation?: number}} settings class: null to draw it from the seed
 * @returns {Recipe}
 */
export function recipeOfSeed(model, seed, settings = {}) {
  return {
    seed,
    latent: shortened(latentOfSeed(model, seed)),
    noise_seed: seed,
    class: model.classes.length ? (settings.class ?? classOfSeed(model, seed)) : null,
    truncation: model.truncation ? (settings.truncation ?? 1) : 1,
    style: null,
  };
}

/**
 * @param {Recipe} content
 * @param {Recipe} other its style replaces that of `content` in some layers; a style that it has itself is left out
 * @param {number[]} layers
 * @returns {Recipe}
 */
export function mixed(content, other, layers) {
  return { ...content, style: layers.length ? { ...ownStyle(other), layers } : null };
}

/**
 * The image between two others: directions on the great circle at constant speed, lengths on a straight line, as
 * gan-tf interpolate does. Noise, class, truncation and mixed layers are those of the first.
 *
 * @param {Recipe} first
 * @param {Recipe} second
 * @param {number} share 0: the latent of the first, 1: of the second
 * @returns {Recipe}
 */
export function between(first, second, share) {
  const latent = onSphere(first.latent, second.latent, share);
  let style = null;
  if (first.style || second.style) {
    const start = first.style ?? { ...ownStyle(first), layers: second.style?.layers ?? [] };
    const end = second.style ?? ownStyle(second);
    style = { ...start, latent: onSphere(start.latent, end.latent, share) };
  }
  return { ...first, seed: share === 0 ? first.seed : null, latent, style };
}

/**
 * The image at a point of the plane through three others. Noise, class and truncation are those of the first.
 *
 * @param {Recipe[]} corners three
 * @param {number[]} weights of the corners, with sum 1; negative outside of the triangle
 * @returns {Recipe}
 */
export function onPlane(corners, weights) {
  const lengths = corners.map(({ latent }) => lengthOf(latent));
  const sum = corners[0].latent.map((_, i) =>
    corners.reduce((total, { latent }, c) => total + (weights[c] * latent[i]) / lengths[c], 0),
  );
  const radius = Math.max(MIN_RADIUS, weights.reduce((total, weight, c) => total + weight * lengths[c], 0));
  const scale = radius / Math.max(lengthOf(sum), 1e-9);
  const seed = weights[0] === 1 ? corners[0].seed : null;
  return { ...corners[0], seed, latent: shortened(sum.map((value) => value * scale)), style: null };
}

/** A recipe in words, such as "seed 12, panda, mixed". @param {Recipe} recipe */
export function describe({ seed, class: name, truncation, style }) {
  const words = [seed === null ? "between seeds" : `seed ${seed}`];
  if (name !== null) words.push(/^\d+$/.test(name) ? `class ${name}` : name);
  if (truncation !== 1) words.push(`truncation ${truncation}`);
  if (style) words.push("mixed");
  return words.join(", ");
}

/** @param {number[]} a @param {number[]} b @param {number} share */
function onSphere(a, b, share) {
  const [lengthA, lengthB] = [lengthOf(a), lengthOf(b)];
  const [u, v] = [a.map((value) => value / lengthA), b.map((value) => value / lengthB)];
  const chord = lengthOf(u.map((value, i) => value - v[i]));
  const angle = 2 * Math.asin(Math.min(1, chord / 2));
  if (angle < 1e-6) return share < 0.5 ? a : b;
  if (angle > Math.PI - OPPOSITE) {
    throw new UserError("The latents of these two images are opposite, so there is no path between them.");
  }
  const [weightA, weightB] = [Math.sin((1 - share) * angle), Math.sin(share * angle)];
  const radius = ((1 - share) * lengthA + share * lengthB) / Math.sin(angle);
  return shortened(u.map((value, i) => (weightA * value + weightB * v[i]) * radius));
}

/** @param {number[]} values */
function lengthOf(values) {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
}

/** @param {ArrayLike<number>} values @returns {number[]} the same float32 numbers with the fewest decimals */
function shortened(values) {
  return Array.from(values, (value) => Number(value.toPrecision(9)));
}

/** @param {Recipe} recipe */
function ownStyle({ latent, noise_seed, class: name }) {
  return { latent, noise_seed, class: name };
}

// Files

/** @param {ModelName} model @returns {ModelName} without its other properties */
export function nameOf({ name, family, weights }) {
  return { name, family, weights };
}

/**
 * @param {ModelName} model
 * @param {Recipe[]} images
 */
export function toJson(model, images) {
  return `${JSON.stringify({ format: FORMAT, version: 1, model: nameOf(model), images }, null, 1)}\n`;
}

/**
 * @param {string} text of a latent file
 * @returns {{model: ModelName, images: Recipe[]}}
 */
export function fromJson(text) {
  let file;
  try {
    file = JSON.parse(text);
  } catch {
    throw new UserError("This file is not a latent file: it is not JSON.");
  }
  if (file?.format !== FORMAT) {
    throw new UserError(`This file is not a latent file: it lacks "format": "${FORMAT}".`);
  }
  if (file.version !== 1) {
    throw new UserError(`This latent file has version ${file.version}, and this page reads version 1.`);
  }
  if (typeof file.model?.family !== "string" || !Array.isArray(file.images) || !file.images.length) {
    throw new UserError("This latent file is incomplete: it needs a model and at least one image.");
  }
  const { name, family, weights } = file.model;
  return { model: { name: String(name), family, weights: String(weights) }, images: file.images.map(checked) };
}

/**
 * The model of the site that a recipe is for, and a note if it is only similar.
 *
 * @param {{model: ModelName, images: Recipe[]}} file
 * @param {Model[]} models of the site, the one in use first
 * @returns {{model: Model, note: string}}
 */
export function modelFor({ model, images }, models) {
  const size = images[0].latent.length;
  const same = models.find(({ weights }) => weights === model.weights);
  const found = same ?? models.find(({ family, latent_size }) => family === model.family && latent_size === size);
  if (!found) {
    const kind = `a ${model.family} with ${size} latent numbers`;
    throw new UserError(`This latent is of another model (${model.name}, ${kind}), which this page does not have.`);
  }
  for (const { latent, style, ...image } of images) {
    if (latent.length !== found.latent_size || (style && style.latent.length !== found.latent_size)) {
      throw new UserError(`A latent of this file has ${latent.length} numbers; ${found.name} needs ${found.latent_size}.`);
    }
    checkClass(image.class, found);
    if (style) checkStyle(style, found);
  }
  const note = `This latent was made with other weights (${model.name}), so the image differs from the original.`;
  return { model: found, note: same ? "" : note };
}

/** @param {string | null} name @param {Model} model */
function checkClass(name, model) {
  if (name === null ? model.classes.length : !model.classes.includes(name)) {
    const text = name === null ? "no class" : `the class “${name}”`;
    throw new UserError(`This latent has ${text}, which does not fit the model ${model.name}.`);
  }
}

/** @param {Style} style @param {Model} model */
function checkStyle(style, model) {
  checkClass(style.class, model);
  const count = model.style?.layers.length ?? 0;
  if (style.layers.some((layer) => layer >= count)) {
    throw new UserError(`This latent mixes layer ${Math.max(...style.layers)}, and ${model.name} has ${count} layers.`);
  }
}

/** @param {any} image @param {number} index @returns {Recipe} */
function checked(image, index) {
  const { seed, latent, noise_seed, class: name = null, truncation = 1, style = null } = image ?? {};
  const mistake = [
    !isLatent(latent) && `its latent is not a list of numbers from -${MAX_NUMBER} to ${MAX_NUMBER}, or all are 0`,
    !isSeed(noise_seed) && "its noise_seed is not a seed",
    !(seed === null || seed === undefined || isSeed(seed)) && "its seed is not a seed",
    !isName(name) && "its class is not a name",
    !(Number.isFinite(truncation) && Math.abs(truncation) <= 2) && "its truncation is not a number from -2 to 2",
    !(style === null || isStyle(style)) && "its style is incomplete",
  ].find(Boolean);
  if (mistake) throw new UserError(`Image ${index + 1} of this latent file cannot be read: ${mistake}.`);
  return { seed: seed ?? null, latent, noise_seed, class: name, truncation, style: style && { class: null, ...style } };
}

/** @param {any} values */
function isLatent(values) {
  const valid = (/** @type {any} */ value) => Number.isFinite(value) && Math.abs(value) <= MAX_NUMBER;
  return Array.isArray(values) && values.length > 0 && values.every(valid) && lengthOf(values) > 0;
}

/** @param {any} seed */
function isSeed(seed) {
  return typeof seed === "string" && parseSeed(seed) === seed;
}

/** @param {any} name */
function isName(name) {
  return name === null || typeof name === "string";
}

/** @param {any} style */
function isStyle(style) {
  const layers = style.layers;
  const valid = Array.isArray(layers) && layers.every((/** @type {any} */ layer) => Number.isInteger(layer) && layer >= 0);
  return valid && isLatent(style.latent) && isSeed(style.noise_seed) && isName(style.class ?? null);
}
