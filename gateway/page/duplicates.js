// Near-duplicates, to be reviewed: groups come in as they are found, and each picture is kept or marked to be removed.

import { collectionCard, pick } from "./collection_card.js";
import { byId, element, say } from "./elements.js";
import { searchKey } from "./keys.js";
import { showPicked } from "./pick_bar.js";
import { pictures } from "./thumbnails.js";
import { count, number, problem } from "./words.js";

/** So many groups are shown at first, and so many more at each press; so many pictures of each. */
const GROUPS = 20;
const PICTURES = 24;

/** `onDistance(distance)` is called when somebody looks for those so far apart, `onRemove(images)` for the marked. */
export function duplicates({ onDistance, onRemove }) {
  const list = byId("groups");
  const field = byId("duplicates-distance");
  const marked = new Set(); // urls
  let requests = null;
  let groups = []; // all that have come and are not dealt with: {images}, and `item` once it is shown
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
        groups.push(group);
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

  // Show as many groups as are wanted, as far as they have come.
  function fill() {
    while (list.children.length < wanted && list.children.length < groups.length) {
      const group = groups[list.children.length];
      group.item = groupItem(group);
      list.append(group.item);
    }
    showTools();
  }

  function groupItem(group) {
    const gallery = element("ul", { class: "gallery group-pictures" });
    const all = element("button", { type: "button", class: "plain" });
    const item = element(
      "li",
      { class: "group" },
      element("h3", {}, count(group.images.length, "picture")),
      gallery,
      all,
    );
    const [first] = group.images;
    const show = (images) => gallery.append(...images.map((image) => card(image, image === first)));
    show(group.images.slice(0, PICTURES));
    const rest = group.images.slice(PICTURES);
    all.textContent = `Show ${number(rest.length)} more of this group`;
    all.hidden = rest.length === 0;
    all.addEventListener("click", () => {
      all.remove();
      show(rest.filter((image) => group.images.includes(image)));
    });
    return item;
  }

  function card({ url, distance }, first) {
    const image = { url, thumbnail: requests.thumbnail(url) };
    return collectionCard(image, source, {
      badge: first ? "first" : distance === 0 ? "same code" : count(distance, "bit"),
      box: {
        name: "Remove",
        words: "Remove",
        checked: marked.has(url),
        onchange(on) {
          if (on) marked.add(url);
          else marked.delete(url);
          showMarked();
        },
      },
    });
  }

  function showMarked() {
    const urls = [...marked];
    showPicked(urls.length === 0 ? "" : `${count(urls.length, "picture")} marked`, {
      none: { words: "Keep all", press: keepAll },
      remove: {
        words: `Remove ${number(urls.length)}`,
        press: () => onRemove(urls.map((url) => ({ url, metadata: null }))),
      },
    });
  }

  function showTools() {
    const hidden = groups.length - list.children.length;
    byId("keep-first").hidden = list.children.length === 0;
    byId("more-groups").hidden = hidden <= 0;
    byId("more-groups").textContent = `Show ${number(Math.min(hidden, GROUPS))} more groups`;
  }

  function keepAll() {
    for (const box of list.querySelectorAll("input:checked")) box.click();
  }

  function keepFirst() {
    for (const group of list.children) {
      [...group.querySelectorAll(".result")].forEach((each, place) => pick(each, place > 0));
    }
  }

  byId("duplicates-form").addEventListener("submit", (event) => {
    event.preventDefault();
    onDistance(Number(field.value));
    find();
  });
  byId("duplicates-cancel").addEventListener("click", () => running?.abort());
  byId("keep-first").addEventListener("click", keepFirst);
  byId("more-groups").addEventListener("click", () => {
    wanted += GROUPS;
    fill();
  });

  return {
    /** Show the form, and what was found already where it is of the same collection. */
    show(those, info, distance) {
      field.max = String(info.model.bits);
      if (requests === those) {
        showMarked();
        return;
      }
      requests = those;
      field.value = String(distance);
      clear();
    },
    /** Take pictures out that are no longer there: a group of one is none. */
    take(urls) {
      const gone = new Set(urls);
      for (const group of groups.filter(({ images }) => images.some(({ url }) => gone.has(url)))) {
        group.images = group.images.filter(({ url }) => !gone.has(url));
        if (group.images.length < 2) groups.splice(groups.indexOf(group), 1);
        if (group.item === undefined) continue;
        for (const shown of group.item.querySelectorAll(".result")) {
          if (!gone.has(shown.dataset.url)) continue;
          pick(shown, false);
          shown.remove();
        }
        group.item.querySelector("h3").textContent = count(group.images.length, "picture");
        if (group.images.length < 2) {
          keepAllOf(group.item);
          group.item.remove();
        }
      }
      fill();
    },
  };

  function keepAllOf(item) {
    for (const box of item.querySelectorAll("input:checked")) box.click();
  }
}
