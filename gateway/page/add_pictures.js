// Pictures come into a collection: by their addresses, or as files that are dropped, pasted or chosen.

import { activity } from "./activities.js";
import { batch } from "./batch.js";
import { byId, element, say } from "./elements.js";
import { searchKey } from "./keys.js";
import { showDetails } from "./picture_details.js";
import { receiveFiles } from "./received_files.js";
import { pictures } from "./thumbnails.js";
import { count } from "./words.js";

// What is to be added is {name, send(), made(), hopeless}: what it is called, its request, its small picture, and
// whether trying again would be in vain.

/** `onAdded()` is called when pictures have been added. Returns {into(requests)}: what they are added to. */
export function addPictures({ onAdded }) {
  const addresses = byId("add-urls");
  const metadataField = byId("add-metadata");
  let requests = null;

  // {value}, undefined for none; null where it is no JSON, which is then said at the box.
  function metadata() {
    const text = metadataField.value.trim();
    let given = { value: undefined };
    let trouble = "";
    try {
      if (text !== "") given = { value: JSON.parse(text) };
    } catch (error) {
      given = null;
      trouble = `This is no JSON: ${error.message}.`;
    }
    say(byId("add-metadata-problem"), trouble);
    metadataField.setAttribute("aria-invalid", String(given === null));
    if (given === null) {
      byId("add").open = true;
      metadataField.focus();
    }
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

  function addFiles(files) {
    if (requests === null) return;
    const given = metadata();
    if (given === null) return;
    const mine = requests;
    add(files.map((file) => fileItem(mine, file, given.value)));
  }

  byId("add-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const urls = [...new Set(addresses.value.split(/\s+/).filter((url) => url !== ""))];
    const given = metadata();
    if (given === null || urls.length === 0) return;
    const mine = requests;
    const source = pictures(searchKey.get());
    addresses.value = "";
    add(urls.map((url) => addressItem(mine, source, url, given.value)));
  });
  byId("add-choose").addEventListener("click", () => byId("add-files").click());
  byId("add-files").addEventListener("change", ({ target }) => {
    if (target.files.length > 0) addFiles([...target.files]);
    target.value = ""; // so that choosing the same file again is a change
  });
  receiveFiles(byId("collections-panel"), byId("collection"), addFiles);

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
      const press = () => showDetails(image, source);
      return element(
        "button",
        { type: "button", "aria-label": `Details: ${url}`, onclick: press },
        source.image(image.thumbnail),
      );
    },
  };
}

function fileItem(requests, file, metadata) {
  const name = file.name || "the pasted picture";
  const noPicture = file.type !== "" && !file.type.startsWith("image/");
  return {
    name,
    hopeless: noPicture,
    async send() {
      if (noPicture) throw new Error(`it is no picture, but ${file.type}`);
      await requests.addFile(file, metadata);
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
