// The results, as cards, with a line where they get less alike.

import { caption } from "./caption.js";
import { cardButton } from "./card_button.js";
import { badgeOf, firstLessAlike } from "./closeness.js";
import { element } from "./elements.js";
import { gridKeys } from "./grid_keys.js";
import { pathText } from "./path_text.js";
import { windowedGrid } from "./windowed_grid.js";

/**
 * The gallery in `list`. `onOpen(place)` is called for a click on a picture, `onSelect()` when pictures were selected;
 * `onMore(result)` and `onWhy(result)` are the buttons.
 */
export function galleryIn(list, { onOpen, onMore, onWhy, onSelect }) {
  const grid = windowedGrid(list);
  let cards = []; // {result, item, selected}
  let line = null; // the item of the line

  const shown = () => cards.filter(({ item }) => !item.hidden);
  const thumbnail = ({ item }) => grid.reveal(item).querySelector(".thumbnail");
  gridKeys(list, { ends: () => [shown()[0], shown().at(-1)].map((card) => () => thumbnail(card)) });

  function cardOf(result, place, of, badge, source) {
    const made = { result, selected: false, item: null };
    const make = () =>
      card({ result, badge, place, of }, source, {
        onOpen: () => onOpen(place),
        onMore,
        onWhy,
        onSelect(on) {
          made.selected = on;
          onSelect();
        },
      });
    made.item = { make, wide: false, hidden: false };
    return made;
  }

  return {
    /** Show `results`, which are in the order of `rank`. `source` gives their pictures. */
    show(results, rank, source) {
      cards = results.map((result, place) => cardOf(result, place, results.length, badgeOf(result, rank), source));
      const items = cards.map(({ item }) => item);
      const less = firstLessAlike(results);
      const make = () => element("li", { class: "less-alike" }, "Less alike from here");
      line = less === null ? null : { make, wide: true, hidden: false, before: items[less] };
      if (line !== null) items.splice(less, 0, line);
      grid.fill(items);
    },
    /** Hide the cards farther than `threshold`, in bits or 1 − cosine; how many those are. */
    hideFarther(threshold) {
      let changed = false;
      for (const { result, item } of cards) {
        const hidden = result.distance > threshold;
        changed ||= item.hidden !== hidden;
        item.hidden = hidden;
      }
      if (line !== null) line.hidden = line.before.hidden;
      if (changed) grid.rearranged();
      return cards.length - shown().length;
    },
    /** The results that are not hidden, and of them those that are selected. */
    shown: () => shown().map(({ result }) => result),
    selected: () => shown().filter(({ selected }) => selected).map(({ result }) => result),
    selectNone() {
      for (const each of shown()) if (each.selected) grid.reveal(each.item).querySelector(".pick input").click();
    },
    focus: (place) => thumbnail(cards[place]).focus(),
  };
}

function card({ result, badge, place, of }, source, { onOpen, onMore, onWhy, onSelect }) {
  const { path, distance, metadata } = result;
  return element(
    "li",
    { class: "result", dataset: { distance, path }, "aria-posinset": place + 1, "aria-setsize": of },
    element(
      "div",
      { class: "thumbnail-box" },
      element(
        "button",
        {
          type: "button",
          class: "thumbnail",
          "aria-label": `${badge.word}: ${path}`,
          "aria-keyshortcuts": "M W X",
          onclick: onOpen,
        },
        source.image(result.thumbnail),
        element("span", { class: "distance", title: badge.title }, badge.word),
      ),
      element(
        "label",
        { class: "pick" },
        element("input", {
          type: "checkbox",
          tabindex: -1,
          "aria-label": `Select: ${path}`,
          dataset: { letter: "x" },
          onchange({ target }) {
            target.closest(".result").classList.toggle("picked", target.checked);
            onSelect(target.checked);
          },
        }),
      ),
    ),
    element("div", { class: "path-box" }, pathText(path)),
    caption(metadata),
    element(
      "div",
      { class: "result-tools" },
      cardButton("More like this", path, () => onMore(result), "m"),
      cardButton("Why", path, () => onWhy(result), "w"),
    ),
  );
}
