// The results, as cards, with a line where they get less alike.

import { caption } from "./caption.js";
import { badgeOf, firstLessAlike } from "./closeness.js";
import { element } from "./elements.js";

const TAIL = 14;

/**
 * Fill `list` with `results`, which are in the order of `rank`. `source` gives their pictures; `onOpen(place)` is called
 * for a click on a picture, `onMore(result)` and `onWhy(result)` are the buttons.
 */
export function showGallery(list, results, rank, source, { onOpen, onMore, onWhy }) {
  const cards = results.map((result, place) =>
    card(result, badgeOf(result, rank), source, { onOpen: () => onOpen(place), onMore, onWhy }),
  );
  const less = firstLessAlike(results);
  if (less !== null) cards.splice(less, 0, element("li", { class: "less-alike" }, "Less alike from here"));
  list.replaceChildren(...cards);
}

/** Hide the cards farther than `threshold`, in bits or 1 − cosine; how many those are. */
export function hideFarther(list, threshold) {
  let hidden = 0;
  for (const item of list.querySelectorAll(".result")) {
    item.hidden = Number(item.dataset.distance) > threshold;
    hidden += Number(item.hidden);
  }
  const line = list.querySelector(".less-alike");
  if (line !== null) line.hidden = line.nextElementSibling.hidden;
  return hidden;
}

function card(result, badge, source, { onOpen, onMore, onWhy }) {
  const { path, distance, metadata } = result;
  const button = (words, letter, press) =>
    element(
      "button",
      {
        type: "button",
        class: "plain",
        tabindex: -1,
        "aria-label": `${words}: ${path}`,
        dataset: { letter },
        onclick: press,
      },
      words,
    );
  return element(
    "li",
    { class: "result", dataset: { distance, path } },
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
          onchange: ({ target }) => target.closest(".result").classList.toggle("picked", target.checked),
        }),
      ),
    ),
    element("div", { class: "path-box" }, pathText(path)),
    caption(metadata),
    element(
      "div",
      { class: "result-tools" },
      button("More like this", "m", () => onMore(result)),
      button("Why", "w", () => onWhy(result)),
    ),
  );
}

/** A path whose middle gives way where there is no room; its end, the file's name, stays in sight. */
export function pathText(path) {
  const letters = [...path]; // not half an emoji
  return element(
    "span",
    { class: "path", translate: "no", dir: "auto" },
    element("span", { class: "path-head" }, letters.slice(0, -TAIL).join("")),
    element("span", { class: "path-tail" }, letters.slice(-TAIL).join("")),
  );
}
