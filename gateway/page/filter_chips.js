// A filter by metadata as chips: "season: winter ×". Which there are to choose from is read off pictures; any other filter
// is written as JSON.

import { element, say } from "./elements.js";

/** At most so many fields are offered, so many values of each, and those that are no longer than a line. */
const FIELDS = 8;
const VALUES = 20;
const LETTERS = 60;

/** Chips in `box`; `onFilter()` is called when somebody has changed the filter. Without `json`, that is written elsewhere. */
export function filterChips(box, { onFilter, json: withJson = true }) {
  let text = "";
  const add = element("select", { "aria-label": "Add a filter" });
  const list = element("ul", { class: "chips", "aria-label": "Filters" });
  const json = element("input", { type: "text", class: "code", "aria-label": "Filter in JSON", spellcheck: "false" });
  const complaint = element("p", { class: "problem", role: "alert", hidden: true });
  const use = element("button", { type: "button", onclick: written }, "Use");
  const advanced = element(
    "details",
    { class: "advanced" },
    element("summary", {}, "Advanced"),
    element("div", { class: "joined" }, json, use),
    complaint,
  );
  box.replaceChildren(element("div", { class: "row" }, add, list), ...(withJson ? [advanced] : []));
  offer([]);

  function offer(images) {
    const groups = facets(images).map(({ field, values }) =>
      element(
        "optgroup",
        { label: field },
        ...values.map((value) => element("option", { value: JSON.stringify([field, value]) }, `${field}: ${value}`)),
      ),
    );
    add.replaceChildren(element("option", { value: "" }, "Filter…"), ...groups);
    add.hidden = groups.length === 0;
  }

  function show() {
    const chosen = Object.entries(equalities(text) ?? {});
    list.replaceChildren(
      ...chosen.map(([field, value]) => {
        const words = `${field}: ${value}`;
        const press = () => [change(field), add.focus()]; // the pressed chip is gone
        const remove = { type: "button", class: "chip", "aria-label": `Remove ${words}`, onclick: press };
        return element("li", {}, element("button", remove, words, element("span", { "aria-hidden": "true" }, " ×")));
      }),
    );
    json.value = text;
    say(complaint, "");
    advanced.open ||= text !== "" && equalities(text) === null;
  }

  function set(filter) {
    text = filter;
    show();
  }

  // `field` gets another value, or none.
  function change(field, value) {
    const { [field]: _before, ...others } = equalities(text) ?? {};
    const now = value === undefined ? others : { ...others, [field]: value };
    set(Object.keys(now).length === 0 ? "" : JSON.stringify(now));
    onFilter();
  }

  function written() {
    const given = json.value.trim();
    if (given !== "" && objectIn(given) === null) {
      say(complaint, 'This is no JSON. A filter looks like {"season": "winter", "price": {"$lt": 50}}.');
      return;
    }
    set(given);
    onFilter();
  }

  add.addEventListener("change", () => {
    if (add.value === "") return;
    const [field, value] = JSON.parse(add.value);
    add.value = "";
    change(field, value);
  });
  json.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    written();
  });

  return { get: () => text, set, offer };
}

/** The fields of a filter that only says which values fields have; null for any other filter, {} for none. */
export function equalities(text) {
  if (text === "") return {};
  const filter = objectIn(text);
  if (filter === null) return null;
  const plain = (value) => ["string", "number", "boolean"].includes(typeof value);
  return Object.entries(filter).every(([field, value]) => !field.startsWith("$") && plain(value)) ? filter : null;
}

// The object of JSON in a text, which may be anything from a link; null for none.
function objectIn(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

/**
 * The fields that may be filtered by, with their values, the most frequent first: facets([{metadata: {season: "winter"}}])
 * → [{field: "season", values: ["winter"]}]. A field of more than VALUES values tells nothing, and is left
 * out, as is one whose name a filter writes otherwise.
 */
export function facets(images) {
  const counts = new Map(); // field → value → number
  for (const { metadata } of images) {
    for (const [field, value] of Object.entries(metadata ?? {})) {
      if (!["string", "number", "boolean"].includes(typeof value) || /^\$|\\/.test(field)) continue;
      if (`${field}${value}`.length > LETTERS) continue;
      const values = counts.get(field) ?? new Map();
      counts.set(field, values.set(value, (values.get(value) ?? 0) + 1));
    }
  }
  return [...counts]
    .filter(([, values]) => values.size <= VALUES)
    .slice(0, FIELDS)
    .map(([field, values]) => ({
      field,
      values: [...values].sort(([, one], [, other]) => other - one).map(([value]) => value),
    }));
}
