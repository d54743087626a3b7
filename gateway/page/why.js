// Why a picture was found: its code below the query's, bit by bit.

import { bitsOf, differing } from "./bits.js";
import { closeOnBackdrop, shown } from "./dialogs.js";
import { byId, element } from "./elements.js";
import { fingerprint } from "./fingerprint.js";
import { onItsPicture } from "./region_box.js";
import { cosineText, count } from "./words.js";

const dialog = byId("why");
closeOnBackdrop(dialog);

/**
 * Show the dialog until it is closed. `asked` is {label, image (an <img>, or null), code,
 * turned (whether other positions were looked for, too)} of the query; `source` gives the pictures of the `result`.
 */
export async function explain(asked, result, source) {
  byId("why-pictures").replaceChildren(
    pictured(asked.image ?? fingerprint(asked.code), "Query", asked.label),
    pictured(source.image(result.thumbnail), "Result", result.path),
    ...[onItsPicture(result, source)].filter(Boolean).map((where) => pictured(where, "Found on", result.parent)),
  );
  const places = differing(asked.code, result.code);
  const bits = bitsOf(asked.code);
  byId("why-count").replaceChildren(
    element("strong", {}, `${places.length} of ${bits.length} bits differ`),
    meaning(places, asked.turned, result.cosine),
  );
  byId("why-legend").textContent = "Upper row: the query. Lower row: the result. ≠ marks the bits that differ.";
  const grid = byId("why-bits");
  grid.setAttribute("aria-label", spoken(bits.length, places));
  grid.replaceChildren(...rows(bits, bitsOf(result.code), new Set(places)));
  await shown(dialog);
}

function meaning(places, turned, cosine) {
  if (cosine !== null) return `; the codes are a sketch of the embeddings, whose ${cosineText(cosine)} counts.`;
  if (places.length === 0) return ": to the model the two show the same.";
  return turned ? " from the query as it is; turned it may be nearer." : ": that is the distance by what they show.";
}

function pictured(picture, role, label) {
  return element(
    "figure",
    {},
    element("div", { class: "why-picture" }, picture),
    element("figcaption", {}, element("strong", {}, role), " ", element("span", { class: "breaking", translate: "no" }, label)),
  );
}

function spoken(width, places) {
  if (places.length === 0) return `All of ${width} bits are equal.`;
  return `${count(places.length, "bit")} of ${width} differ: number ${places.join(", ")}, counted from 0.`;
}

// Eight bits a group, so that the lines break between bytes however narrow the window is.
function rows(one, other, unequal) {
  const groups = [];
  for (let start = 0; start < one.length; start += 8) {
    const columns = [];
    for (let place = start; place < start + 8; place += 1) {
      columns.push(column(one[place], other[place], unequal.has(place)));
    }
    groups.push(element("div", { class: "byte" }, element("span", { class: "byte-start" }, String(start)), ...columns));
  }
  return groups;
}

function column(one, other, unequal) {
  return element(
    "div",
    { class: unequal ? "bit-pair differs" : "bit-pair" },
    cell(one),
    cell(other),
    element("span", { class: "bit-mark" }, unequal ? "≠" : ""),
  );
}

function cell(bit) {
  return element("span", { class: `bit bit-${bit}` }, String(bit));
}
