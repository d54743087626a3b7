// The button that copies the address of the search that is shown.

import { copyText } from "./clipboard.js";
import { byId } from "./elements.js";

/** `hash()` is what the address has behind its #. Returns a function that puts the button back for a new search. */
export function copyLink(hash) {
  const button = byId("copy-link");
  const field = byId("link-text");

  button.addEventListener("click", async () => {
    const link = new URL(hash(), location.href).href;
    if (await copyText(link, button)) {
      byId("search-status").textContent = "Link copied.";
    } else {
      field.value = link;
      field.hidden = false;
      field.select();
    }
  });

  return () => {
    field.hidden = true;
  };
}
