/** Types of the site's description (site.json), of recipes, and of the parts of LiteRT.js that the worker uses. */

export interface Part {
  file: string;
  bytes: number;
  sha256: string;
  inputs: { name: string; shape: number[] }[];
  outputs: { name: string; shape: number[] }[];
}

/** `pixels` is the height. `scaled`: means over squares of pixels of the output, which is larger. */
export interface Size {
  pixels: number;
  width: number;
  output: string;
  scaled: boolean;
}

export interface Model {
  id: string;
  name: string;
  family: "fastgan" | "pggan" | "stylegan2";
  images_seen: number;
  score: string | null;
  weights: string;
  licence: string;
  difference: { largest: number; mean: number };
  latent_size: number;
  resolution: number;
  width: number;
  height: number;
  channels: "rgb" | "grey" | "rgba";
  sizes: Size[];
  classes: string[];
  class_counts: number[];
  truncation: boolean;
  mean_w: number[][] | null;
  style: { kind: "excitations" | "layers"; layers: string[]; default: number[] } | null;
  noise: { name: string; shape: number[]; key: string }[];
  keys: { latents: string; class: string };
  parts: { style?: Part; images: Part };
}

export interface Site {
  format: number;
  made_by: string;
  title: string;
  models: Model[];
}

/** The other image of style mixing. */
export interface Style {
  latent: number[];
  noise_seed: string;
  class: string | null;
  layers: number[];
}

/** One image: all that is needed to generate it again with the same model. Seeds are decimal text, as they need 63 bits. */
export interface Recipe {
  seed: string | null;
  latent: number[];
  noise_seed: string;
  class: string | null;
  truncation: number;
  style: Style | null;
}

export interface ModelName {
  name: string;
  family: string;
  weights: string;
}

/** A generated image: its recipe, its height and its RGBA values with straight alpha. */
export interface Rendered {
  recipe: Recipe;
  pixels: number;
  rgba: Uint8ClampedArray<ArrayBuffer>;
}

/** An entry of the gallery. */
export interface Entry {
  id?: number;
  model: ModelName;
  recipe: Recipe;
  pixels: number;
  png: Blob;
  created: number;
}

/** What the views of the page share. */
export interface App {
  models: Model[];
  model: Model;
  pixels: number;
  engine: import("./app/engine.js").Engine;
  /** Class (null: drawn from the seed) and truncation for images of seeds. */
  settings(): { class: string | null; truncation: number };
  /** The image that is selected in the view Images. */
  selected(): Recipe;
  /** Shows images in the view Images. */
  open(recipes: Recipe[], model: Model, note: string): Promise<void>;
}

/** A view of the page. `show` is called when its tab is opened, and when the model or the size has changed. */
export interface View {
  show(): void;
  hide?(): void;
  modelChanged?(): void;
}

/** Messages to the worker; `id` is repeated in its answers. */
export type Request =
  | { id: number; kind: "load"; model: Model }
  | { id: number; kind: "render"; recipe: Recipe; pixels: number };

export type Answer =
  | { id: number; kind: "progress"; what: "files"; loaded: number; total: number }
  | { id: number; kind: "progress"; what: "compile" }
  | { id: number; kind: "loaded"; accelerator: Accelerator }
  | { id: number; kind: "rendered"; pixels: number; rgba: Uint8ClampedArray<ArrayBuffer> }
  | { id: number; kind: "failed"; message: string };

export type Accelerator = "webgpu" | "wasm";

export interface Tensor {
  data(): Promise<Float32Array>;
  delete(): void;
}

export interface CompiledModel {
  readonly isFullyAccelerated: boolean;
  run(inputs: Record<string, Tensor>): Promise<Record<string, Tensor>>;
  delete(): void;
}

export interface LiteRt {
  Tensor: new (values: Float32Array | Int32Array, shape: number[]) => Tensor;
  loadLiteRt(folder: string): Promise<unknown>;
  loadAndCompile(
    bytes: Uint8Array,
    options: { accelerator: Accelerator; gpuOptions?: { precision: "fp32" } },
  ): Promise<CompiledModel>;
}

declare global {
  /** Set by simd.js: the kind of WebAssembly that this browser runs. */
  function wasmVariant(): "litert_wasm_internal" | "litert_wasm_compat_internal" | null;

  interface Window {
    /** The app for Android saves files through it: a WebView has no downloads. */
    Android?: { save(name: string, mimeType: string, base64: string): void };
  }
}
