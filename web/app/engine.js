/** The worker as the page uses it: one image at a time, so that a newer request replaces those that wait. */

import { UserError } from "./recipes.js";

/** @typedef {import("../types").Model} Model */
/** @typedef {import("../types").Recipe} Recipe */
/** @typedef {import("../types").Rendered} Rendered */
/** @typedef {import("../types").Answer} Answer */
/** @typedef {import("../types").Accelerator} Accelerator */
/** @typedef {Extract<Answer, {kind: "progress"}>} Progress */
/**
 * @typedef {object} Job images of one place in the page
 * @property {Recipe[]} recipes
 * @property {number} pixels
 * @property {number} next index of the first recipe that was not sent
 * @property {(rendered: Rendered, index: number) => void} onImage
 * @property {(finished: boolean) => void} resolve
 * @property {(error: Error) => void} reject
 */

/** Channel of images that nobody waits for; all others go first. */
export const BACKGROUND = "background";

export class Engine {
  #worker = new Worker("worker.js");
  #lastId = 0;
  /** @type {{id: number, onAnswer: (answer: Answer) => void} | null} */
  #sent = null;
  /** @type {Map<string, Job>} */
  #jobs = new Map();
  #broken = false; // the worker has not started

  constructor() {
    this.#worker.addEventListener("message", ({ data }) => {
      if (data.id === this.#sent?.id) this.#sent?.onAnswer(data);
    });
    this.#worker.addEventListener("error", () => {
      this.#broken = true;
      this.#sent?.onAnswer(this.#failure());
    });
  }

  /**
   * Loads a model; waiting images of another model are dropped.
   *
   * @param {Model} model
   * @param {(progress: Progress) => void} onProgress
   * @returns {Promise<Accelerator>}
   */
  load(model, onProgress) {
    this.cancelAll();
    return new Promise((resolve, reject) => {
      this.#send({ kind: "load", model }, (answer) => {
        if (answer.kind === "progress") {
          onProgress(answer);
          return;
        }
        this.#sent = null;
        if (answer.kind === "loaded") resolve(answer.accelerator);
        if (answer.kind === "failed") reject(new UserError(answer.message));
        this.#sendNext();
      });
    });
  }

  /**
   * Generates images one after the other. A call replaces the rest of the last call with the same channel; the image
   * that the worker has begun is finished and delivered, so that an image follows while the user drags.
   *
   * @param {string} channel
   * @param {Recipe[]} recipes
   * @param {number} pixels
   * @param {(rendered: Rendered, index: number) => void} onImage
   * @returns {Promise<boolean>} true after the last image, false if the rest was replaced or cancelled
   */
  render(channel, recipes, pixels, onImage) {
    this.cancel(channel);
    return new Promise((resolve, reject) => {
      this.#jobs.set(channel, { recipes, pixels, next: 0, onImage, resolve, reject });
      this.#sendNext();
    });
  }

  /** @param {string} channel */
  cancel(channel) {
    this.#jobs.get(channel)?.resolve(false);
    this.#jobs.delete(channel);
  }

  cancelAll() {
    for (const channel of [...this.#jobs.keys()]) this.cancel(channel);
    this.#sent = null; // its answer is ignored
  }

  #sendNext() {
    if (this.#sent) return;
    const channels = [...this.#jobs.keys()]; // the latest request is the last
    const channel = channels.reverse().find((name) => name !== BACKGROUND) ?? BACKGROUND;
    const job = this.#jobs.get(channel);
    if (!job) return;
    const index = job.next++;
    const recipe = job.recipes[index];
    if (!recipe) {
      this.#jobs.delete(channel);
      job.resolve(true);
      this.#sendNext();
      return;
    }
    this.#send({ kind: "render", recipe, pixels: job.pixels }, (answer) => {
      this.#sent = null;
      if (answer.kind === "rendered") {
        job.onImage({ recipe, pixels: answer.pixels, rgba: answer.rgba }, index);
      } else if (answer.kind === "failed") {
        if (this.#jobs.get(channel) === job) this.#jobs.delete(channel);
        job.reject(new UserError(answer.message));
      }
      this.#sendNext();
    });
  }

  /** @param {object} request @param {(answer: Answer) => void} onAnswer */
  #send(request, onAnswer) {
    const id = ++this.#lastId;
    this.#sent = { id, onAnswer };
    if (this.#broken) onAnswer(this.#failure());
    else this.#worker.postMessage({ ...request, id });
  }

  /** @returns {Answer} */
  #failure() {
    const message = "A file of this page is missing or damaged, so that it cannot generate images; reload the page.";
    return { id: this.#lastId, kind: "failed", message };
  }
}
