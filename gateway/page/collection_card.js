// One picture of a collection, as a card.

import { caption } from "./caption.js";
import { cardButton } from "./card_button.js";
import { element } from "./elements.js";
import { pathText } from "./path_text.js";

/**
 * The card of `image`, {url, thumbnail, metadata?}. `badge` is a word on its picture or null; `box` is {name, words,
 * checked, letter, onchange(checked)} of its checkbox, `words` being what stands beside it, or null for none;
 * `tools` are the buttons below, [words, function, letter]: those with a letter are pressed by it from the picture, and no
 * stop of the Tab key. `onOpen()` is called for a click on the picture.
 */
export function collectionCard(image, source, { badge = null, box = null, tools = [], onOpen }) {
  const { url, metadata } = image;
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
          "aria-label": badge === null ? url : `${badge}: ${url}`,
          onclick: onOpen,
        },
        source.image(image.thumbnail),
        badge === null ? null : element("span", { class: "distance" }, badge),
      ),
    ),
    element("div", { class: "path-box" }, pathText(url)),
    metadata === undefined ? null : (caption(metadata) ?? element("p", { class: "in-one-line" })),
    tools.length === 0 ? null : element("div", { class: "result-tools" }, ...tools.map(([words, press, letter]) => cardButton(words, url, press, letter))),
  );
  if (box !== null) addBox(card, url, box);
  return card;
}

function addBox(card, url, { name, words, checked, letter, onchange }) {
  const checkbox = element("input", {
    type: "checkbox",
    "aria-label": `${name}: ${url}`,
    checked,
    tabindex: letter ? -1 : null,
    dataset: letter ? { letter } : {},
  });
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
