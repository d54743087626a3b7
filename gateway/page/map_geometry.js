// What of the map is in sight. The map is a square of side 1; a view is {zoom, x, y}: the point in the middle of the window,
// and the zoom, a number with a fraction, at which the map is `tile` · 2^zoom pixels wide.

/** Beyond the deepest tiles, pictures only become larger. */
const BEYOND = 1;

/** The view of the whole map in a window of `width` × `height` pixels. */
export function wholeMap({ width, height, tile }) {
  return { zoom: Math.log2(Math.max(Math.min(width, height), 1) / tile), x: 0.5, y: 0.5 };
}

/** `view` brought back to where there is something to see. */
export function within(view, room, deepest) {
  const least = Math.min(wholeMap(room).zoom, deepest);
  const zoom = Math.min(Math.max(view.zoom, least), deepest + BEYOND);
  const inside = (at) => Math.min(Math.max(at, 0), 1);
  return { zoom, x: inside(view.x), y: inside(view.y) };
}

/** `view` moved by so many pixels. */
export function moved(view, right, down, { tile }) {
  const side = tile * 2 ** view.zoom;
  return { ...view, x: view.x + right / side, y: view.y + down / side };
}

/** `view` at another zoom, with the point that lies `right` and `down` of the middle kept where it is. */
export function zoomed(view, zoom, right, down, room) {
  const point = moved(view, right, down, room);
  return moved({ ...point, zoom }, -right, -down, room);
}

/** The zoom of the tiles to show: the one whose tiles are nearest to their own size. */
export function tileZoom(view, deepest) {
  return Math.min(Math.max(Math.round(view.zoom), 0), deepest);
}

/** Where the map's upper left corner is in the window, and how large tiles of `zoom` are beside their own size. */
export function placeOf(view, zoom, { width, height, tile }) {
  const side = tile * 2 ** view.zoom;
  return { left: width / 2 - view.x * side, top: height / 2 - view.y * side, scale: 2 ** (view.zoom - zoom) };
}

/** The tiles of `zoom` that are in sight, {x, y} each, those in the middle first. */
export function tilesInSight(view, zoom, { width, height, tile }) {
  const count = 2 ** zoom;
  const side = tile * 2 ** view.zoom;
  const range = (middle, length) => {
    const first = Math.max(Math.floor((middle - length / 2 / side) * count), 0);
    const last = Math.min(Math.floor((middle + length / 2 / side) * count), count - 1);
    return Array.from({ length: Math.max(last - first + 1, 0) }, (_, place) => first + place);
  };
  const far = ({ x, y }) => Math.hypot((x + 0.5) / count - view.x, (y + 0.5) / count - view.y);
  return range(view.y, height)
    .flatMap((y) => range(view.x, width).map((x) => ({ x, y })))
    .sort((one, other) => far(one) - far(other));
}

/** Of `places`, {left, top} each, the one that a step by `key`, an arrow, leads to from `from`; undefined if none lies there. */
export function nextPlace(places, from, key) {
  const [right, down] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
  let best;
  let least = Infinity;
  for (const place of places) {
    const [dx, dy] = [place.left - from.left, place.top - from.top];
    const ahead = dx * right + dy * down;
    const aside = Math.abs(dx * down) + Math.abs(dy * right);
    const cost = ahead + 2 * aside;
    if (ahead <= 1 || aside > 2 * ahead || cost >= least) continue;
    least = cost;
    best = place;
  }
  return best;
}
