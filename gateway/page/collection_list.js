// The collections that there are, and the form that makes another.

import { createCollection } from "./collection_requests.js";
import { hashOfPlace } from "./collection_link.js";
import { byId, element, say } from "./elements.js";
import { bytes, count, problem } from "./words.js";

/** `onCreated(info)` is called with a new one. */
export function collectionList({ onCreated }) {
  let shown = ""; // as JSON: what hasn't changed isn't drawn anew

  byId("create-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const field = byId("create-name");
    const button = byId("create-form").querySelector("button");
    button.disabled = true;
    say(byId("create-problem"), "");
    try {
      const info = await createCollection(field.value.trim());
      field.value = "";
      onCreated(info);
    } catch (error) {
      say(byId("create-problem"), problem(error));
    } finally {
      button.disabled = false;
    }
  });

  byId("create-name").addEventListener("input", () => say(byId("create-problem"), ""));

  return {
    /** Show them; the one called `chosen` is marked. */
    show(infos, chosen) {
      const now = JSON.stringify([infos, chosen]);
      if (now === shown) return;
      shown = now;
      const list = byId("collection-list");
      const focused = list.contains(document.activeElement) ? document.activeElement.href : null;
      list.replaceChildren(...infos.map((info) => item(info, info.name === chosen)));
      [...list.querySelectorAll("a")].find(({ href }) => href === focused)?.focus();
      byId("no-collections").hidden = infos.length > 0;
    },
  };
}

function item({ name, count: size, model, journal, engine }, chosen) {
  const changes = !journal?.changes ? "nothing to fold" : `${count(journal.changes, "change")} to fold`;
  return element(
    "li",
    {},
    element(
      "a",
      { class: "collection-link", href: hashOfPlace({ name }), "aria-current": chosen ? "page" : null },
      element("strong", { class: "breaking", translate: "no" }, name),
      element("span", { class: "collection-size" }, count(size, "picture")),
      element("span", { class: "soft breaking" }, model.name),
      element("span", { class: "soft" }, engine ? engine.address : `Journal ${bytes(journal.bytes)}, ${changes}`),
    ),
  );
}
