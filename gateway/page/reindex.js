// The form that asks for a new version.

import { byId, say } from "./elements.js";
import { problem } from "./words.js";

/** `onStarted(job)` is called with the job that was begun, `onRefused()` when the server didn't begin one. */
export function reindexForm(admin, { onStarted, onRefused }) {
  const form = byId("reindex-form");
  const name = byId("new-version");
  const model = byId("reindex-model");
  const source = byId("reindex-source");
  let suggested = "";

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const submit = form.querySelector("button[type=submit]");
    submit.disabled = true;
    say(byId("reindex-problem"), "");
    const json = { new_index_database_version: name.value.trim(), mode: byId("reindex-mode").value };
    if (model.value !== "") json.model_path = model.value;
    if (source.value.trim() !== "") json.source = source.value.trim();
    try {
      const job = await admin.json("api/reindex", { method: "POST", headers: { Prefer: "respond-async" }, json });
      onStarted(job);
    } catch (error) {
      say(byId("reindex-problem"), problem(error));
      onRefused();
    } finally {
      submit.disabled = false;
    }
  });

  return {
    /** Suggest a name that none of `taken` has, unless somebody has typed another or is about to. */
    suggest(taken) {
      if (name.value !== suggested || name === document.activeElement) return;
      suggested = suggestion(taken, new Date());
      name.value = suggested;
    },
    /** Offer `models`; the current one is chosen until somebody chooses another. */
    offer(models) {
      const chosen = model.value;
      model.replaceChildren(
        ...models.map(({ model_path: path, current }) => {
          const selected = chosen === "" ? current : path === chosen;
          return new Option(current ? `${path} (current)` : path, path, current, selected);
        }),
      );
    },
    /** While a job runs, none can be asked for. */
    show(visible) {
      form.hidden = !visible;
      byId("reindex-hint").hidden = !visible;
    },
  };
}

/** suggestion(["2026.11.21-1"], 21 November 2026) → "2026.11.21-2". */
export function suggestion(taken, day) {
  const two = (value) => String(value).padStart(2, "0");
  const today = `${day.getFullYear()}.${two(day.getMonth() + 1)}.${two(day.getDate())}`;
  let place = 1;
  while (taken.includes(`${today}-${place}`)) place += 1;
  return `${today}-${place}`;
}
