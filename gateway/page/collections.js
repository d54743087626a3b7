// The collections' page: one of them is chosen, and one of three views of it is shown.

import { addPictures } from "./add_pictures.js";
import { browse } from "./browse.js";
import { collectionHead } from "./collection_head.js";
import { COLLECTIONS, hashOfPlace, placeOf } from "./collection_link.js";
import { collectionList } from "./collection_list.js";
import { allCollections, requestsOf } from "./collection_requests.js";
import { duplicates } from "./duplicates.js";
import { byId, say } from "./elements.js";
import { adminKey, searchKey } from "./keys.js";
import { editMetadata } from "./metadata_form.js";
import { showPicked } from "./pick_bar.js";
import { remove } from "./removal.js";
import { similar } from "./similar.js";
import { problem } from "./words.js";

/** Start the page. `open(hash)` shows the place that an address names; `hash()` is the address of what is shown. */
export function collectionsPage() {
  let infos = null; // of all collections; null before they have been read
  let place = placeOf(COLLECTIONS);
  let requests = null; // those of the shown collection
  let requestsName = null;
  let view = null;
  let turn = 0; // of the last reading: an earlier one may be answered later

  const list = collectionList({
    async onCreated({ name }) {
      await refresh();
      go({ name });
      byId("collection-name").focus();
    },
  });
  const head = collectionHead({
    onFolded: refresh,
    async onDeleted() {
      go({ name: null }, { replacing: true });
      await refresh();
      byId("collections-title").focus();
    },
  });
  const adding = addPictures({
    onAdded() {
      nearest.stale();
      all.show(requests, place.filter, { anew: true });
      refresh();
    },
  });
  const all = browse({ onFilter, onMore, onRemove, onEdit });
  const nearest = similar({ onMore, onRemove, onEdit });
  const review = duplicates({
    onDistance: (distance) => go({ ...place, distance }, { replacing: true }),
    onRemove,
  });

  // The same filter again looks at what is there by now.
  function onFilter(filter) {
    if (filter === place.filter) all.show(requests, filter, { anew: true });
    else go({ ...place, filter });
  }

  function onMore({ url }) {
    go({ ...place, view: "like", like: url });
    byId("collection-views").scrollIntoView({ block: "start" });
    nearest.focus(); // the button that was pressed is gone
  }

  function onRemove(images) {
    const from = requests;
    return remove(from, images, {
      onGone(urls) {
        refresh();
        if (requests !== from) return () => {}; // another collection is shown by now
        const back = [all.take(urls), nearest.take(urls), review.take(urls)];
        return () => back.forEach((putBack) => putBack());
      },
      onBack: refresh,
    });
  }

  function onEdit(image) {
    return editMetadata(requests, image, () => {
      nearest.stale();
      all.show(requests, place.filter, { anew: true });
      refresh();
    });
  }

  /** Read what there is anew. */
  async function refresh() {
    turn += 1;
    const mine = turn;
    let trouble = "";
    try {
      const read = await allCollections();
      if (mine === turn) infos = read;
    } catch (error) {
      trouble = problem(error);
    }
    if (mine !== turn) return;
    say(byId("collections-problem"), trouble);
    showKeyInUse();
    if (infos !== null) show();
  }

  // `replacing`: no step is added to the browser's history.
  function go(there, { replacing = false } = {}) {
    const hash = hashOfPlace(there);
    place = placeOf(hash);
    if (!byId("collections-panel").hidden) history[replacing ? "replaceState" : "pushState"](null, "", hash);
    if (infos !== null) show();
  }

  function show() {
    const name = place.name ?? infos[0]?.name ?? null;
    const info = infos.find((each) => each.name === name);
    list.show(infos, name);
    byId("collection").hidden = info === undefined;
    say(byId("no-such-collection"), info === undefined && name !== null ? `There is no collection ${name}.` : "");
    if (info === undefined) {
      adding.into(null);
      return;
    }
    if (requestsName !== name) {
      requests = requestsOf(name);
      requestsName = name;
      byId("add").open = info.count === 0;
    }
    place.name = name;
    head.show(info, requests);
    adding.into(requests);
    showView(info);
  }

  function showView(info) {
    const shown = `${place.name} ${place.view}`;
    if (view !== shown) {
      view = shown;
      showPicked("");
      all.selectNone();
      nearest.selectNone();
    }
    for (const [id, name] of [
      ["browse", "all"],
      ["similar", "like"],
      ["duplicates", "duplicates"],
    ]) {
      byId(id).hidden = place.view !== name;
    }
    link("view-all", { ...place, view: "all" }, place.view === "all");
    link("view-duplicates", { ...place, view: "duplicates" }, place.view === "duplicates");
    if (place.view === "all") all.show(requests, place.filter);
    else if (place.view === "like") nearest.show(requests, place);
    else review.show(requests, info, place.distance);
  }

  function link(id, to, current) {
    byId(id).href = hashOfPlace(to);
    if (current) byId(id).setAttribute("aria-current", "page");
    else byId(id).removeAttribute("aria-current");
  }

  function showKeyInUse() {
    byId("collections-key").hidden = searchKey.get() === null && adminKey.get() === null;
  }

  byId("forget-keys").addEventListener("click", () => {
    searchKey.forget();
    adminKey.forget();
    showKeyInUse();
  });

  return {
    hash: () => hashOfPlace(place),
    title: () => place.name ?? "Collections",
    open(hash) {
      place = placeOf(hash);
      if (infos !== null) show();
      return refresh();
    },
  };
}
