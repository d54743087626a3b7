// Where is searched: in the datalake or in one of the collections, and there in those whose metadata match.

import { askJson } from "./api.js";
import { byId, element } from "./elements.js";
import { filterChips } from "./filter_chips.js";
import { searchKey } from "./keys.js";
import { DATALAKE } from "./query.js";

/** So many pictures say which metadata there are. */
const LOOKED_AT = 200;

/** `onPlace()` is called when somebody has chosen another place or filter. */
export function searchPlace({ onPlace }) {
  const select = byId("search-in");
  const chips = filterChips(byId("search-filter"), { onFilter: onPlace });
  let known = false; // whether the server has said which collections there are
  let offered = null; // the collection whose metadata are offered

  async function load() {
    if (known) return;
    try {
      const { collections } = await askJson("api/collections", { key: searchKey.get() });
      for (const { name } of collections) {
        if (!has(name)) select.append(element("option", { value: name }, name));
      }
      known = true;
      byId("search-in-part").hidden = select.options.length < 2;
    } catch {
      // Without a key, or without collections, the datalake remains.
    }
  }

  const has = (name) => [...select.options].some(({ value }) => value === name);

  async function offer() {
    const name = select.value;
    byId("search-filter").hidden = name === DATALAKE;
    if (name === DATALAKE || name === offered) return;
    offered = name;
    chips.offer([]);
    try {
      const address = `api/collections/${encodeURIComponent(name)}/images?limit=${LOOKED_AT}`;
      const { images } = await askJson(address, { key: searchKey.get() });
      if (offered === name) chips.offer(images);
    } catch {
      if (offered === name) offered = null;
    }
  }

  select.addEventListener("change", () => {
    chips.set("");
    offer();
    onPlace();
  });
  load();

  return {
    load,
    /** {collection, filter}: its name, and JSON text, "" for all. */
    get: () => ({ collection: select.value, filter: select.value === DATALAKE ? "" : chips.get() }),
    set({ collection, filter }) {
      if (!has(collection)) {
        select.append(element("option", { value: collection }, collection));
        byId("search-in-part").hidden = false;
      }
      select.value = collection;
      chips.set(filter);
      offer();
    },
  };
}
