// The models that there are, each with its card.

import { byId, element, say } from "./elements.js";
import { bytes, number, problem, short } from "./words.js";

// The most classes that a model's entry lists; the whole card has all.
const LISTED = 40;

/** `onLoad(models)` is called whenever they have been read. */
export function modelList(admin, { onLoad }) {
  async function load() {
    try {
      const { models } = await admin.json("api/models");
      say(byId("models-problem"), "");
      byId("models").replaceChildren(...models.map(item));
      byId("no-models").hidden = models.length > 0;
      onLoad(models);
    } catch (error) {
      say(byId("models-problem"), problem(error));
    }
  }
  return { load };
}

function item({ model_path, bytes: size, sha256, card, current, served }) {
  return element(
    "li",
    { class: "model" },
    element(
      "h3",
      { class: "breaking" },
      card?.name ?? model_path,
      current ? " " : null,
      current ? element("span", { class: "badge" }, "current") : null,
    ),
    element(
      "p",
      { class: "soft" },
      element("span", { class: "breaking" }, model_path),
      ` · ${bytes(size)} · `,
      element("span", { class: "mono", title: sha256 }, short(sha256)),
    ),
    served ? element("p", { class: "soft" }, inMemory(served)) : null,
    card === null ? element("p", {}, "It comes without a card.") : facts(card),
    card === null ? null : element("details", {}, element("summary", {}, "The whole card"), tree(card)),
  );
}

function inMemory({ workers, memory_bytes: taken }) {
  return workers === 1 ? `Loaded: ${bytes(taken)} of memory.` : `Loaded by ${number(workers)} workers: ${bytes(taken)} of memory.`;
}

function facts(card) {
  const list = [["Codes", `${card.bits} bits`]];
  if (card.detail_bits) list.push(["Detail codes", `${card.detail_bits} bits`]);
  const side = card.preprocessing?.image_size;
  if (side) list.push(["Input", `${side} × ${side} pixels`]);
  if (card.classes?.length) list.push(["Classes", some(card.classes)]);
  return definitions(list);
}

/** The first of many names, and how many more there are. */
function some(names) {
  const more = names.length - LISTED;
  return more > 0 ? `${names.slice(0, LISTED).join(", ")} and ${number(more)} more` : names.join(", ");
}

/** Any JSON as nested definition lists. */
function tree(value) {
  if (value === null) return "none";
  if (typeof value === "number") return number(value);
  if (typeof value !== "object") return String(value);
  if (Array.isArray(value) && value.every((each) => typeof each !== "object")) return value.join(", ") || "none";
  return definitions(Object.entries(value).map(([name, each]) => [name.replaceAll("_", " "), tree(each)]));
}

function definitions(pairs) {
  const lines = pairs.flatMap(([name, content]) => [
    element("dt", {}, name),
    element("dd", { class: "breaking" }, content),
  ]);
  return element("dl", {}, ...lines);
}
