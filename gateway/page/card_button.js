// A button below a picture, which says what it does and to which picture.

import { element } from "./elements.js";

/** `letter` presses it from the picture, and then it is no stop of the Tab key; null for none. */
export function cardButton(words, name, press, letter = null) {
  return element(
    "button",
    {
      type: "button",
      class: "plain",
      "aria-label": `${words}: ${name}`,
      tabindex: letter === null ? null : -1,
      dataset: letter === null ? {} : { letter },
      onclick: press,
    },
    words,
  );
}
