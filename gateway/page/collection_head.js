// The chosen collection: its figures, and what is done with it as a whole.

import { activity } from "./activities.js";
import { confirmed } from "./dialogs.js";
import { byId, element } from "./elements.js";
import { bytes, count, date, number, short } from "./words.js";

/** `onFolded()` and `onDeleted(name)` are called when that has happened. */
export function collectionHead({ onFolded, onDeleted }) {
  const fold = byId("collection-fold");
  const drop = byId("collection-delete");
  let shown = null; // {info, requests}

  fold.addEventListener("click", async () => {
    const { info, requests } = shown;
    const card = activity();
    card.goesOn(`Folding the journal of ${info.name}`, 0, 1, null);
    fold.disabled = true;
    try {
      const { version, folded } = await requests.fold();
      card.ended(`${count(folded, "change")} of ${info.name} folded into version ${version}.`);
    } catch (error) {
      card.failed(`The journal of ${info.name} is not folded.`, error);
    }
    onFolded();
  });

  drop.addEventListener("click", async () => {
    const { info, requests } = shown;
    const { name } = info;
    const what = `${info.count === 1 ? "Its 1 picture is" : `Its ${count(info.count, "picture")} are`} removed from it`;
    const warning = `${what}, with all metadata, and its files from the disk. This can't be undone.`;
    if (!(await confirmed(`Delete collection ${name}?`, warning, "Delete"))) return;
    const card = activity();
    card.goesOn(`Deleting ${name}`, 0, 1, null);
    try {
      await requests.delete();
      card.ended(`Collection ${name} is deleted.`);
      onDeleted(name);
    } catch (error) {
      card.failed(`Collection ${name} is still there.`, error);
    }
  });

  return {
    show(info, requests) {
      shown = { info, requests };
      const { name, aliases = [], model, journal, engine } = info;
      byId("collection-name").textContent = name;
      byId("collection-facts").replaceChildren(
        ...fact("Pictures", number(info.count)),
        ...fact("Model", model.name, codes(model), element("span", { class: "mono" }, short(model.sha256))),
        ...(engine ? keptBy(engine) : kept(info)),
        ...(aliases.length > 0 ? fact("Also called", aliases.join(", ")) : []),
      );
      fold.hidden = !journal;
      fold.disabled = !journal?.changes;
      fold.title = fold.disabled ? "The journal holds nothing to fold" : "Write the journal into a new version";
      drop.hidden = name === "default";
    },
  };
}

function kept({ journal, version, versions: names, bytes: size, created }) {
  return [
    ...fact("Journal", count(journal.changes, "change"), bytes(journal.bytes)),
    ...fact("Version", version ?? "none", versions(names)),
    ...fact("Size", bytes(size), created === null ? "" : `created ${date(created)}`),
  ];
}

function keptBy({ name, address, place, made, index }) {
  const searched = index === null ? "exact" : `${index.kind}, finds ${(100 * index.recall).toFixed(1)}% of the nearest`;
  return [
    ...fact("Engine", name, address),
    ...fact("Table", place, made ? "" : "adopted, never deleted"),
    ...fact("Search", searched),
  ];
}

function codes({ bits, detail_bits: detail }) {
  return detail ? `${bits} bits, ${detail} of detail` : `${bits} bits`;
}

function versions(names) {
  return names.length > 1 ? `${number(names.length)} kept` : "";
}

function fact(name, ...parts) {
  const [first, ...rest] = parts.filter((part) => part !== "");
  const value = element("dd", {}, element("strong", { class: "breaking" }, first));
  for (const part of rest) value.append(element("span", { class: "soft breaking" }, part));
  return [element("div", {}, element("dt", {}, name), value)];
}
