// The matrix of documents: a cell for each two, one stop of the Tab key; arrow keys go from cell to cell.

import { element } from "./elements.js";
import { shared } from "./similarity_file.js";
import { count, percent } from "./words.js";

/** More documents are too many to read. */
const MOST = 100;

/**
 * Fill `table` with `comparison`; `choose(first, second)` is called when a cell is chosen, the lower number first. Returns {show(least), select(first,
 * second), cut}, `cut` being how many documents are shown, null if all are.
 */
export function documentMatrix(table, comparison, choose) {
  const busiest = byPairs(comparison);
  const places = busiest.slice(0, MOST).sort((one, other) => one - other);
  const buttons = new Map();
  let stop = null;

  function cell(row, column) {
    const button = element("button", { type: "button", tabindex: "-1", onclick: () => pick(row, column) });
    buttons.set(`${row},${column}`, button);
    return element("td", { "aria-selected": "false" }, button);
  }

  const name = (place) => element("span", { translate: "no", title: comparison.documents[place].name },
    comparison.documents[place].name);
  table.replaceChildren(
    element("thead", {}, element("tr", {}, element("td"), ...places.map((place) => element("th", { scope: "col" }, name(place))))),
    element("tbody", {}, ...places.map((row) =>
      element("tr", {}, element("th", { scope: "row" }, name(row)), ...places.map((column) => cell(row, column))))),
  );
  stopAt(buttons.values().next().value);

  table.onkeydown = (event) => {
    const here = [...buttons].find(([, button]) => button === event.target);
    if (here === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    const [row, column] = here[0].split(",").map((each) => places.indexOf(Number(each)));
    const last = places.length - 1;
    const next = {
      ArrowLeft: [row, column - 1],
      ArrowRight: [row, column + 1],
      ArrowUp: [row - 1, column],
      ArrowDown: [row + 1, column],
      Home: [row, 0],
      End: [row, last],
    }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    const target = buttons.get(next.map((each) => places[Math.max(0, Math.min(last, each))]).join());
    stopAt(target);
    target.focus();
  };

  function stopAt(button) {
    stop?.setAttribute("tabindex", "-1");
    stop = button ?? null;
    stop?.setAttribute("tabindex", "0");
  }

  function select(first, second) {
    for (const [place, button] of buttons) {
      const is = place === `${first},${second}`;
      button.closest("td").setAttribute("aria-selected", String(is));
      if (is) stopAt(button);
    }
  }

  function pick(first, second) {
    select(first, second);
    choose(Math.min(first, second), Math.max(first, second));
  }

  function show(least) {
    for (const first of places) {
      for (const second of places) {
        if (second < first) continue;
        const { pairs, share } = shared(comparison, first, second, least);
        const names = first === second
          ? `${comparison.documents[first].name}`
          : `${comparison.documents[first].name}, ${comparison.documents[second].name}`;
        for (const place of new Set([`${first},${second}`, `${second},${first}`])) {
          const button = buttons.get(place);
          button.textContent = pairs;
          button.style.setProperty("--share", share.toFixed(3));
          button.setAttribute("aria-label", `${names}: ${count(pairs, "pair")}, ${percent(share)} of the figures`);
        }
      }
    }
  }

  return { show, select, cut: places.length < comparison.documents.length ? places.length : null };
}

// The documents with most pairs first.
function byPairs(comparison) {
  const all = comparison.documents.map((_, place) => place);
  if (all.length <= MOST) return all;
  const sums = all.map((first) => all.reduce((sum, second) => sum + comparison.cell(first, second).length, 0));
  return all.sort((one, other) => sums[other] - sums[one]);
}
