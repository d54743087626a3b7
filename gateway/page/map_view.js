// A map of pictures, to be looked at: tiles in layers, one for each zoom. A layer stays until all of the next one is there,
// so that nothing flickers; moving it is one transform of all that it holds.
//
// By the keyboard one picture is the current one: arrow keys go to the next, + and − zoom around it, Enter chooses it.

import { element } from "./elements.js";
import { mapGestures } from "./map_gestures.js";
import { moved, nextPlace, placeOf, tilesInSight, tileZoom, wholeMap, within, zoomed } from "./map_geometry.js";
import { number } from "./words.js";

/** The side of a tile in pixels, in a wide window and on a phone. */
const TILE = 384;
const SMALL_TILE = 304;
const NARROW = 600;

/**
 * The map in `box`. `tileAt(zoom, x, y)` promises a tile, `image(thumbnail)` makes an <img>; `onChoose(cell)` is called for
 * a picture that is chosen, `onView(view)` for a new view, `onCurrent(cell)` when the keyboard has come to another picture.
 */
export function mapView(box, { tileAt, image, onChoose, onView, onCurrent, onProblem }) {
  const plane = element("div", { class: "map-plane" });
  box.append(plane);
  let deepest = 0;
  let cells = 4;
  let view = null;
  let layers = []; // {zoom, element, tiles: key → element}, the last being the one to show
  let current = null; // {cell, element}
  let frame = 0;
  let shown = 0; // counts maps: what comes late belongs to an earlier one

  function room() {
    const { clientWidth: width, clientHeight: height } = box;
    return { width, height, tile: width < NARROW ? SMALL_TILE : TILE };
  }

  function look(next) {
    view = within(next, room(), deepest);
    onView(view);
    if (frame === 0) frame = requestAnimationFrame(draw);
  }

  function draw() {
    frame = 0;
    if (view === null || box.clientWidth === 0) return;
    const space = room();
    const zoom = tileZoom(view, deepest);
    const layer = layerOf(zoom, space.tile);
    for (const each of layers) {
      const { left, top, scale } = placeOf(view, each.zoom, space);
      each.element.style.transform = `translate(${left}px, ${top}px) scale(${scale})`;
    }
    const inSight = tilesInSight(view, zoom, space);
    const wanted = new Set(inSight.map(({ x, y }) => `${x}/${y}`));
    for (const [key, tile] of layer.tiles) {
      if (wanted.has(key)) continue;
      tile.remove();
      layer.tiles.delete(key);
    }
    for (const place of inSight) addTile(layer, place, space.tile);
    retire();
  }

  // The layer of this zoom on top; the others are what is seen until it is complete.
  function layerOf(zoom, tile) {
    const known = layers.findIndex((layer) => layer.zoom === zoom && layer.tile === tile);
    const [layer] = known < 0 ? [made(zoom, tile)] : layers.splice(known, 1);
    if (layers.length > 1) layers.shift().element.remove();
    layers.push(layer);
    if (plane.lastElementChild !== layer.element) plane.append(layer.element);
    return layer;
  }

  function made(zoom, tile) {
    return { zoom, tile, element: element("div", { class: "map-layer" }), tiles: new Map(), coming: 0 };
  }

  async function addTile(layer, { x, y }, side) {
    const key = `${x}/${y}`;
    if (layer.tiles.has(key)) return;
    const made = element("div", { class: "map-tile" });
    Object.assign(made.style, { left: `${x * side}px`, top: `${y * side}px`, width: `${side}px`, height: `${side}px` });
    layer.tiles.set(key, made);
    layer.element.append(made);
    layer.coming += 1;
    const mine = shown;
    try {
      const tile = await tileAt(layer.zoom, x, y);
      if (mine === shown && made.isConnected) made.append(...tile.cells.map((cell) => picture(cell, { x, y }, layer.zoom)));
    } catch (error) {
      if (mine === shown) {
        layer.tiles.delete(key);
        made.remove();
        onProblem(error);
      }
    }
    layer.coming -= 1;
    if (mine === shown) retire();
  }

  function retire() {
    const top = layers.at(-1);
    if (top.coming > 0) return;
    for (const { element: old } of layers.slice(0, -1)) old.remove();
    layers = [top];
    if (current !== null && !current.element.isConnected) setCurrent(inDom(current.cell.row) ?? null);
  }

  function picture(cell, tile, zoom) {
    const { count, path } = cell;
    const more = count - 1;
    const place = element("div", { class: "map-cell" });
    Object.assign(place.style, { left: `${(100 * cell.x) / cells}%`, top: `${(100 * cell.y) / cells}%` });
    const name = more === 0 ? path : `${path}, and ${number(more)} more here`;
    const button = { type: "button", class: "map-picture", tabindex: -1, title: path, "aria-label": name };
    const middle = (at, of) => (at + (of + 0.5) / cells) / 2 ** zoom;
    const nearer = () => look({ zoom: zoom + 1, x: middle(tile.x, cell.x), y: middle(tile.y, cell.y) });
    place.append(
      element("button", { ...button, dataset: { row: cell.row }, onclick: () => onChoose(cell) }, image(cell.thumbnail)),
      more === 0
        ? ""
        : element(
            "button",
            { type: "button", class: "map-more", tabindex: -1, "aria-label": `${number(more)} more, nearer by`, onclick: nearer },
            `+${number(more)}`,
          ),
    );
    place.cell = cell;
    return place;
  }

  // By the keyboard

  const inTop = () => [...(layers.at(-1)?.element.querySelectorAll(".map-cell") ?? [])];
  const inDom = (row) => inTop().find(({ cell }) => cell.row === row);

  function setCurrent(place) {
    current?.element.classList.remove("current");
    current = place === null ? null : { cell: place.cell, element: place };
    place?.classList.add("current");
    const button = place?.querySelector(".map-picture");
    for (const old of plane.querySelectorAll("[id=map-current]")) old.removeAttribute("id");
    if (button) {
      button.id = "map-current";
      box.setAttribute("aria-activedescendant", "map-current");
    } else box.removeAttribute("aria-activedescendant");
    onCurrent(current?.cell ?? null);
  }

  // Every picture of the layer on top, in pixels from the middle of the window.
  function seen() {
    const { left, top, width, height } = box.getBoundingClientRect();
    return inTop().map((place) => {
      const at = place.getBoundingClientRect();
      return { place, left: at.left + at.width / 2 - left - width / 2, top: at.top + at.height / 2 - top - height / 2 };
    });
  }

  function step(key) {
    const all = seen();
    const { width, height } = room();
    const from = all.find(({ place }) => place === current?.element) ?? { left: 0, top: 0 };
    const nearest = () =>
      all.reduce((best, one) => (!best || Math.hypot(one.left, one.top) < Math.hypot(best.left, best.top) ? one : best), undefined);
    const next = current === null ? nearest() : nextPlace(all, from, key);
    const [right, down] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
    if (next === undefined) {
      look(moved(view, (right * width) / 3, (down * height) / 3, room()));
      return;
    }
    setCurrent(next.place);
    const over = (at, length) => Math.sign(at) * Math.max(Math.abs(at) - length / 4, 0);
    look(moved(view, over(next.left, width), over(next.top, height), room()));
  }

  function zoomBy(by) {
    const at = seen().find(({ place }) => place === current?.element) ?? { left: 0, top: 0 };
    look(zoomed(view, view.zoom + by, at.left, at.top, room()));
  }

  box.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target !== box || view === null) return;
    if (event.key.startsWith("Arrow")) step(event.key);
    else if (event.key === "+" || event.key === "=") zoomBy(1);
    else if (event.key === "-" || event.key === "−") zoomBy(-1);
    else if (event.key === "Home" || event.key === "0") look(wholeMap(room()));
    else if (event.key === "Enter" && current !== null) onChoose(current.cell);
    else return;
    event.preventDefault();
  });
  box.addEventListener("blur", () => setCurrent(null));

  mapGestures(box, {
    onMove: (right, down) => view && look(moved(view, right, down, room())),
    onZoom: (by, { right, down }) => view && look(zoomed(view, view.zoom + by, right, down, room())),
  });

  new ResizeObserver(() => view !== null && look(view)).observe(box);

  return {
    /** Show the map of these facts at `view`; null is all of it. */
    show(facts, at) {
      shown += 1;
      ({ deepest, cells } = facts);
      layers = [];
      current = null;
      plane.replaceChildren();
      look(at ?? wholeMap(room()));
    },
    look: (at) => look(at ?? wholeMap(room())),
    clear() {
      shown += 1;
      layers = [];
      view = null;
      plane.replaceChildren();
    },
    zoomBy,
  };
}
