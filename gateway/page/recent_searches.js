// The last searches, with their pictures, kept by this browser alone: they come back after a reload, and stand on the
// empty page.
//
// A record is {hash, label, at, query, small, name}: the address, words for it, when, the query as query.js has it, a small
// picture, a Blob, null where the query has none, and a name, if somebody gave it one. With a name it stays until the name
// is taken away.

const DATABASE = "hashlake";
const STORE = "searches";
const KEPT = 24;
const PATIENCE_MS = 3000;

let opened = null;

function database() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "hash" });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
    setTimeout(() => reject(new Error("the browser says nothing")), PATIENCE_MS); // some never do
  });
  return opened;
}

// The outcome of `use(store)`, an IDBRequest; `otherwise` where the browser keeps nothing, as in private windows, and where
// there is no room for it, which shows only at the end.
async function within(mode, otherwise, use) {
  try {
    const transaction = (await database()).transaction(STORE, mode);
    const request = use(transaction.objectStore(STORE));
    return await new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error);
    });
  } catch {
    return otherwise;
  }
}

async function all() {
  const found = await within("readonly", [], (store) => store.getAll());
  return found.sort((one, other) => other.at - one.at);
}

/** Those without a name, the newest first. */
export async function recentSearches() {
  return (await all()).filter(({ name }) => name === undefined);
}

/** Those with a name, by name. */
export async function namedSearches() {
  return (await all()).filter(({ name }) => name !== undefined).sort((one, other) => one.name.localeCompare(other.name));
}

/** Give the search at `hash` a name, or, null, take it away; false where it isn't kept. */
export async function nameSearch(hash, name) {
  const { name: _, ...record } = (await all()).find((each) => each.hash === hash) ?? {};
  if (record.hash === undefined) return false;
  return (await put(name === null ? record : { ...record, name })) !== null;
}

function put(record) {
  return within("readwrite", null, (store) => store.put(record));
}

/** The query of an address; null where it is unknown. */
export async function recentQuery(hash) {
  return (await within("readonly", undefined, (store) => store.get(hash)))?.query ?? null;
}

/** Keep a record, with the name that it had; the oldest without one make room. */
export async function keepSearch(record) {
  const { name } = (await all()).find(({ hash }) => hash === record.hash) ?? {};
  const kept = name === undefined ? record : { ...record, name };
  if ((await put(kept)) === null) {
    const before = await recentSearches();
    await forget(before.slice(before.length >> 1));
    await put(kept);
  }
  await forget((await recentSearches()).slice(KEPT));
}

async function forget(records) {
  for (const { hash } of records) await within("readwrite", null, (store) => store.delete(hash));
}

/** Forget all without a name. */
export async function forgetSearches() {
  await forget(await recentSearches());
}
