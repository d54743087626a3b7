// One picture over the page, with all that is known of it: ← and → go to the next ones, Space flips to the query, a slider
// lays one over the other, Escape closes.
//
// An entry is {name, thumbnail, original, closeness, metadata, code, actions}: `original` is the address of the whole file
// or null, `closeness` a text or null, `metadata` and `code` undefined where nobody asked for them, `actions` [words,
// function], each of which closes the picture.

import { copyText } from "./clipboard.js";
import { viewerLink } from "./caption.js";
import { closeOnBackdrop, shown } from "./dialogs.js";
import { byId, element, say } from "./elements.js";
import { isAddress } from "./picture_names.js";
import { bytes, date, number } from "./words.js";

const dialog = byId("details");
closeOnBackdrop(dialog);

const ACTED = "acted";

let open = null; // {entries, source, query}
let place = 0;
let flipped = false;
let original = null; // the object URL of the shown file
let drawn = null; // the <img> of it
let loading = new AbortController(); // of that file

/** A picture of a collection, {url, thumbnail, metadata?, code?}, as an entry. */
export function largeEntry({ url, thumbnail, metadata, code }, closeness, actions) {
  return { name: url, thumbnail, original: null, closeness, metadata, code, actions };
}

/**
 * Show the entry at `start` until the picture is closed; where that was, null if an action closed it. `source` gives the
 * pictures; `query` is an <img> of what they were found by, or null.
 */
export async function showLarge(entries, start, source, query = null) {
  open = { entries, source, query };
  show(start);
  const closed = shown(dialog);
  byId("details-picture").focus();
  const by = await closed;
  forgetOriginal();
  return by === ACTED ? null : place;
}

function show(at) {
  const focused = document.activeElement;
  place = at;
  flipped = false;
  forgetOriginal();
  const entry = open.entries[place];
  const { name, metadata, code, closeness } = entry;
  byId("details-picture").replaceChildren(open.source.image(entry.thumbnail));
  byId("details-place").textContent = open.entries.length > 1 ? `${place + 1} of ${open.entries.length}` : "";
  byId("details-before").hidden = byId("details-after").hidden = open.entries.length < 2;
  byId("details-before").disabled = place === 0;
  byId("details-after").disabled = place === open.entries.length - 1;
  byId("details-flip").hidden = open.query === null;
  byId("details-flip").textContent = "Show the query";
  const leaving = { href: name, target: "_blank", rel: "noopener noreferrer" };
  const viewer = viewerLink(metadata, "in its viewer");
  byId("details-url").replaceChildren(
    isAddress(name) ? element("a", leaving, name) : name,
    ...(viewer === null ? [] : [" ", viewer]),
  );
  byId("details-wipe").hidden = open.query === null;
  wipe(false);
  fact("closeness", closeness ?? undefined);
  fact("metadata", metadata === null ? "none" : metadata && JSON.stringify(metadata, null, 2));
  fact("code", code);
  fact("file", undefined);
  byId("details-actions").replaceChildren(
    ...entry.actions.map(([words, press]) =>
      element("button", { type: "button", onclick: () => [dialog.close(ACTED), press()] }, words),
    ),
  );
  const download = byId("details-download");
  download.hidden = entry.original === null;
  if (entry.original !== null) loadOriginal(entry, loading.signal);
  // The keys are heard here: the button that was pressed may be at its end, or gone.
  if (dialog.open && (focused.disabled || !focused.isConnected)) byId("details-picture").focus();
}

function fact(name, text) {
  byId(`details-${name}`).textContent = text ?? "";
  byId(`details-${name}-part`).hidden = text === undefined;
}

// The whole file takes the place of its thumbnail, where the browser can draw it.
async function loadOriginal(entry, signal) {
  const download = byId("details-download");
  download.href = entry.original;
  download.download = entry.name.split("/").at(-1);
  try {
    const { blob, modified } = await open.source.file(entry.original, signal);
    if (signal.aborted) return;
    original = URL.createObjectURL(blob);
    download.href = original;
    const kind = blob.type.replace("image/", "").toUpperCase();
    const when = modified === null ? [] : [date(modified)];
    fact("file", [kind, bytes(blob.size), ...when].join(" · "));
    const large = element("img", { src: original, alt: "" });
    await large.decode();
    if (signal.aborted) return;
    const size = `${number(large.naturalWidth)} × ${number(large.naturalHeight)} pixels`;
    fact("file", [size, kind, bytes(blob.size), ...when].join(" · "));
    drawn = large;
    if (wiping()) wipe(true);
    else if (!flipped) byId("details-picture").replaceChildren(large);
  } catch {
    // The thumbnail stays.
  }
}

function forgetOriginal() {
  loading.abort();
  loading = new AbortController();
  if (original !== null) URL.revokeObjectURL(original);
  original = null;
  drawn = null;
}

function picture() {
  return drawn ?? open.source.image(open.entries[place].thumbnail);
}

const wiping = () => byId("details-wipe").getAttribute("aria-pressed") === "true";

// Both pictures in one place, equally large: left of the slider the query, right of it the other one.
function wipe(on) {
  byId("details-wipe").setAttribute("aria-pressed", String(on));
  byId("details-wiper").hidden = !on;
  if (!on) {
    if (open.query !== null) open.query.style.clipPath = "";
    return;
  }
  flipped = false;
  byId("details-flip").textContent = "Show the query";
  say(byId("details-shows"), "");
  byId("details-picture").replaceChildren(picture(), open.query);
  wipeTo();
}

function wipeTo() {
  open.query.style.clipPath = `inset(0 ${100 - Number(byId("details-wiper").value)}% 0 0)`;
}

function flip() {
  if (open.query === null) return;
  wipe(false);
  flipped = !flipped;
  byId("details-picture").replaceChildren(flipped ? open.query : picture());
  byId("details-flip").textContent = flipped ? "Show the result" : "Show the query";
  say(byId("details-shows"), flipped ? "The query" : "");
}

function go(by) {
  const to = place + by;
  if (to < 0 || to >= open.entries.length) return;
  say(byId("details-shows"), "");
  show(to);
  byId("details-status").textContent = `${open.entries[to].closeness ?? ""} ${open.entries[to].name}`;
}

dialog.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.matches("input")) return;
  if (event.key === "ArrowLeft") go(-1);
  else if (event.key === "ArrowRight") go(1);
  else if (event.key === " " && !event.target.matches("button, a")) flip();
  else return;
  event.preventDefault();
});
byId("details-before").addEventListener("click", () => go(-1));
byId("details-after").addEventListener("click", () => go(1));
byId("details-flip").addEventListener("click", flip);
byId("details-wipe").addEventListener("click", () => {
  const on = !wiping();
  wipe(on);
  if (on) byId("details-wiper").focus();
  else byId("details-picture").replaceChildren(picture());
});
byId("details-wiper").addEventListener("input", wipeTo);
byId("details-copy").addEventListener("click", async ({ currentTarget }) => {
  // Where the browser doesn't let the page copy, people do.
  if (!(await copyText(open.entries[place].name, currentTarget))) getSelection().selectAllChildren(byId("details-url"));
});
