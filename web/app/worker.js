// Runs the networks. A classic worker, because the runtime loads its WebAssembly by importScripts.

importScripts("simd.js");

/** @typedef {import("../types").Model} Model */
/** @typedef {import("../types").Part} Part */
/** @typedef {import("../types").Recipe} Recipe */
/** @typedef {import("../types").Answer} Answer */
/** @typedef {import("../types").LiteRt} LiteRt */
/** @typedef {import("../types").Accelerator} Accelerator */
/** @typedef {import("../types").CompiledModel} CompiledModel */
/** @typedef {import("./render.js").Arrays} Arrays */
/** @typedef {{model: Model, accelerator: Accelerator, parts: Record<string, CompiledModel>}} Loaded */

const RUNTIME_BYTES = 9.4e6; // of the WebAssembly file, for the progress bar

class Failure extends Error {} // its message is one sentence for the page

/** @type {Promise<LiteRt> | null} */
let runtime = null;
/** @type {Loaded | null} */
let loaded = null;
let last = Promise.resolve();

self.onmessage = ({ data }) => {
  last = last.then(() => answer(data)); // one after the other
};

/** @param {import("../types").Request} request */
async function answer(request) {
  const { id } = request;
  /** @type {(message: any, transfer?: Transferable[]) => void} */
  const reply = (message, transfer = []) => self.postMessage({ ...message, id }, { transfer });
  try {
    if (request.kind === "load") {
      loaded = await load(request.model, (progress) => reply({ kind: "progress", ...progress }));
      reply({ kind: "loaded", accelerator: loaded.accelerator });
    } else {
      if (!loaded) throw new Failure("No model is loaded; reload the page.");
      const rgba = await render(loaded, request.recipe, request.pixels);
      reply({ kind: "rendered", pixels: request.pixels, rgba }, [rgba.buffer]);
    }
  } catch (error) {
    reply({ kind: "failed", message: sentenceOf(error, request.kind === "load" ? "model" : "image") });
  }
}

/** @param {unknown} error @param {"model" | "image"} what */
function sentenceOf(error, what) {
  if (error instanceof Failure) return error.message;
  console.warn(error);
  const reason = error instanceof Error ? error.message : String(error);
  return `The ${what} could not be ${what === "model" ? "started" : "generated"} (${reason}); reload the page.`;
}

// Loading

/**
 * Loads the runtime, at the first call, and a model, which replaces the last one.
 *
 * @param {Model} model
 * @param {(progress: object) => void} report
 * @returns {Promise<Loaded>}
 */
async function load(model, report) {
  const variant = wasmVariant();
  if (!variant) throw new Failure("This browser cannot run the model: it lacks WebAssembly SIMD; update the browser.");
  const parts = Object.entries(model.parts);
  const total = parts.reduce((sum, [, part]) => sum + part.bytes, runtime ? 0 : RUNTIME_BYTES);
  let received = 0;
  /** @param {number} bytes */
  const onBytes = (bytes) => report({ what: "files", loaded: Math.min((received += bytes), total), total });
  runtime ??= loadRuntime(variant, onBytes).catch((error) => {
    runtime = null;
    throw error;
  });
  const [litert, ...files] = await Promise.all([runtime, ...parts.map(([, part]) => downloadPart(part, onBytes))]);
  report({ what: "compile" });
  for (const old of Object.values(loaded?.parts ?? {})) old.delete();
  loaded = null;
  const named = parts.map(([name], i) => /** @type {[string, Uint8Array]} */ ([name, files[i]]));
  return (await onGpu(litert, model, named)) ?? (await onCpu(litert, model, named));
}

/** @param {string} variant @param {(bytes: number) => void} onBytes @returns {Promise<LiteRt>} */
async function loadRuntime(variant, onBytes) {
  const url = `litert/${variant}.wasm`;
  const download = await request(url, onBytes);
  const headers = { "Content-Type": "application/wasm" };
  const program = await WebAssembly.compileStreaming(new Response(download, { headers })).catch(async (error) => {
    if (error instanceof WebAssembly.CompileError) throw await damaged(url, "it cannot be compiled");
    throw new Failure(lost(url));
  });
  // Settings of Emscripten. Without them the runtime downloads the file itself, which reports no progress, waits for ever
  // if the file cannot be started, and writes what it does to console.error.
  const failed = new Promise((_, reject) => {
    const instantiateWasm = (/** @type {WebAssembly.Imports} */ imports, /** @type {Function} */ receive) => {
      WebAssembly.instantiate(program, imports).then((instance) => receive(instance, program)).catch(reject);
    };
    Object.assign(self, { Module: { printErr: console.debug, instantiateWasm } });
  });
  const litert = /** @type {LiteRt} */ (await import(new URL("litert/index.js", location.href).href));
  await Promise.race([litert.loadLiteRt(new URL("litert/", location.href).href), failed]);
  return litert;
}

/** @param {Part} part @param {(bytes: number) => void} onBytes */
async function downloadPart(part, onBytes) {
  const stream = await request(part.file, onBytes);
  const buffer = await new Response(stream).arrayBuffer().catch(() => {
    throw new Failure(lost(part.file));
  });
  const bytes = new Uint8Array(buffer);
  const problem = bytes.length === part.bytes ? await wrongHash(bytes, part) : `${bytes.length} of ${part.bytes} bytes`;
  if (problem) throw await damaged(part.file, problem);
  return bytes;
}

