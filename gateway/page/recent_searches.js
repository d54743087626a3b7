// The last searches, with their pictures, kept by this browser alone: they come back after a reload, and stand on the
// empty page.
//
// A record is {hash, label, at, query, small}: the address, words for it, when, the query as query.js has it, and a small
// picture, a Blob, null where the query has none.

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

/** All of them, the newest first. */
export async function recentSearches() {
  const found = await within("readonly", [], (store) => store.getAll());
  return found.sort((one, other) => other.at - one.at);
}

/** The query of an address; null where it is unknown. */
export async function recentQuery(hash) {
  return (await within("readonly", undefined, (store) => store.get(hash)))?.query ?? null;
}

/** Keep a record; the oldest make room. */
export async function keepSearch(record) {
  const put = () => within("readwrite", null, (store) => store.put(record));
  if ((await put()) === null) {
    const before = await recentSearches();
    await forget(before.slice(before.length >> 1));
    await put();
  }
  await forget((await recentSearches()).slice(KEPT));
}

async function forget(records) {
  for (const { hash } of records) await within("readwrite", null, (store) => store.delete(hash));
}

/** Forget all. */
export function forgetSearches() {
  return within("readwrite", null, (store) => store.clear());
}
