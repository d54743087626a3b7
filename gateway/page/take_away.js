// What is done with an answer elsewhere: the pictures that are selected, or all that are shown, as a file, as a list of
// paths, or as the command that finds them.

import { asCsv, asCurl, asJson, asPython } from "./answer_files.js";
import { copyText } from "./clipboard.js";
import { byId, say } from "./elements.js";
import { searchKey } from "./keys.js";
import { count, problem } from "./words.js";
import { zip } from "./zip.js";

/**
 * The menu over the cards of `gallery` (gallery.js). `answer()` is {source, fields}: where its pictures come from, and what
 * was sent.
 */
export function takeAway(gallery, { answer }) {
  const menu = byId("take-away");

  // The selected results; without any, all that are shown.
  function wanted() {
    const selected = gallery.selected();
    return selected.length > 0 ? selected : gallery.shown();
  }

  function showSelected() {
    const selected = gallery.selected().length;
    byId("take-away-summary").textContent = selected === 0 ? "Take away" : `Take away ${selected}`;
    byId("take-away-what").textContent =
      selected === 0 ? `All ${count(gallery.shown().length, "picture")} shown` : `${count(selected, "picture")} selected`;
    byId("select-none").hidden = selected === 0;
  }

  async function pictures(button) {
    const { source } = answer();
    const files = [];
    const names = entryNames();
    button.disabled = true;
    const results = wanted();
    const failed = [];
    for (const { path, image } of results) {
      say(byId("take-away-says"), `Fetching ${files.length + failed.length + 1} of ${results.length}…`);
      try {
        const { blob } = await source.file(image);
        files.push({ name: names(path), blob });
      } catch (error) {
        failed.push(`${path}: ${problem(error)}`);
      }
    }
    try {
      if (files.length > 0) save("hashlake.zip", await zip(files));
      const missing = failed.length === 0 ? "" : `${count(failed.length, "picture")} missing. ${failed[0]}`;
      say(byId("take-away-says"), missing);
    } catch (error) {
      say(byId("take-away-says"), problem(error));
    }
    button.disabled = false;
  }

  const keyed = () => searchKey.get() !== null;
  const presses = {
    "take-json": () => save("hashlake.json", new Blob([asJson(wanted())], { type: "application/json" })),
    "take-csv": () => save("hashlake.csv", new Blob([asCsv(wanted())], { type: "text/csv" })),
    "take-zip": pictures,
    "take-paths": (button) => copy(wanted().map(({ path }) => path).join("\n"), button),
    "take-curl": (button) => copy(asCurl(answer().fields, document.baseURI, keyed()), button),
    "take-python": (button) => copy(asPython(answer().fields, document.baseURI, keyed()), button),
  };

  async function copy(text, button) {
    byId("take-away-text").hidden = await copyText(text, button);
    byId("take-away-text").value = text;
    if (!byId("take-away-text").hidden) byId("take-away-text").select();
  }

  for (const [id, press] of Object.entries(presses)) {
    byId(id).addEventListener("click", ({ currentTarget }) => press(currentTarget));
  }
  byId("select-none").addEventListener("click", () => gallery.selectNone());
  menu.addEventListener("toggle", showSelected);

  return {
    /** Say how many pictures are selected now. */
    showSelected,
    /** Put the menu back for a new answer. */
    reset() {
      menu.open = false;
      say(byId("take-away-says"), "");
      byId("take-away-text").hidden = true;
      showSelected();
    },
  };
}

/**
 * A function from a picture's path to its name within one archive: no way out of the folder that it is unpacked in, no
 * sign that a file's name cannot have, and no name twice. "https://e.org:80/a.jpg?b" → "e.org_80/a.jpg_b".
 */
export function entryNames() {
  const taken = new Set();

  return (path) => {
    const parts = path.replace(/^\w+:\/\//, "").split(/[\\/]+/);
    const kept = parts.filter((part) => !["", ".", ".."].includes(part)).map((part) => part.replace(UNWRITABLE, "_"));
    const name = kept.join("/") || "picture";
    let free = name;
    for (let number = 2; taken.has(free.toLowerCase()); number += 1) {
      free = name.replace(/(\.[^./]*)?$/, (ending) => ` (${number})${ending}`);
    }
    taken.add(free.toLowerCase());
    return free;
  };
}

// On Windows, or anywhere.
const UNWRITABLE = /[<>:"|?*\x00-\x1f]/g;

function save(name, blob) {
  const address = URL.createObjectURL(blob);
  Object.assign(document.createElement("a"), { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
