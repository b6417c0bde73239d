const VERSION = "@VERSION@";
/** @type {string[]} */
const FILES = [/*@FILES@*/];
// Stores the site at the first visit and serves it from there, so that it works without a network. A newer version is
// stored beside it, and is used when the user reloads or no page of the old one is open.

importScripts("simd.js");

const scope = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));
const PREFIX = `gan_tf ${scope.registration.scope} `; // sites of one host share their caches
const NAME = PREFIX + VERSION;

scope.addEventListener("install", (event) => event.waitUntil(store()));

scope.addEventListener("activate", (event) => event.waitUntil(deleteOldVersions().then(() => scope.clients.claim())));

scope.addEventListener("message", ({ data }) => {
  if (data === "activate") scope.skipWaiting();
});

scope.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method === "GET" && request.url.startsWith(scope.registration.scope)) event.respondWith(serve(request));
});

async function store() {
  const cache = await caches.open(NAME);
  try {
    await Promise.all(siteFiles().map((file) => storeFile(cache, file)));
  } catch (error) {
    await caches.delete(NAME);
    throw error;
  }
}

/** All files of the site, with the one of the two builds of the runtime that this browser runs. */
function siteFiles() {
  const variant = wasmVariant();
  return [...FILES, ...(variant ? [`litert/${variant}.js`, `litert/${variant}.wasm`] : [])];
}

/** @param {Cache} cache @param {string} file */
async function storeFile(cache, file) {
  // A host or the browser may have kept an older version: it is asked whether it is the newest.
  const response = await fetch(file, { cache: "no-cache" });
  if (!response.ok) throw new Error(`${file}: status ${response.status}`);
  // A response that was redirected (index.html to ./) is refused when a page is opened.
  const { headers } = response;
  await cache.put(file, response.redirected ? new Response(await response.blob(), { headers }) : response);
}

async function deleteOldVersions() {
  const old = (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== NAME);
  await Promise.all(old.map((name) => caches.delete(name)));
}

/** @param {Request} request */
async function serve(request) {
  const cache = await caches.open(NAME);
  const [url] = request.url.split(/[?#]/);
  // Other pages of the host may be in sub-folders of this one.
  const name = siteFiles().find((file) => new URL(file, scope.registration.scope).href === url);
  const file = url === scope.registration.scope ? "index.html" : name;
  if (!file) return fetch(request);
  const stored = await cache.match(file);
  if (stored) return stored;
  await storeFile(cache, file); // a damaged file was deleted
  return /** @type {Promise<Response>} */ (cache.match(file));
}
