// A path in one line.

import { element } from "./elements.js";

const TAIL = 14;

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
