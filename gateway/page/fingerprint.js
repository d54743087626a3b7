// A code as a little picture, where there is no other: a square of cells, filled where the bit is 1.

import { bitsOf } from "./bits.js";

const SVG = "http://www.w3.org/2000/svg";

export function fingerprint(code) {
  const bits = bitsOf(code);
  const width = Math.ceil(Math.sqrt(bits.length));
  const height = Math.ceil(bits.length / width);
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
  drawing.setAttribute("class", "fingerprint");
  drawing.setAttribute("role", "img");
  drawing.setAttribute("aria-label", "The query's code, drawn");
  bits.forEach((bit, place) => {
    const cell = document.createElementNS(SVG, "rect");
    cell.setAttribute("x", String((place % width) + 0.08));
    cell.setAttribute("y", String(Math.floor(place / width) + 0.08));
    cell.setAttribute("width", "0.84");
    cell.setAttribute("height", "0.84");
    cell.setAttribute("rx", "0.16");
    cell.setAttribute("class", `bit-${bit}`);
    drawing.append(cell);
  });
  return drawing;
}
