// A long grid of which only the rows near the window are in the page: browsers take a while for each frame of a thousand
// cards, seen or not. Empty items before and after are as high as the rows that are left out.
//
// An item is {make(), wide, hidden}: `make()` gives its element, when it first comes near; `wide` has a row for itself.

import { element } from "./elements.js";

/** Shorter grids are in the page whole. */
const SHORT = 120;
const GUESSED_HEIGHT = 280;
const LEAST_MARGIN = 600;

/** The grid in `list`, whose columns the style sheet gives. */
export function windowedGrid(list) {
  const before = element("li", { class: "left-out", "aria-hidden": "true" });
  const after = element("li", { class: "left-out", "aria-hidden": "true" });
  const made = new Map(); // item → element
  let items = [];
  let rows = []; // of items that aren't hidden
  let heights = []; // of rows, as far as they have been in the page
  let columns = 0;
  let shown = [0, 0]; // the first row in the page, and the one after the last
  let lost = null; // the element whose row was taken out while it had the focus
  let frame = 0;

  const columnsNow = () => getComputedStyle(list).gridTemplateColumns.split(" ").length;
  const elementOf = (item) => {
    if (!made.has(item)) made.set(item, item.make());
    return made.get(item);
  };

  function arrange() {
    columns = columnsNow();
    rows = [];
    let room = 0;
    for (const item of items) {
      if (item.hidden) continue;
      if (item.wide || room === 0) rows.push([]);
      rows.at(-1).push(item);
      room = item.wide ? 0 : (room || columns) - 1;
    }
    heights = [];
    shown = [0, 0];
  }

  // Where each row begins, and where the last one ends.
  function tops(gap) {
    const known = heights.filter((height) => height !== undefined);
    const guessed = known.length === 0 ? GUESSED_HEIGHT : known.reduce((sum, height) => sum + height) / known.length;
    const found = [0];
    rows.forEach((_, row) => found.push(found[row] + (heights[row] ?? guessed) + gap));
    return found;
  }

  function geometry() {
    const gap = parseFloat(getComputedStyle(list).rowGap) || 0;
    return { gap, starts: tops(gap), top: list.getBoundingClientRect().top };
  }

  function draw() {
    frame = 0;
    if (list.offsetParent === null) return; // in a tab that isn't shown; it is drawn when that has changed
    const { gap, starts, top } = geometry();
    const margin = Math.max(innerHeight, LEAST_MARGIN);
    const short = rows.reduce((sum, row) => sum + row.length, 0) <= SHORT;
    const near = (row) => short || (starts[row + 1] > -top - margin && starts[row] < innerHeight - top + margin);
    let first = rows.findIndex((_, row) => near(row));
    if (first < 0) first = top > 0 ? 0 : Math.max(rows.length - 1, 0);
    let end = first;
    while (end < rows.length && (end === first || near(end))) end += 1;
    if (first === shown[0] && end === shown[1]) return;
    put(first, end);
    if (!short) leaveRoom(gap);
  }

  function put(first, end) {
    shown = [first, end];
    const wanted = rows.slice(first, end).flat().map(elementOf);
    const all = [...(first > 0 ? [before] : []), ...wanted, ...(end < rows.length ? [after] : [])];
    const staying = new Set(all);
    const focused = document.activeElement;
    for (const child of [...list.children]) {
      if (staying.has(child)) continue;
      if (child.contains(focused)) lost = focused;
      child.remove();
    }
    let at = list.firstElementChild;
    for (const each of all) {
      if (each === at) at = at.nextElementSibling;
      else list.insertBefore(each, at);
    }
    for (let row = first; row < end; row += 1) heights[row] = elementOf(rows[row][0]).offsetHeight;
    if (lost?.isConnected && document.activeElement === document.body) {
      lost.focus({ preventScroll: true });
      lost = null;
    }
  }

  // By the heights as they are known now.
  function leaveRoom(gap) {
    const starts = tops(gap);
    before.style.height = `${Math.max(starts[shown[0]] - gap, 0)}px`;
    after.style.height = `${Math.max(starts.at(-1) - starts[shown[1]] - gap, 0)}px`;
  }

  function soon() {
    if (frame === 0 && items.length > 0) frame = requestAnimationFrame(draw);
  }

  function rearranged() {
    arrange();
    draw();
  }

  addEventListener("scroll", soon, { passive: true });
  new ResizeObserver(() => {
    if (items.length === 0 || list.offsetParent === null) return;
    if (columnsNow() === columns && shown[1] > 0) soon();
    else rearranged();
  }).observe(list);

  return {
    /** Show these items in place of those before. */
    fill(given) {
      items = given;
      made.clear();
      lost = null;
      list.replaceChildren();
      rearranged();
    },
    /** Show again, after items have become hidden or have come back. */
    rearranged,
    /** The element of an item, brought into the page. */
    reveal(item) {
      const row = rows.findIndex((each) => each.includes(item));
      if (!elementOf(item).isConnected && row >= 0) {
        const { starts, top } = geometry();
        scrollTo({ top: scrollY + top + starts[row] - innerHeight / 3, behavior: "instant" });
        draw();
      }
      return elementOf(item);
    },
  };
}
