// What is going on with a collection, and what came of it: a card each at the lower edge, with its progress, with the
// ways to stop, undo or repeat it, and with what failed.

import { byId, element } from "./elements.js";
import { number, problem } from "./words.js";

/** An end that asks for nothing leaves by itself after so long, one that offers something later; failures stay. */
const LEAVES_MS = 6000;
const OFFERS_MS = 20_000;

/** A card of its own for something that begins; those that have come to an end make room for it. */
export function activity() {
  const list = byId("activities");
  for (const card of list.querySelectorAll("[data-ended]")) card.remove();

  const text = element("p", { class: "activity-text breaking" });
  const bar = element("progress", { "aria-label": "Progress", hidden: true });
  const buttons = element("div", { class: "row" });
  const pictures = element("div", { class: "activity-pictures", hidden: true });
  const failed = element("ul", { class: "failures", "aria-label": "What failed", hidden: true });
  const card = element(
    "li",
    { class: "activity" },
    element("div", { class: "activity-head" }, text, buttons),
    bar,
    pictures,
    failed,
  );
  list.append(card);

  function offer(actions) {
    buttons.replaceChildren(
      ...actions.map(([words, press]) => element("button", { type: "button", onclick: press }, words)),
    );
  }

  const dismiss = ["Close", () => card.remove()];

  function leaveAfter(milliseconds) {
    setTimeout(() => {
      if (card.matches(":hover, :focus-within")) leaveAfter(milliseconds);
      else card.remove();
    }, milliseconds);
  }

  return {
    /** `doing` is under way; `stop()` ends it early. */
    goesOn(doing, done, total, stop) {
      if (card.dataset.going === undefined) {
        card.dataset.going = "";
        byId("activity-status").textContent = doing;
        offer(stop === null ? [] : [["Cancel", stop]]);
      }
      text.textContent = total > 1 ? `${doing}: ${number(done)} of ${number(total)}` : doing;
      bar.hidden = false;
      bar.max = total;
      if (total > 1) bar.value = done;
    },

    /**
     * It has ended as `outcome` says. `failures` are [{name, error}], `actions` [words, function] for a button each:
     * pressing one closes the card.
     */
    ended(outcome, { failures = [], actions = [] } = {}) {
      card.dataset.ended = "";
      bar.hidden = true;
      text.textContent = outcome;
      byId("activity-status").textContent = outcome;
      const closing = actions.map(([words, press]) => [words, () => [card.remove(), press()]]);
      offer([...closing, dismiss]);
      failed.replaceChildren(...failures.map(failure));
      failed.hidden = failures.length === 0;
      failed.tabIndex = 0; // it scrolls where it is long
      if (failures.length === 0) leaveAfter(actions.length === 0 ? LEAVES_MS : OFFERS_MS);
    },

    /** A small picture of what is done already. */
    picture(made) {
      pictures.hidden = false;
      pictures.prepend(made);
    },

    /** The message of a single failure, instead of an outcome. */
    failed(what, error) {
      this.ended(what, { failures: [{ name: "", error }] });
    },
  };
}

function failure({ name, error }) {
  const reason = element("span", {}, problem(error));
  return element("li", { class: "failure" }, name ? element("strong", { class: "breaking", translate: "no" }, name) : null, " ", reason);
}
