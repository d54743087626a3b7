// Where a region is: the picture that it was found on, with its box.

import { element } from "./elements.js";

/** The picture of the region `result` and a box on it, as one element; null for what is no region of a known size. */
export function onItsPicture(result, source) {
  const size = result.metadata?.full_size;
  if (!Array.isArray(result.box) || !Array.isArray(size) || result.row === null) return null;
  const [left, top, width, height] = result.box;
  const box = element("span", { class: "region-box" });
  box.style.left = percent(left, size[0]);
  box.style.top = percent(top, size[1]);
  box.style.width = percent(width, size[0]);
  box.style.height = percent(height, size[1]);
  const frame = element("span", { class: "region-frame" }, source.image(`${result.thumbnail}&whole=true`), box);
  frame.style.aspectRatio = `${size[0]} / ${size[1]}`;
  return frame;
}

function percent(part, whole) {
  return `${(100 * part) / whole}%`;
}
