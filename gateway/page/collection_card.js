// One picture of a collection, as a card.

import { caption } from "./caption.js";
import { element } from "./elements.js";
import { pathText } from "./gallery.js";
import { showDetails } from "./picture_details.js";

/**
 * The card of `image`, {url, thumbnail, metadata?}. `badge` is a word on its picture or null; `box` is {name, words,
 * checked, onchange(checked)} of its checkbox, `words` being what stands beside it, if anything, or null for none;
 * `tools` are the buttons below, [words, function].
 */
export function collectionCard(image, source, { badge = null, box = null, tools = [] }) {
  const { url, metadata } = image;
  const button = ([words, press]) =>
    element("button", { type: "button", class: "plain", "aria-label": `${words}: ${url}`, onclick: press }, words);
  const card = element(
    "li",
    { class: "result", dataset: { url } },
    element(
      "div",
      { class: "thumbnail-box" },
      element(
        "button",
        {
          type: "button",
          class: "thumbnail",
          "aria-label": `Details: ${url}`,
          onclick: () => showDetails(image, source),
        },
        source.image(image.thumbnail),
        badge === null ? null : element("span", { class: "distance" }, badge),
      ),
    ),
    element("div", { class: "path-box" }, pathText(url)),
    metadata === undefined ? null : (caption(metadata) ?? element("p", { class: "in-one-line" })),
    tools.length === 0 ? null : element("div", { class: "result-tools" }, ...tools.map(button)),
  );
  if (box !== null) addBox(card, url, box);
  return card;
}

function addBox(card, url, { name, words, checked, onchange }) {
  const checkbox = element("input", { type: "checkbox", "aria-label": `${name}: ${url}`, checked });
  const label = element("label", { class: words === undefined ? "pick" : "pick pick-words" }, checkbox, words ?? "");
  card.querySelector(".thumbnail-box").append(label);
  const picked = () => card.classList.toggle("picked", checkbox.checked);
  checkbox.addEventListener("change", () => {
    picked();
    onchange(checkbox.checked);
  });
  picked();
}

/** Tick or untick the box of a card, if it has one, as if somebody had done it. */
export function pick(card, checked) {
  const checkbox = card.querySelector("input[type=checkbox]");
  if (checkbox !== null && checkbox.checked !== checked) checkbox.click();
}
