// The files that an index version left out, page by page.

import { closeOnBackdrop, shown } from "./dialogs.js";
import { byId, element, say } from "./elements.js";
import { number, problem, sentence } from "./words.js";

const PAGE = 100;

const dialog = byId("skipped");
closeOnBackdrop(dialog);

/** `open(version)` shows them until the dialog is closed. */
export function skippedFiles(admin) {
  let version = "";
  let offset = 0;

  async function load(from) {
    const asked = version;
    try {
      const address = `api/versions/${encodeURIComponent(asked)}/skipped?offset=${from}&limit=${PAGE}`;
      const { total, skipped } = await admin.json(address);
      if (asked !== version) return; // closed, and opened for another version, meanwhile
      offset = from;
      show(total, skipped);
    } catch (error) {
      if (asked === version) say(byId("skipped-problem"), problem(error));
    }
  }

  function show(total, files) {
    say(byId("skipped-problem"), "");
    byId("skipped-rows").replaceChildren(
      ...files.map(({ path, reason }) => {
        const why = element("td", { class: "breaking" }, sentence(reason));
        return element("tr", {}, element("td", { class: "mono breaking" }, path), why);
      }),
    );
    byId("skipped-range").textContent =
      total === 0 ? "None" : `${number(offset + 1)}–${number(offset + files.length)} of ${number(total)}`;
    byId("skipped-before").disabled = offset === 0;
    byId("skipped-after").disabled = offset + files.length >= total;
    dialog.scrollTop = 0;
  }

  byId("skipped-before").addEventListener("click", () => load(Math.max(0, offset - PAGE)));
  byId("skipped-after").addEventListener("click", () => load(offset + PAGE));

  return {
    open(name) {
      version = name;
      byId("skipped-title").textContent = `Skipped by version ${name}`;
      byId("skipped-rows").replaceChildren();
      byId("skipped-range").textContent = "";
      byId("skipped-before").disabled = true;
      byId("skipped-after").disabled = true;
      say(byId("skipped-problem"), "");
      load(0);
      return shown(dialog);
    },
  };
}
