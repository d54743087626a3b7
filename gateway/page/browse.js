// All pictures of a collection, or those that match a filter, page by page.

import { Refusal } from "./api.js";
import { byId, say } from "./elements.js";
import { filterChips } from "./filter_chips.js";
import { here } from "./here.js";
import { pictureGrid } from "./picture_grid.js";
import { count, number, problem } from "./words.js";

/** Divides into full rows of 2 to 6. */
const PAGE = 60;

/**
 * `onFilter(text)` is called when somebody filters; `onMore(image)`, `onRemove(images)` and `onEdit(image)` are the cards'
 * buttons.
 */
export function browse({ onFilter, ...buttons }) {
  const grid = pictureGrid(byId("browse-gallery"), buttons);
  const chips = filterChips(byId("browse-chips"), { onFilter: () => onFilter(chips.get()), json: false });
  const more = byId("browse-more");
  const field = byId("filter");
  let shown = null; // {requests, filter, total}: what the cards are of; total, how many match, null before it is known
  let cursor = null;
  let running = null;

  async function load(first) {
    running?.abort();
    const mine = new AbortController();
    running = mine;
    const { requests, filter } = shown;
    byId("browse").setAttribute("aria-busy", "true");
    more.disabled = true;
    try {
      const answer = await requests.images({ cursor: first ? null : cursor, filter, limit: PAGE }, mine.signal);
      if (running !== mine) return;
      if (first) grid.clear();
      if (first && filter === "") chips.offer(answer.images);
      cursor = answer.cursor;
      shown.total = answer.count;
      grid.append(
        answer.images.map((image) => ({
          ...image,
          thumbnail: here(image.thumbnail),
          metadata: image.metadata ?? null,
        })),
      );
      complain("", "");
      more.textContent = "More pictures";
    } catch (error) {
      if (running !== mine) return;
      if (first) grid.clear();
      failed(error, first);
    }
    running = null;
    more.disabled = false;
    byId("browse").setAttribute("aria-busy", "false");
    showCount();
    watchForMore();
  }

  // A filter that isn't understood is the filter's trouble, and said beside it.
  function failed(error, first) {
    const ofFilter = shown.filter !== "" && error instanceof Refusal && [400, 422].includes(error.status);
    complain(ofFilter ? problem(error) : "", ofFilter ? "" : problem(error));
    if (first) shown.total = null;
    more.textContent = "Try again";
  }

  function complain(ofFilter, other) {
    say(byId("filter-problem"), ofFilter);
    say(byId("browse-problem"), other);
    field.setAttribute("aria-invalid", String(ofFilter !== ""));
  }

  function showCount() {
    const { total, filter } = shown;
    const failedFirst = total === null;
    const size = grid.size();
    more.hidden = failedFirst ? byId("browse-problem").hidden : cursor === null;
    if (failedFirst) {
      byId("browse-count").textContent = "";
    } else if (total === 0) {
      byId("browse-count").textContent = filter === "" ? "No pictures yet" : "No picture matches";
    } else {
      const matching = filter === "" ? "" : total === 1 ? " matches" : " match";
      const part = size < total ? `, the first ${number(size)} shown` : "";
      byId("browse-count").textContent = `${count(total, "picture")}${matching}${part}`;
    }
  }

  // The next page is fetched shortly before its place comes into view; after a failure, only for a press.
  const nearView = new IntersectionObserver(
    (changes) => {
      if (changes.at(-1).isIntersecting && running === null && byId("browse-problem").hidden) load(false);
    },
    { rootMargin: "600px" },
  );

  // Anew each time: the observer only speaks of changes, and a short page may leave the button in view.
  function watchForMore() {
    nearView.unobserve(more);
    if (!more.hidden) nearView.observe(more);
  }

  more.addEventListener("click", () => load(cursor === null));
  byId("filter-form").addEventListener("submit", (event) => {
    event.preventDefault();
    onFilter(field.value.trim());
  });
  byId("filter-clear").addEventListener("click", () => {
    field.value = "";
    field.focus();
    onFilter("");
  });

  return {
    /** Show them; what is shown already stays as it is, unless `anew`. */
    show(requests, filter, { anew = false } = {}) {
      byId("filter-clear").hidden = filter === "";
      if (!anew && shown?.requests === requests && shown.filter === filter) return;
      if (shown?.requests !== requests || shown.filter !== filter) {
        field.value = filter;
        if (shown?.requests !== requests) chips.offer([]);
        chips.set(filter);
        grid.clear();
        complain("", "");
        byId("browse-count").textContent = "";
        more.hidden = true;
      }
      shown = { requests, filter, total: null };
      cursor = null;
      load(true);
    },
    /** Take pictures out that are no longer there; a function that puts them back. */
    take(urls) {
      const before = grid.size();
      const putBack = grid.take(urls);
      change(grid.size() - before);
      return () => {
        const without = grid.size();
        putBack();
        change(grid.size() - without);
      };
    },
    selectNone: grid.selectNone,
  };

  function change(by) {
    if (by === 0 || shown.total === null) return;
    shown.total += by;
    showCount();
  }
}
