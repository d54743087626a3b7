// Pictures of a collection as cards, some of which can be selected.

import { collectionCard, pick } from "./collection_card.js";
import { gridKeys } from "./grid_keys.js";
import { searchKey } from "./keys.js";
import { largeEntry, showLarge } from "./lightbox.js";
import { showPicked } from "./pick_bar.js";
import { pictures } from "./thumbnails.js";
import { count } from "./words.js";

/** Cards in `list`. `onMore(image)`, `onRemove(images)` and `onEdit(image)` are the buttons. */
export function pictureGrid(list, { onMore, onRemove, onEdit }) {
  const cards = new Map(); // url → {image, card}
  const selected = new Set(); // urls
  let source = null;

  function clear() {
    source?.discard();
    source = pictures(searchKey.get());
    cards.clear();
    list.replaceChildren();
    selected.clear();
    showSelection();
  }

  // `badgeOf(image)` is the word on a picture, or null.
  function append(images, badgeOf = () => null) {
    for (const image of images) {
      if (cards.has(image.url)) continue;
      const { url } = image;
      const card = collectionCard(image, source, {
        badge: badgeOf(image),
        box: { name: "Select", letter: "x", onchange: (on) => select(url, on) },
        tools: [
          ["More like this", () => onMore(image), "m"],
          ["Remove", () => onRemove([image]), "r"],
        ],
        onOpen: () => openAt(url),
      });
      cards.set(url, { image, card, badge: badgeOf(image) });
      list.append(card);
    }
  }

  async function openAt(url) {
    const shown = [...list.children].map(({ dataset }) => cards.get(dataset.url));
    const entries = shown.map(({ image, badge }) => {
      const actions = [
        ["More like this", () => onMore(image)],
        ["Edit metadata", () => onEdit(image)],
        ["Remove", () => onRemove([image])],
      ];
      return largeEntry(image, badge, actions);
    });
    const start = entries.findIndex(({ name }) => name === url);
    const place = await showLarge(entries, start, source);
    if (place !== null) shown[place].card.querySelector(".thumbnail").focus();
  }

  function select(url, on) {
    if (on) selected.add(url);
    else selected.delete(url);
    showSelection();
  }

  function selectAll(on) {
    for (const { card } of cards.values()) pick(card, on);
  }

  function showSelection() {
    const picked = [...selected];
    const images = () => picked.map((url) => cards.get(url).image);
    showPicked(picked.length === 0 ? "" : `${count(picked.length, "picture")} selected`, {
      all:
        picked.length === cards.size ? null : { words: `Select all ${cards.size} shown`, press: () => selectAll(true) },
      none: { words: "Select none", press: () => selectAll(false) },
      remove: { words: "Remove", press: () => onRemove(images()) },
    });
  }

  /** Take the cards of these out; a function that puts them back where they were. */
  function take(urls) {
    const taken = urls.filter((url) => cards.has(url)).map((url) => ({ url, ...cards.get(url) }));
    const focused = taken.find(({ card }) => card.contains(document.activeElement));
    const next = focused && (focused.card.nextElementSibling ?? focused.card.previousElementSibling);
    const places = taken.map(({ card }) => card.nextElementSibling);
    for (const { url, card } of taken) {
      pick(card, false);
      card.remove();
      cards.delete(url);
    }
    if (next?.isConnected) next.querySelector(".thumbnail").focus();
    const mine = source;
    return () => {
      if (mine !== source) return; // something else is shown by now
      for (const [place, { url, ...kept }] of [...taken.entries()].reverse()) {
        if (cards.has(url)) continue;
        cards.set(url, kept);
        list.insertBefore(kept.card, places[place]?.parentElement === list ? places[place] : null);
      }
    };
  }

  gridKeys(list);
  clear();
  return { clear, append, take, selectNone: () => selectAll(false), size: () => cards.size };
}
