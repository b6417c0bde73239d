/** The gallery: images that the user keeps, with their recipes, in this browser's IndexedDB. */

import { UserError } from "./recipes.js";

/** @typedef {import("../types").Entry} Entry */

const STORE = "images";
// Sites of one host share their databases: the name contains the folder of this one.
const NAME = `gan_tf ${new URL(".", location.href).pathname}`;

/** @param {Entry} entry without id @returns {Promise<number>} its id */
export async function addEntry(entry) {
  return Number(await change((store) => store.put(entry)));
}

/** @param {number} id */
export async function deleteEntry(id) {
  await change((store) => store.delete(id));
}

/** @returns {Promise<Entry[]>} the newest first */
export async function allEntries() {
  const database = await open();
  try {
    const entries = await finished(database.transaction(STORE).objectStore(STORE).getAll());
    return entries.reverse();
  } finally {
    database.close();
  }
}

/** @param {(store: IDBObjectStore) => IDBRequest} action */
async function change(action) {
  const database = await open();
  try {
    const transaction = database.transaction(STORE, "readwrite");
    const complete = new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error);
    });
    const [result] = await Promise.all([finished(action(transaction.objectStore(STORE))), complete]);
    return result;
  } catch (error) {
    throw sentenceOf(error);
  } finally {
    database.close();
  }
}

/** @returns {Promise<IDBDatabase>} */
async function open() {
  try {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "id", autoIncrement: true });
    return await finished(request);
  } catch (error) {
    throw sentenceOf(error);
  }
}

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
function finished(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** @param {any} error */
function sentenceOf(error) {
  if (error?.name === "QuotaExceededError") {
    return new UserError("The storage of this browser is full: delete images from the gallery, or save this one as a file.");
  }
  return new UserError("This browser does not store anything here, perhaps in a private window: save images as files.");
}
