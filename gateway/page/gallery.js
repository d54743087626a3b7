// The results, as cards.

import { caption } from "./caption.js";
import { element } from "./elements.js";
import { cosineText, count, percent } from "./words.js";

const TAIL = 14;

/** Fill `list` with `results`. `source` gives their pictures; `onMore(result)` and `onWhy(result)` are the buttons. */
export function showGallery(list, results, source, { onMore, onWhy }) {
  list.replaceChildren(...results.map((result) => card(result, source, { onMore, onWhy })));
}

/** Hide the cards farther than `threshold`, in bits or 1 − cosine; how many those are. */
export function hideFarther(list, threshold) {
  let hidden = 0;
  for (const item of list.children) {
    item.hidden = Number(item.dataset.distance) > threshold;
    hidden += Number(item.hidden);
  }
  return hidden;
}

function card(result, source, { onMore, onWhy }) {
  const { path, distance, closeness, cosine, metadata } = result;
  const apart = cosine === null ? count(distance, "bit") : cosineText(cosine);
  const button = (words, name, press) =>
    element("button", { type: "button", class: "plain", "aria-label": `${name}: ${path}`, onclick: press }, words);
  return element(
    "li",
    { class: "result", dataset: { distance, path } },
    source.link(
      result.image,
      { class: "thumbnail", "aria-label": `Original: ${path}` },
      source.image(result.thumbnail),
      element(
        "span",
        { class: "distance", title: cosine === null ? `${apart} differ` : apart },
        closeness === null ? apart : percent(closeness),
      ),
    ),
    element("div", { class: "path-box" }, pathText(path)),
    caption(metadata),
    element(
      "div",
      { class: "result-tools" },
      button("More like this", "More like this", () => onMore(result)),
      button("Why", "Why", () => onWhy(result)),
    ),
  );
}

/** A path whose middle gives way where there is no room; its end, the file's name, stays in sight. */
export function pathText(path) {
  const letters = [...path]; // not half an emoji
  return element(
    "span",
    { class: "path", tabindex: 0 },
    element("span", { class: "path-head" }, letters.slice(0, -TAIL).join("")),
    element("span", { class: "path-tail" }, letters.slice(-TAIL).join("")),
  );
}
