// Requests about the collections. Reading asks for a key where the server wants one, changing always takes an admin
// key.

import { ask, askJson, jsonOf } from "./api.js";
import { here } from "./here.js";
import { withAdminKey, withSearchKey } from "./key_prompt.js";
import { objectsOf } from "./lines.js";
import { isAddress } from "./picture_names.js";

const ALL = "api/collections";
/** The datalake's collection, whose pictures are called by their paths. */
const DATALAKE = "default";

const read = (address, options) => withSearchKey((key) => askJson(address, { ...options, key }));
const change = (address, options) => withAdminKey((key) => askJson(address, { ...options, key }));
const post = (json) => ({ method: "POST", json });

/** {name, count, model, …} of every collection. */
export async function allCollections() {
  return (await read(ALL)).collections;
}

/** Create an empty one with the served model. */
export function createCollection(name) {
  return change(ALL, post({ name }));
}

/** The requests about the collection of this name. */
export function requestsOf(name) {
  const own = `${ALL}/${encodeURIComponent(name)}`;
  const model = `models/${encodeURIComponent(name)}`;

  return {
    /** Whether the server can have a picture again by its name: from its address, or from the datalake. */
    canFetch: (url) => isAddress(url) || (name === DATALAKE && !url.startsWith("upload:")),

    thumbnail: (url) => here(`${own}/thumbnail?${new URLSearchParams({ url })}`),

    /** {images, cursor, count}: a page of the pictures that match; `cursor` is null for the first. */
    images({ cursor, filter, limit }, signal) {
      const fields = new URLSearchParams({ limit });
      if (cursor !== null) fields.set("cursor", cursor);
      if (filter !== "") fields.set("filter", filter);
      return read(`${own}/images?${fields}`, { signal });
    },

    /**
     * {found, nothing}: [{url, metadata, similarity, closeness?}] of the nearest that match, and whether none but the
     * picture itself is like it; null where that wasn't measured.
     */
    async similar({ url, filter, limit }, signal) {
      const json = { url, limit };
      if (filter !== "") json.filter = JSON.parse(filter);
      return withSearchKey(async (key) => {
        const response = await ask(`${model}/search`, { ...post(json), cache: "no-store", signal, key });
        const nothing = JSON.parse(response.headers.get("X-Hashlake-Nothing-Like-It"));
        return { found: await jsonOf(response, signal), nothing };
      });
    },

    /** The groups of near-duplicates as they are found: {images: [{url, metadata, distance, same_file}]}. */
    async *duplicates(distance, signal) {
      const fields = new URLSearchParams({ max_distance: distance, view: "groups" });
      const options = { cache: "no-store", signal };
      const { body } = await withSearchKey((key) => ask(`${own}/duplicates?${fields}`, { ...options, key }));
      yield* objectsOf(body, signal);
    },

    /** Add what is at an address; `metadata` is undefined for none. */
    add: (url, metadata) => change(`${model}/add`, post({ url, metadata })),

    /** Add a File or Blob that isn't there yet, called upload: and `name`. */
    addFile(file, name, metadata) {
      const body = new FormData();
      body.append("image", file, file.name || "picture");
      body.append("url", `upload:${name}`);
      if (metadata !== undefined) body.append("metadata", JSON.stringify(metadata));
      return change(`${model}/search_add`, { method: "POST", body });
    },

    remove: (url) => change(`${model}/remove`, post({ url })),
    fold: () => change(`${own}/fold`, { method: "POST" }),
    delete: () => change(own, { method: "DELETE" }),
  };
}
