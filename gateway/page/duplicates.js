// Near-duplicates, to be reviewed: groups come in as they are found. Identical files can be marked and removed together,
// all other pictures one by one.

import { collectionCard, pick } from "./collection_card.js";
import { byId, element, say } from "./elements.js";
import { searchKey } from "./keys.js";
import { largeEntry, showLarge } from "./lightbox.js";
import { showPicked } from "./pick_bar.js";
import { pictures } from "./thumbnails.js";
import { count, number, problem } from "./words.js";

/** So many groups are shown at first, and so many more at each press; so many pictures of each. */
const GROUPS = 20;
const PICTURES = 24;

const BY_DETAIL =
  "Every picture is compared with every other one by its detail code, which tells which picture it is. A group is a " +
  "picture to keep and its copies, with the distances to it. Only files that are the same byte for byte can be removed " +
  "together.";
const BY_CODE =
  "The model gives no detail codes, so pictures are compared by what they show: a group may hold pictures that are not " +
  "copies at all. Only files that are the same byte for byte can be removed together.";

/** `onDistance(distance)` is called when somebody looks for those so far apart, `onRemove(images)` to remove some. */
export function duplicates({ onDistance, onRemove }) {
  const list = byId("groups");
  const field = byId("duplicates-distance");
  const marked = new Map(); // url → image
  let requests = null;
  let groups = []; // all that have come: {images, gone (the urls that were removed), item (null while none is shown)}
  let came = 0;
  let wanted = GROUPS;
  let source = null;
  let running = null;

  async function find() {
    clear();
    const mine = new AbortController();
    running = mine;
    offerCancel(true);
    tell("Looking…");
    let end = "";
    try {
      for await (const group of requests.duplicates(Number(field.value), mine.signal)) {
        source ??= pictures(searchKey.get());
        groups.push({ images: group.images, gone: new Set(), item: null });
        came += 1;
        fill();
        tell("Looking…");
      }
      if (came === 0) end = "None: no two pictures are so near to each other.";
    } catch (error) {
      if (running !== mine) return;
      if (mine.signal.aborted) end = "Cancelled: there may be more.";
      else say(byId("duplicates-problem"), `${problem(error)} There may be more groups.`);
    }
    if (running !== mine) return;
    running = null;
    offerCancel(false);
    tell(end);
    byId("duplicates-status").textContent = `${count(came, "group")} found. ${end}`;
  }

  function clear() {
    const before = running;
    running = null; // its answer is of no interest any longer
    before?.abort();
    source?.discard();
    source = null;
    groups = [];
    came = 0;
    wanted = GROUPS;
    marked.clear();
    list.replaceChildren();
    for (const id of ["duplicates-problem", "duplicates-found"]) say(byId(id), "");
    byId("duplicates-status").textContent = "";
    offerCancel(false);
    showMarked();
    showTools();
  }

  function offerCancel(going) {
    byId("duplicates-cancel").hidden = !going;
    byId("duplicates-progress").hidden = !going;
  }

  function tell(more) {
    const found = came === 0 ? "" : `${count(came, "group")} of pictures found. `;
    say(byId("duplicates-found"), `${found}${more}`.trim());
  }

  const left = ({ images, gone }) => images.filter(({ url }) => !gone.has(url));
  const waiting = () => groups.filter((group) => group.item === null && left(group).length > 1);

  // Show as many groups as are wanted, as far as they have come.
  function fill() {
    const room = wanted - list.children.length;
    for (const group of waiting().slice(0, Math.max(0, room))) {
      group.item = groupItem(group);
      list.append(group.item);
    }
    showTools();
  }

  function groupItem(group) {
    const images = left(group);
    const gallery = element("ul", { class: "gallery group-pictures" });
    const all = element("button", { type: "button", class: "plain" });
    const heading = element("h3", {}, count(images.length, "picture"));
    const show = (some) => gallery.append(...some.map((image) => card(image, group.images[0])));
    show(images.slice(0, PICTURES));
    const rest = images.slice(PICTURES);
    all.textContent = `Show ${number(rest.length)} more of this group`;
    all.hidden = rest.length === 0;
    all.addEventListener("click", () => {
      all.remove();
      show(rest);
      showTools();
    });
    return element("li", { class: "group" }, heading, gallery, all);
  }

  // Large, a copy and the picture that is kept take each other's place at a press of Space.
  function card(given, keptOne) {
    const first = given === keptOne;
    const { url, distance, same_file: same } = given;
    const image = { url, metadata: given.metadata ?? null, thumbnail: requests.thumbnail(url) };
    const box = {
      name: "Remove",
      words: "Remove",
      checked: marked.has(url),
      onchange(on) {
        if (on) marked.set(url, image);
        else marked.delete(url);
        showMarked();
      },
    };
    const badge = first ? "kept" : same ? "same file" : count(distance, "bit");
    const open = () => {
      const kept = first ? null : source.image(requests.thumbnail(keptOne.url));
      showLarge([largeEntry(image, badge, [["Remove", () => onRemove([image])]])], 0, source, kept);
    };
    return collectionCard(image, source, {
      badge,
      box: same && !first ? box : null,
      tools: [["Remove", () => onRemove([image])]],
      onOpen: open,
    });
  }

  function showMarked() {
    const images = [...marked.values()];
    showPicked(images.length === 0 ? "" : `${count(images.length, "picture")} marked`, {
      none: { words: "Keep all", press: () => mark(false) },
      remove: { words: `Remove ${number(images.length)}`, press: () => onRemove(images) },
    });
  }

  function showTools() {
    const hidden = waiting().length;
    byId("mark-same").hidden = list.querySelector("input[type=checkbox]") === null;
    byId("more-groups").hidden = hidden === 0;
    byId("more-groups").textContent = `Show ${number(Math.min(hidden, GROUPS))} more groups`;
  }

  function mark(checked) {
    for (const each of list.querySelectorAll(".result")) pick(each, checked);
  }

  // What is left of a group takes the place of what was shown of it.
  function showLeft(group) {
    const focused = group.item?.contains(document.activeElement);
    const next = groups.slice(groups.indexOf(group) + 1).find(({ item }) => item !== null);
    const before = group.item?.nextElementSibling ?? next?.item ?? null;
    group.item?.remove();
    group.item = null;
    if (left(group).length > 1) {
      group.item = groupItem(group);
      list.insertBefore(group.item, before);
    }
    if (focused) (group.item ?? before)?.querySelector(".result-tools button").focus();
  }

  byId("duplicates-form").addEventListener("submit", (event) => {
    event.preventDefault();
    onDistance(Number(field.value));
    find();
  });
  byId("duplicates-cancel").addEventListener("click", () => running?.abort());
  byId("mark-same").addEventListener("click", () => mark(true));
  byId("more-groups").addEventListener("click", () => {
    wanted += GROUPS;
    fill();
  });

  return {
    /** Show the form, and what was found already where it is of the same collection. */
    show(those, { copies }, distance) {
      if (requests === those) {
        showMarked();
        return;
      }
      requests = those;
      field.max = String(copies.bits);
      field.value = String(distance ?? copies.max_distance);
      byId("duplicates-hint").textContent = copies.space === "detail" ? BY_DETAIL : BY_CODE;
      clear();
    },
    /** Take pictures out that are no longer there; a function that puts them back. */
    take(urls) {
      const before = requests;
      const taken = groups.filter(({ images }) => images.some(({ url }) => urls.includes(url)));
      for (const url of urls) marked.delete(url);
      const shown = taken.filter(({ item }) => item !== null);
      for (const group of taken) {
        for (const url of urls) group.gone.add(url);
      }
      shown.forEach(showLeft);
      if (!byId("duplicates").hidden) showMarked(); // else the bar is another view's
      fill();
      return () => {
        if (requests !== before) return;
        for (const group of taken) {
          for (const url of urls) group.gone.delete(url);
        }
        shown.filter((group) => groups.includes(group)).forEach(showLeft);
        showTools();
      };
    },
  };
}
