// The map of the index: all pictures in a plane, alike ones beside each other. A click on one searches with it.
//
//   #map                      all of it
//   #map=4.2,0.31,0.5         zoom, and the point in the middle, of 0 to 1

import { Refusal, askJson } from "./api.js";
import { byId, say } from "./elements.js";
import { here } from "./here.js";
import { withSearchKey } from "./key_prompt.js";
import { searchKey } from "./keys.js";
import { mapView } from "./map_view.js";
import { pictures } from "./thumbnails.js";
import { count, number, problem } from "./words.js";

export const MAP = "#map";

/** So many tiles are kept, and so long a view lasts before the address says it. */
const KEPT = 400;
const RESTING_MS = 300;

/** Whether a hash names the map. */
export function isMap(hash) {
  return hash === MAP || hash.startsWith(`${MAP}=`);
}

/** The view that a hash names, {zoom, x, y}; null for the whole map. */
export function viewOf(hash) {
  const [zoom, x, y, ...more] = hash.slice(MAP.length + 1).split(",").map(Number);
  return more.length === 0 && [zoom, x, y].every(Number.isFinite) ? { zoom, x, y } : null;
}

/** The address of a view. */
export function hashOfView({ zoom, x, y }) {
  return `${MAP}=${zoom.toFixed(2)},${x.toFixed(5)},${y.toFixed(5)}`;
}

/** `onPath({path, image, thumbnail})` is called for a picture that somebody has chosen. */
export function mapPage({ onPath }) {
  const panel = byId("map-panel");
  const tiles = new Map(); // "zoom/x/y" → promise of a tile
  let facts = null;
  let source = null;
  let running = null;
  let resting = 0;
  let address = MAP;

  const view = mapView(byId("map"), {
    tileAt,
    image: (address) => source.image(here(address)),
    onChoose: ({ path, image, thumbnail }) => onPath({ path, image: here(image), thumbnail: here(thumbnail) }),
    onView(shown) {
      address = hashOfView(shown);
      clearTimeout(resting);
      resting = setTimeout(() => {
        if (!panel.hidden && isMap(location.hash)) history.replaceState(null, "", address);
      }, RESTING_MS);
    },
    onCurrent(cell) {
      byId("map-status").textContent = cell === null ? "" : cell.path;
    },
    onProblem(error) {
      if (error instanceof Refusal && error.status === 404) load(null); // another version is served by now
      else say(byId("map-problem"), problem(error));
    },
  });

  function tileAt(zoom, x, y) {
    const place = `${zoom}/${x}/${y}`;
    const known = tiles.get(place);
    const asked = known ?? askJson(`api/map/${place}?version=${encodeURIComponent(facts.version)}`, { key: searchKey.get(), cache: "default" });
    tiles.delete(place); // so that what was looked at last is kept longest
    tiles.set(place, asked);
    if (known === undefined) asked.catch(() => tiles.delete(place));
    if (tiles.size > KEPT) tiles.delete(tiles.keys().next().value);
    return asked;
  }

  // Maps are drawn when somebody asks for them first, which takes a while.
  async function load(at) {
    running?.abort();
    const mine = new AbortController();
    running = mine;
    say(byId("map-problem"), "");
    try {
      const found = await whenDrawn(mine.signal);
      if (running !== mine) return;
      showFacts(found, at);
    } catch (error) {
      if (running !== mine) return;
      facts = null;
      view.clear();
      byId("map-part").hidden = true;
      say(byId("map-facts"), "");
      say(byId("map-problem"), problem(error));
    } finally {
      if (running === mine) {
        running = null;
        byId("map-drawing").hidden = true;
      }
    }
  }

  async function whenDrawn(signal) {
    for (;;) {
      byId("map-drawing").hidden = facts !== null;
      try {
        return await withSearchKey((key) => askJson("api/map", { key, signal }));
      } catch (error) {
        if (!(error instanceof Refusal) || error.status !== 503 || error.retryAfter === null) throw error;
        byId("map-drawing").hidden = false;
        await new Promise((resolve) => setTimeout(resolve, 1000 * error.retryAfter));
        if (signal.aborted) throw error;
      }
    }
  }

  function showFacts(found, at) {
    const same = facts !== null && facts.version === found.version && facts.count === found.count;
    facts = found;
    byId("map-drawing").hidden = true;
    say(byId("map-facts"), `${count(found.count, "picture")}, alike ones beside each other · version ${found.version}`);
    byId("map-part").hidden = found.count === 0;
    byId("map-empty").hidden = found.count > 0;
    if (found.count === 0) return;
    if (same) {
      view.look(at ?? viewOf(address));
      return;
    }
    tiles.clear();
    source?.discard();
    source = pictures(searchKey.get());
    view.show(found, at);
  }

  byId("map-in").addEventListener("click", () => view.zoomBy(1));
  byId("map-out").addEventListener("click", () => view.zoomBy(-1));
  byId("map-whole").addEventListener("click", () => view.look(null));

  return {
    /** Where on the map one is. */
    hash: () => address,
    open(hash) {
      load(viewOf(hash));
    },
    /** The page shows something else: nothing is asked for any longer. */
    leave() {
      running?.abort();
      running = null;
      byId("map-drawing").hidden = true;
    },
  };
}
