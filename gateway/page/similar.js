// The pictures of a collection that are most like one of them.

import { closenessWord } from "./closeness.js";
import { byId, element, say } from "./elements.js";
import { searchKey } from "./keys.js";
import { pictureGrid } from "./picture_grid.js";
import { remarkOnCloseness } from "./remarks.js";
import { pictures } from "./thumbnails.js";
import { count, problem } from "./words.js";

const WANTED = 24;

/** `onMore(image)`, `onRemove(images)` and `onEdit(image)` are the cards' buttons. */
export function similar(buttons) {
  const grid = pictureGrid(byId("similar-gallery"), buttons);
  const box = byId("similar");
  let shown = null; // {requests, url, filter}
  let running = null;
  let querySource = null;

  async function load() {
    running?.abort();
    const mine = new AbortController();
    running = mine;
    const { requests, url, filter } = shown;
    box.setAttribute("aria-busy", "true");
    try {
      const { found, nothing } = await requests.similar({ url, filter, limit: WANTED }, mine.signal);
      if (running !== mine) return;
      grid.clear();
      const images = found.map((each) => ({ metadata: null, ...each, thumbnail: requests.thumbnail(each.url) }));
      grid.append(images, ({ closeness, similarity }) =>
        closeness === undefined ? `${Number(similarity.toFixed(1))}%` : closenessWord(closeness, "distance"),
      );
      byId("similar-count").textContent = found.length === 0 ? "No pictures" : count(found.length, "picture");
      remarkOnCloseness(byId("similar-nothing"), nothing);
      byId("similar-status").textContent = `${count(found.length, "picture")} found.`;
      showQuery(requests, url);
    } catch (error) {
      if (running !== mine) return;
      byId("similar-count").textContent = "";
      say(byId("similar-problem"), problem(error));
    }
    running = null;
    box.setAttribute("aria-busy", "false");
  }

  function showQuery(requests, url) {
    querySource?.discard();
    querySource = pictures(searchKey.get());
    byId("similar-picture").replaceChildren(querySource.image(requests.thumbnail(url)));
  }

  return {
    show(requests, { like: url, filter }) {
      if (shown?.requests === requests && shown.url === url && shown.filter === filter) return;
      shown = { requests, url, filter };
      grid.clear();
      for (const id of ["similar-problem", "similar-nothing"]) say(byId(id), "");
      byId("similar-status").textContent = "Searching…";
      byId("similar-count").textContent = "Searching…";
      byId("similar-picture").replaceChildren();
      const code = element("code", { translate: "no" }, filter);
      const matching = filter === "" ? null : element("span", {}, " that match ", code);
      byId("similar-to").replaceChildren(
        "like ",
        element("span", { class: "breaking", translate: "no" }, url),
        ...(matching ? [matching] : []),
      );
      load();
    },
    /** To be searched for anew when it is shown next: the collection has changed. */
    stale() {
      shown = null;
    },
    take: grid.take,
    selectNone: grid.selectNone,
    focus: () => byId("similar-count").focus({ preventScroll: true }),
  };
}