/** Forgets a file that is stored for use without a network, and the description. @param {string} url @param {string} reason */
async function damaged(url, reason) {
  for (const name of (await self.caches?.keys()) ?? []) {
    const cache = await caches.open(name);
    // The file is perhaps newer than the description: both were stored while a new version was being published.
    for (const file of [url, "site.json"]) await cache.delete(file);
  }
  return new Failure(`The file ${url} is damaged (${reason}); reload the page to download it again.`);
}

/** @param {Uint8Array<ArrayBuffer>} bytes @param {Part} part */
async function wrongHash(bytes, part) {
  if (!self.crypto?.subtle) return ""; // a page without HTTPS
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex === part.sha256 ? "" : "its SHA-256 differs";
}

/** @param {string} url @param {(bytes: number) => void} onBytes @returns {Promise<ReadableStream<Uint8Array<ArrayBuffer>>>} */
async function request(url, onBytes) {
  // A host may allow the browser to keep files for minutes, and to mix them with newer ones.
  const response = await fetch(url, { cache: "no-cache" }).catch(() => {
    throw new Failure(lost(url));
  });
  if (!response.ok || !response.body) {
    throw new Failure(`The file ${url} is missing on the server (status ${response.status}).`);
  }
  const counter = new TransformStream({
    transform(chunk, controller) {
      onBytes(chunk.length);
      controller.enqueue(chunk);
    },
  });
  return response.body.pipeThrough(counter);
}

/** @param {string} url */
function lost(url) {
  return `The connection was lost before ${url} was stored; connect to the network and reload the page.`;
}

/**
 * The model on WebGPU, null if this device has none or cannot run the images part on it. A part with an operation that
 * WebGPU lacks, such as the choice of a class, runs on the CPU; it is small if it is not the images part.
 *
 * @param {LiteRt} litert
 * @param {Model} model
 * @param {[string, Uint8Array][]} files
 * @returns {Promise<Loaded | null>}
 */
async function onGpu(litert, model, files) {
  const gpu = /** @type {any} */ (navigator).gpu;
  /** @type {Record<string, CompiledModel>} */
  const parts = {};
  try {
    if (!(await gpu?.requestAdapter())) return null;
    for (const [name, bytes] of files) {
      parts[name] = await litert.loadAndCompile(bytes, { accelerator: "webgpu", gpuOptions: { precision: "fp32" } });
      if (parts[name].isFullyAccelerated) continue;
      if (name === "images") throw new Error("the images part has an operation that WebGPU lacks");
      parts[name].delete();
      parts[name] = await litert.loadAndCompile(bytes, { accelerator: "wasm" });
    }
    const network = { model, accelerator: /** @type {Accelerator} */ ("webgpu"), parts };
    await render(network, trialRecipe(model), model.height);
    return network;
  } catch (error) {
    console.warn("WebGPU is not used:", error);
    for (const part of Object.values(parts)) part.delete();
    return null;
  }
}

/** @param {Model} model @returns {Recipe} */
function trialRecipe({ latent_size, classes }) {
  const latent = Array.from({ length: latent_size }, () => 1);
  return { seed: null, latent, noise_seed: "0", class: classes[0] ?? null, truncation: 1, style: null };
}

/** @param {LiteRt} litert @param {Model} model @param {[string, Uint8Array][]} files @returns {Promise<Loaded>} */
async function onCpu(litert, model, files) {
  /** @type {Record<string, CompiledModel>} */
  const parts = {};
  for (const [name, bytes] of files) parts[name] = await litert.loadAndCompile(bytes, { accelerator: "wasm" });
  return { model, accelerator: "wasm", parts };
}

// Generating

/** @param {Loaded} network @param {Recipe} recipe @param {number} pixels */
async function render({ model, parts }, recipe, pixels) {
  const { generate } = await import("./render.js");
  const litert = /** @type {LiteRt} */ (await runtime);
  return generate(model, (name, arrays) => run(litert, parts[name], partOf(model, name), arrays), recipe, pixels);
}

/** @param {Model} model @param {"style" | "images"} name */
function partOf(model, name) {
  const part = model.parts[name];
  if (!part) throw new Failure(`The description of the model ${model.name} lacks its ${name} part.`);
  return part;
}

/**
 * Runs one file of a model.
 *
 * @param {LiteRt} litert
 * @param {CompiledModel} compiledPart
 * @param {Part} part
 * @param {Arrays} arrays at least its inputs
 * @returns {Promise<Record<string, Float32Array<ArrayBuffer>>>} its outputs
 */
async function run(litert, compiledPart, part, arrays) {
  const tensors = part.inputs.map(({ name, shape }) => [name, new litert.Tensor(arrays[name], shape)]);
  const inputs = Object.fromEntries(tensors);
  /** @type {Record<string, import("../types").Tensor>} */
  let outputs = {};
  try {
    outputs = await compiledPart.run(inputs);
    const values = Object.entries(outputs).map(async ([name, tensor]) => [name, Float32Array.from(await tensor.data())]);
    return Object.fromEntries(await Promise.all(values));
  } finally {
    for (const tensor of [...Object.values(inputs), ...Object.values(outputs)]) tensor.delete();
  }
}
