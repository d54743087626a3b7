// The bar that says how many pictures are picked, and what can be done with them.

import { byId } from "./elements.js";

const bar = byId("pick-bar");
const buttons = { all: byId("pick-all"), none: byId("pick-none"), remove: byId("pick-remove") };
const press = {};

/**
 * `text` says what is picked, "" hides the bar. `all`, `none` and `remove` are {words, press}; all is null where
 * there is nothing more to pick.
 */
export function showPicked(text, actions = {}) {
  const focused = bar.contains(document.activeElement);
  byId("pick-count").textContent = text;
  bar.hidden = text === "";
  for (const [name, button] of Object.entries(buttons)) {
    const action = actions[name] ?? null;
    button.hidden = action === null;
    button.textContent = action?.words ?? "";
    press[name] = action?.press;
  }
  // The pressed button may be gone.
  if (focused && !document.activeElement.checkVisibility()) {
    (bar.hidden ? byId("collection-name") : buttons.none).focus({ preventScroll: true });
  }
}

for (const [name, button] of Object.entries(buttons)) button.addEventListener("click", () => press[name]());
