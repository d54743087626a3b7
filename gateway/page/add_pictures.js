// Pictures come into a collection: by their addresses, or as files that are dropped, pasted or chosen.

import { activity } from "./activities.js";
import { batch } from "./batch.js";
import { byId, element, say } from "./elements.js";
import { searchKey } from "./keys.js";
import { largeEntry, showLarge } from "./lightbox.js";
import { tooLarge } from "./limits.js";
import { metadataIn } from "./metadata_form.js";
import { receiveFiles } from "./received_files.js";
import { stagedFiles } from "./staged_files.js";
import { pictures } from "./thumbnails.js";
import { count } from "./words.js";

// What is to be added is {name, send(), made(), hopeless}: what it is called, its request, its small picture, and
// whether trying again would be in vain.

/** `onAdded()` is called when pictures have been added. Returns {into(requests)}: what they are added to. */
export function addPictures({ onAdded }) {
  const addresses = byId("add-urls");
  const metadataField = byId("add-metadata");
  let requests = null;

  // As metadataIn; trouble is said at the box.
  function metadata() {
    const given = metadataIn(metadataField.value);
    say(byId("add-metadata-problem"), given.trouble ?? "");
    metadataField.setAttribute("aria-invalid", String(given.trouble !== undefined));
    if (given.trouble !== undefined) metadataField.focus();
    return given;
  }

  async function add(items) {
    const stopping = new AbortController();
    const card = activity();
    const added = [];
    const goesOn = (done, failed) => {
      const failing = failed === 0 ? "" : ` (${failed} failed)`;
      card.goesOn(
        items.length === 1 ? `Adding ${items[0].name}` : `Adding pictures${failing}`,
        done + failed,
        items.length,
        () => stopping.abort(),
      );
    };
    goesOn(0, 0);
    const work = async (item) => {
      await item.send();
      added.push(item);
      card.picture(item.made());
    };
    const failures = await batch(items, work, { signal: stopping.signal, onDone: goesOn });
    const failed = failures.map(({ item }) => item);
    const left = items.length - added.length - failed.length;
    const outcome = [
      added.length === 0 ? "No picture added" : `${count(added.length, "picture")} added`,
      failed.length === 0 ? "" : `${failed.length} failed`,
      left === 0 ? "" : `${left} cancelled`,
    ];
    card.ended(`${outcome.filter((part) => part !== "").join(", ")}.`, {
      failures: failures.map(({ item, error }) => ({ name: item.name, error })),
      actions: failed.some(({ hopeless }) => !hopeless) ? [["Try again", () => add(failed)]] : [],
    });
    if (added.length > 0) onAdded();
  }

  const staged = stagedFiles(byId("staged"), {
    onChange: (number) => (byId("add-submit").textContent = number === 0 ? "Add" : `Add ${count(number, "picture")}`),
  });

  // Files wait to be looked at, named and described.
  function stage(files) {
    if (requests === null) return;
    byId("add").open = true;
    staged.add(files);
    byId("add-submit").scrollIntoView({ block: "nearest" });
  }

  byId("add-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const urls = [...new Set(addresses.value.split(/\s+/).filter((url) => url !== ""))];
    const given = metadata();
    if (given.trouble !== undefined || urls.length + staged.count() === 0) return;
    const mine = requests;
    const source = pictures(searchKey.get());
    addresses.value = "";
    metadataField.value = "";
    const files = staged.take().map(({ file, name }) => fileItem(mine, file, name, given.value));
    add([...files, ...urls.map((url) => addressItem(mine, source, url, given.value))]);
  });
  byId("add-choose").addEventListener("click", () => byId("add-files").click());
  byId("add-files").addEventListener("change", ({ target }) => {
    if (target.files.length > 0) stage([...target.files]);
    target.value = ""; // so that choosing the same file again is a change
  });
  receiveFiles(byId("collections-panel"), byId("collection"), stage, (address) => {
    byId("add").open = true;
    addresses.value = `${addresses.value.trim()}\n${address}`.trim();
    addresses.focus();
  });

  return {
    into(those) {
      requests = those;
    },
  };
}

function addressItem(requests, source, url, metadata) {
  return {
    name: url,
    send: () => requests.add(url, metadata),
    made() {
      const image = { url, metadata: metadata ?? null, thumbnail: requests.thumbnail(url) };
      const press = () => showLarge([largeEntry(image, null, [])], 0, source);
      return element(
        "button",
        { type: "button", "aria-label": `Details: ${url}`, onclick: press },
        source.image(image.thumbnail),
      );
    },
  };
}

function fileItem(requests, file, name, metadata) {
  const noPicture = file.type !== "" && !file.type.startsWith("image/");
  const trouble = noPicture ? `it is no picture, but ${file.type}` : tooLarge(file);
  return {
    name,
    hopeless: trouble !== "",
    async send() {
      if (trouble !== "") throw new Error(trouble);
      await requests.addFile(file, name, metadata);
    },
    made() {
      const address = URL.createObjectURL(file);
      const image = element("img", { src: address, alt: name, title: name });
      const done = () => URL.revokeObjectURL(address);
      image.addEventListener("load", done, { once: true });
      image.addEventListener("error", done, { once: true });
      return image;
    },
  };
}
