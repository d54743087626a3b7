// The pairs of figures of two documents, side by side: what is shown of each, where it comes from, and how alike they are.

import { element } from "./elements.js";
import { isAddress } from "./picture_names.js";
import { boxOf } from "./similarity_file.js";
import { count, number } from "./words.js";

/** A line of the list; `picture(image)` promises the address of its small picture, null where there is none. */
export function pairLine(comparison, pair, picture) {
  const points = pair.points === null ? null : element("span", { class: "soft" }, count(pair.points, "shared point"));
  return element("li", { class: "pair" },
    figure(comparison.images[pair.one], picture),
    element("p", { class: "score" }, element("strong", { translate: "no" }, pair.score.toFixed(3)), points),
    figure(comparison.images[pair.other], picture));
}

function figure(image, picture) {
  const frame = element("div", { class: "portrait" });
  show(frame, image, picture);
  const name = isAddress(image.src) && URL.canParse(image.src)
    ? element("a", { href: image.src, rel: "noreferrer", target: "_blank" }, image.id)
    : image.id;
  const box = boxOf(image);
  return element("figure", { class: "figure" }, frame,
    element("figcaption", {},
      element("span", { translate: "no" }, name),
      element("span", { class: "soft", translate: "no" }, image.src === image.id ? "" : image.src),
      box === null ? null : element("span", {},
        `Box: ${number(box.width)} × ${number(box.height)} pixels at ${number(box.x)}, ${number(box.y)}`)));
}

async function show(frame, image, picture) {
  try {
    const address = await picture(image);
    if (address === null) {
      frame.append(element("span", { class: "soft" }, "No picture"));
      return;
    }
    const shown = element("img", { src: address, alt: image.id });
    await shown.decode();
    frame.append(shown);
  } catch {
    frame.append(element("span", { class: "soft" }, "No picture"));
  }
}
