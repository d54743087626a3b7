// What is known of a picture, in one line below it: where it comes from, if its source says that, else all its metadata.

import { element } from "./elements.js";
import { inOneLine, isAddress } from "./picture_names.js";

/** Letters: no line is wider, and what is known may be a whole page of text. */
const LONGEST = 300;

/** A line about the picture with `metadata`, a link into its viewer where there is one; null if nothing is known. */
export function caption(metadata) {
  const words = (origin(metadata ?? {}) || inOneLine(metadata)).slice(0, LONGEST);
  if (words === "") return null;
  const link = viewerLink(metadata, words);
  return element("p", { class: "in-one-line", title: words, translate: "no" }, link ?? words);
}

/** A link with `words` to where people look at the picture, in a library's viewer; null where there is none. */
export function viewerLink(metadata, words) {
  const viewer = metadata?.viewer;
  if (typeof viewer !== "string" || !isAddress(viewer)) return null;
  return element("a", { href: viewer, target: "_blank", rel: "noopener noreferrer" }, words);
}

/** origin({page: 3, pages: 12, title: "Catalogue", text: "Hats"}) → "page 3 of 12 · Catalogue · Hats"; "" if unknown. */
export function origin({ page, page_number: number = page, pages, title, text, manifest, document, label }) {
  if (manifest !== undefined && label !== undefined) return [label, document].filter(Boolean).join(" · ");
  if (typeof number !== "number" || (pages === undefined && text === undefined)) return "";
  return [pages === undefined ? `page ${number}` : `page ${number} of ${pages}`, title, text].filter(Boolean).join(" · ");
}
