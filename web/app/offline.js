/** Storage for use without a network: registers the service worker and reports its state below the page. */

import { byId, showNote } from "./dom.js";

/** Stores the site. The app for Android contains all files, and needs none of it. */
export async function registerServiceWorker() {
  const workers = navigator.serviceWorker;
  if (!workers || window.Android) return;
  const state = byId("offline", HTMLElement);
  try {
    const registration = await workers.register("service-worker.js");
    if (registration.waiting && registration.active) offerUpdate(registration.waiting);
    registration.addEventListener("updatefound", () => watch(registration));
    if (registration.active) state.textContent = "Works without a network.";
    else watch(registration);
  } catch {
    state.textContent = "Not stored for use without a network.";
  }
}

/** @param {ServiceWorkerRegistration} registration with a worker that is being installed */
function watch(registration) {
  const state = byId("offline", HTMLElement);
  const worker = registration.installing ?? registration.waiting ?? registration.active;
  if (!worker) return;
  const update = registration.active !== null && registration.active !== worker;
  const report = () => {
    if (worker.state === "installed" && update) offerUpdate(worker);
    if (worker.state === "activated") state.textContent = "Works without a network.";
    if (worker.state === "redundant" && !update) {
      state.textContent = "Could not be stored for use without a network: the connection was lost, or the storage is full.";
    }
  };
  if (!update) state.textContent = "Storing for use without a network…";
  worker.addEventListener("statechange", report);
  report();
}

/** @param {ServiceWorker} worker of a newer version of the site */
function offerUpdate(worker) {
  const reload = () => {
    navigator.serviceWorker.addEventListener("controllerchange", () => location.reload(), { once: true });
    worker.postMessage("activate");
  };
  showNote("A new version of this page is ready.", { action: ["Reload", reload] });
}
