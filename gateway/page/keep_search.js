// The button that keeps the search that is shown, by a name, until it is removed.

import { shown } from "./dialogs.js";
import { byId } from "./elements.js";
import { nameSearch } from "./recent_searches.js";

const dialog = byId("keep-dialog");
const field = byId("keep-name");

/** `current()` is {hash, label}: the address of the search that is shown, and words for it. */
export function keepSearchButton(current) {
  byId("keep-search").addEventListener("click", async () => {
    const { hash, label } = current();
    field.value = label;
    const answer = shown(dialog);
    field.select();
    if ((await answer) !== "keep") return;
    const kept = await nameSearch(hash, field.value.trim() || label);
    byId("search-status").textContent = kept
      ? "The search is kept: you find it where a search begins."
      : "This browser keeps no searches; copy the link instead.";
    if (!kept) byId("copy-link").focus();
  });
}

byId("keep-cancel").addEventListener("click", () => dialog.close());
