// The button that copies the address of the search that is shown.

import { byId } from "./elements.js";

const THANKS_MS = 2000;

/** `hash()` is what the address has behind its #. Returns a function that puts the button back for a new search. */
export function copyLink(hash) {
  const button = byId("copy-link");
  const field = byId("link-text");

  button.addEventListener("click", async () => {
    const link = new URL(hash(), location.href).href;
    try {
      await navigator.clipboard.writeText(link);
      button.textContent = "Link copied";
      byId("search-status").textContent = "Link copied.";
      setTimeout(() => (button.textContent = "Copy link"), THANKS_MS);
    } catch {
      // Only pages from https and from this machine may write to the clipboard: others show what to copy.
      field.value = link;
      field.hidden = false;
      field.select();
    }
  });

  return () => {
    field.hidden = true;
  };
}
