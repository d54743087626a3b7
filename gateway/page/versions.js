// The table of index versions, and what can be done with each.

import { confirmed } from "./dialogs.js";
import { byId, element, say } from "./elements.js";
import { skippedFiles } from "./skipped.js";
import { bytes, count, date, number, problem, sentence, short } from "./words.js";

/** `onLoad(names)` is called with the names of all versions whenever they have been read. */
export function versionTable(admin, { onLoad }) {
  const table = byId("versions");
  const skipped = skippedFiles(admin);
  const notes = new Map(); // version → {text, bad}: what the last action on it had to say
  let listed = { versions: [], damaged: [] };

  async function load() {
    try {
      listed = await admin.json("api/versions");
      say(byId("versions-problem"), "");
      render();
      onLoad([...listed.versions, ...listed.damaged].map(({ version }) => version));
    } catch (error) {
      say(byId("versions-problem"), problem(error));
    }
  }

  function render() {
    const { versions, damaged } = listed;
    table.tBodies[0].replaceChildren(...versions.map(row), ...damaged.map(damagedRow));
    const none = versions.length + damaged.length === 0;
    table.hidden = none;
    byId("no-versions").hidden = !none;
  }

  function row(entry) {
    const { version, current, model } = entry;
    const files = number(entry.skipped);
    const seeSkipped = () => skipped.open(version);
    const sha256 = element("span", { class: "soft mono" }, ` ${short(model.sha256)}`);
    return element(
      "tr",
      { dataset: { version }, class: current ? "current" : null },
      named(version, current ? element("span", { class: "badge" }, "current") : null),
      cell("Created", element("time", { datetime: entry.created, title: entry.created }, date(entry.created))),
      cell("Images", number(entry.count), "number"),
      cell(
        "Skipped",
        entry.skipped === 0 ? files : action(files, `Files skipped by ${version}: ${files}`, seeSkipped, "plain"),
        "number",
      ),
      cell("Model", element("span", { class: "breaking" }, model.name, sha256)),
      cell("Mode", entry.mode),
      cell("Size", bytes(entry.bytes), "number"),
      element(
        "td",
        { class: "actions" },
        current ? null : action("Promote", `Promote ${version}`, () => promote(version)),
        action("Verify", `Verify ${version}`, () => verify(version)),
        current ? null : action("Delete", `Delete ${version}`, () => remove(version), "danger"),
      ),
    );
  }

  function damagedRow({ version, message }) {
    return element(
      "tr",
      { dataset: { version }, class: "damaged" },
      named(version, element("span", { class: "badge bad" }, "damaged")),
      element("td", { colspan: 6, class: "breaking" }, sentence(message)),
      element("td", { class: "actions" }, action("Delete", `Delete ${version}`, () => remove(version), "danger")),
    );
  }

  function named(version, badge) {
    const note = notes.get(version);
    return element(
      "th",
      { scope: "row" },
      element("span", { class: "version-name breaking" }, version),
      badge === null ? null : " ",
      badge,
      note ? element("p", { class: note.bad ? "note problem" : "note" }, note.text) : null,
    );
  }

  async function promote(version) {
    await act(version, "Promoting…", async () => {
      const result = await admin.json(`api/versions/${encodeURIComponent(version)}/promote`, { method: "POST" });
      await load();
      const before = result.previous_index_database_version;
      return { text: before ? `Served now, before: ${before}.` : "Served now." };
    });
  }

  async function verify(version) {
    await act(version, "Verifying every file…", async () => {
      const result = await admin.json(`api/versions/${encodeURIComponent(version)}/verify`, { method: "POST" });
      if (!result.whole) return { text: sentence(result.message), bad: true };
      return { text: `Whole: ${count(result.files, "file")} checked.` };
    });
  }

  async function remove(version) {
    const warning = "Its files are removed from the disk. This can't be undone.";
    if (!(await confirmed(`Delete version ${version}?`, warning, "Delete"))) return;
    await act(version, "Deleting…", async () => {
      await admin.json(`api/versions/${encodeURIComponent(version)}`, { method: "DELETE" });
      await load();
      byId("versions-status").textContent = `Version ${version} is deleted.`;
      byId("versions-title").focus();
      return null;
    });
  }

  // What an action has to say stands in the version's row, and nothing of the row can be pressed meanwhile.
  async function act(version, doing, action) {
    const pressed = document.activeElement?.getAttribute("aria-label");
    notes.clear();
    notes.set(version, { text: doing });
    render();
    for (const button of rowOf(version)?.querySelectorAll("button") ?? []) button.disabled = true;
    let note;
    try {
      note = await action();
    } catch (error) {
      note = { text: problem(error), bad: true };
    }
    notes.delete(version);
    if (note !== null) notes.set(version, note);
    render();
    if (note === null) return;
    byId("versions-status").textContent = `${version}: ${note.text}`;
    refocus(version, pressed);
  }

  function rowOf(version) {
    return [...table.tBodies[0].rows].find((each) => each.dataset.version === version);
  }

  // The row was drawn anew, and the focus went with the old one.
  function refocus(version, label) {
    if (document.activeElement !== document.body) return;
    const buttons = [...(rowOf(version)?.querySelectorAll("button") ?? [])];
    const same = buttons.find((button) => button.getAttribute("aria-label") === label);
    (same ?? buttons[0] ?? byId("versions-title")).focus();
  }

  return { load };
}

function cell(label, content, kind = null) {
  return element("td", { class: kind, dataset: { label } }, content);
}

function action(words, name, press, kind = null) {
  return element("button", { type: "button", class: kind, "aria-label": name, onclick: press }, words);
}
