/**
 * Random numbers of seeds, equal to those of gan_tf/rng.py: TensorFlow's stateless Philox4x32-10.
 *
 * Source: Salmon et al. 2011 (Parallel random numbers: as easy as 1, 2, 3); Box and Muller 1958.
 */

/** @typedef {import("../types").Model} Model */

export const MAX_SEED = 2n ** 63n - 1n;
const ROUNDS = 10;
const MULTIPLIERS = [0xd2511f53, 0xcd9e8d57];
const KEY_STEPS = [0x9e3779b9, 0xbb67ae85];
const SCRAMBLE_KEY = [0x3ec8f720, 0x02461e29]; // TensorFlow's, from a pair of seeds to key and counter
const TWO_PI = Math.fround(2 * Math.PI);

/**
 * @param {string} text
 * @returns {string | null} the seed in its shortest form, null if the text is not an integer from 0 to 2^63 - 1
 */
export function parseSeed(text) {
  const trimmed = text.trim();
  if (!/^\d{1,30}$/.test(trimmed)) return null;
  const seed = BigInt(trimmed);
  return seed <= MAX_SEED ? String(seed) : null;
}

/** A seed that is short enough to remember. */
export function randomSeed() {
  return String(crypto.getRandomValues(new Uint32Array(1))[0] % 1_000_000);
}

/**
 * The latent of an image that is requested by seed.
 *
 * @param {Model} model
 * @param {string} seed
 * @returns {Float32Array<ArrayBuffer>} [Z]
 */
export function latentOfSeed(model, seed) {
  return normals(model.keys.latents, seed, model.latent_size);
}

/**
 * The noise maps of an image that is requested by seed.
 *
 * @param {Model} model
 * @param {string} seed
 * @returns {Record<string, Float32Array<ArrayBuffer>>} by name, values row by row
 */
export function noiseOfSeed(model, seed) {
  return Object.fromEntries(model.noise.map(({ name, shape, key }) => [name, normals(key, seed, product(shape))]));
}

/**
 * The class of an image that is requested by seed, drawn with the class frequencies of the training images.
 *
 * @param {Model} model
 * @param {string} seed
 * @returns {string | null} its name, null for unconditional models
 */
export function classOfSeed(model, seed) {
  if (!model.classes.length) return null;
  const total = model.class_counts.reduce((sum, count) => sum + count, 0);
  let number = uint32s(model.keys.class, seed, 1)[0] % total;
  return model.classes[model.class_counts.findIndex((count) => (number -= count) < 0)];
}

/**
 * Standard normal numbers.
 *
 * @param {string} key of the stream, decimal
 * @param {string} seed decimal
 * @param {number} count
 */
export function normals(key, seed, count) {
  const bits = uint32s(key, seed, 2 * count);
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const radius = (bits[i] >>> 8) * 2 ** -24;
    const angle = (bits[count + i] >>> 8) * 2 ** -24;
    // Rounded to float32 where Python is: an error of the angle matters most.
    const length = Math.fround(Math.sqrt(Math.fround(-2 * Math.fround(Math.log1p(-radius)))));
    values[i] = length * Math.fround(Math.cos(Math.fround(TWO_PI * angle)));
  }
  return values;
}

/**
 * The first `count` 32-bit words of the stream of a pair (key, seed).
 *
 * @param {string} key
 * @param {string} seed
 * @param {number} count
 */
export function uint32s(key, seed, count) {
  const scrambled = philox([...words(key), ...words(seed)], SCRAMBLE_KEY);
  const counter = [0, 0, scrambled[2], scrambled[3]];
  const blocks = Math.ceil(count / 4);
  const values = new Uint32Array(4 * blocks);
  for (let i = 0; i < blocks; i++) {
    counter[0] = i; // maps are far too small for a carry into the next word
    values.set(philox(counter, scrambled), 4 * i);
  }
  return values.subarray(0, count);
}

/**
 * One block of Philox4x32-10.
 *
 * @param {number[]} counter four words
 * @param {number[]} key its first two words are the key
 * @returns {number[]} four words
 */
function philox([c0, c1, c2, c3], [k0, k1]) {
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(MULTIPLIERS[0], c0);
    const high1 = multiplyHigh(MULTIPLIERS[1], c2);
    const low0 = Math.imul(MULTIPLIERS[0], c0);
    const low1 = Math.imul(MULTIPLIERS[1], c2);
    [c0, c1, c2, c3] = [high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0];
    k0 = (k0 + KEY_STEPS[0]) | 0;
    k1 = (k1 + KEY_STEPS[1]) | 0;
  }
  return [c0 >>> 0, c1 >>> 0, c2 >>> 0, c3 >>> 0];
}

/**
 * The upper 32 bits of the product of two unsigned words, of which one may be given as a signed word.
 *
 * @param {number} a
 * @param {number} b
 */
function multiplyHigh(a, b) {
  const [aLow, aHigh, bLow, bHigh] = [a & 0xffff, a >>> 16, b & 0xffff, b >>> 16];
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16); // below 2^32
  const other = aLow * bHigh + (middle % 0x10000); // below 2^32
  return aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(other / 0x10000);
}

/** @param {string} decimal of 63 bits @returns {number[]} its lower and upper word */
function words(decimal) {
  const value = BigInt(decimal);
  return [Number(value & 0xffffffffn), Number(value >> 32n)];
}

/** @param {number[]} shape */
function product(shape) {
  return shape.reduce((count, size) => count * size, 1);
}
