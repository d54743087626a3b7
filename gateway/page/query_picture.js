// The query as it is seen: the picture with its crop box, or the words or the code that stand for it. Pictures come by
// drop, paste or choice.

import { cropBox } from "./crop_box.js";
import { byId, element, say } from "./elements.js";
import { fingerprint } from "./fingerprint.js";
import { pictured } from "./query.js";
import { tooLarge } from "./limits.js";
import { receiveFiles } from "./received_files.js";
import { problem } from "./words.js";

const NO_BOX = "Drag over the picture to search for a part of it.";

/**
 * `onFile(file)` is called with each picture that somebody brings, `onAddress(address)` with its address, `onBox(box)` when a part of the shown one is marked
 * (null: no longer). `load(address)` fetches an indexed picture as a Blob.
 */
export function queryPicture({ onFile, onAddress, onBox, load }) {
  const stage = byId("stage");
  const frame = byId("frame");
  const image = byId("stage-image");
  const tools = byId("stage-tools");
  const whole = byId("whole-picture");
  let shownQuery = null;
  let address = "";

  const box = cropBox(frame, byId("crop"), {
    onChange: boxChanged,
    onDone(marked) {
      crop(false);
      onBox(marked);
    },
  });

  function boxChanged(now) {
    const percent = (part) => `${Math.round(100 * part)}%`;
    byId("crop-size").textContent =
      now === null ? NO_BOX : `A part of ${percent(now.width)} × ${percent(now.height)} of the picture.`;
    whole.disabled = now === null;
  }

  function stageShows(what) {
    stage.dataset.shows = what;
    tools.hidden = what === "nothing";
    byId("crop-help").hidden = what !== "picture";
    whole.hidden = what !== "picture";
    box.set(null);
  }

  // What is seen of a query: of a part, the picture that it is a part of; of a picture with words, the picture.
  function seenOf(query) {
    const picture = pictured(query) ?? query;
    return picture?.kind === "part" ? picture.whole : picture;
  }

  // The box around the part that is searched for; null for a whole picture.
  function boxOf(query) {
    const picture = pictured(query);
    return picture?.kind === "part" ? picture.box : null;
  }

  async function showPicture(seen, file, name) {
    URL.revokeObjectURL(address);
    address = URL.createObjectURL(file);
    const mine = address;
    image.src = address;
    image.alt = `The query: ${name}`;
    const drawn = await image.decode().then(
      () => true,
      () => false,
    );
    if (mine !== address || seenOf(shownQuery) !== seen) return; // something else is to be shown by now
    if (!drawn) {
      showWords(name, "The browser can't show this format. It is searched for as it is.");
      return;
    }
    frame.style.setProperty("--ratio", String(image.naturalWidth / image.naturalHeight));
    stageShows("picture");
    if (boxOf(shownQuery) !== null) box.set(boxOf(shownQuery));
  }

  function showWords(title, text, drawing = null) {
    const words = [element("strong", { class: "breaking" }, title), element("span", {}, text)];
    byId("stage-words").replaceChildren(...(drawing === null ? words : [drawing, ...words]));
    stageShows("words");
  }

  /** Show `query`; `code` is the query's own, where the answer is known. */
  async function show(query, code = null) {
    const seenBefore = seenOf(shownQuery);
    const seen = seenOf(query);
    shownQuery = query;
    if (seen === seenBefore && stage.dataset.shows === "picture") {
      box.set(boxOf(query));
    } else if (seen.kind === "picture") {
      await showPicture(seen, seen.file, seen.file.name || "pasted picture");
    } else if (seen.kind === "path") {
      showWords(seen.path, "");
      if (seen.thumbnail !== null) await showIndexed(seen);
    } else {
      const titles = { text: `“${seen.text}”`, address: seen.address, code: "A code from a link" };
      const title = titles[seen.kind];
      showWords(title, "", code === null ? null : fingerprint(code));
    }
  }

  async function showIndexed(query) {
    try {
      const file = await load(query.thumbnail);
      if (seenOf(shownQuery) === query) await showPicture(query, file, query.path);
    } catch (error) {
      if (seenOf(shownQuery) === query) showWords(query.path, `Its picture can't be shown: ${problem(error)}`);
    }
  }

  function showNothing() {
    shownQuery = null;
    stageShows("nothing");
  }

  function take(files) {
    const [file] = files;
    const large = tooLarge(file);
    say(byId("stage-problem"), large);
    if (large !== "") return;
    if (file.type !== "" && !file.type.startsWith("image/")) {
      say(byId("stage-problem"), `${file.name} is no picture, but ${file.type}.`);
      return;
    }
    if (files.length > 1) say(byId("stage-problem"), `One picture at a time: this is the first of ${files.length}.`);
    onFile(file);
  }

  for (const button of document.querySelectorAll("[data-choose]")) {
    button.addEventListener("click", () => byId("file").click());
  }
  byId("take-photo").addEventListener("click", () => byId("camera").click());
  for (const id of ["file", "camera"]) {
    byId(id).addEventListener("change", ({ target }) => {
      if (target.files.length > 0) take([...target.files]);
      target.value = ""; // so that choosing the same file again is a change
    });
  }

  // Where the window is narrow the query is small beside its words, until a part of it is to be marked.
  function crop(on) {
    byId("asking").toggleAttribute("data-cropping", on);
    byId("begin-crop").setAttribute("aria-expanded", String(on));
  }
  byId("begin-crop").addEventListener("click", () => [crop(true), frame.focus()]);
  byId("end-crop").addEventListener("click", () => [crop(false), byId("begin-crop").focus()]);

  whole.addEventListener("click", () => {
    box.set(null);
    frame.focus();
    onBox(null);
  });

  receiveFiles(byId("search-panel"), stage, take, onAddress);

  return { show, showNothing };
}
