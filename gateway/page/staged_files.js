// Files that are about to be added: each with its small picture and the name that it gets, which can be changed, until
// somebody adds them all.

import { element } from "./elements.js";

/** The files listed in `list`; `onChange(number)` is called whenever there are more or fewer. */
export function stagedFiles(list, { onChange }) {
  const staged = []; // {file, field, row, address}

  function add(files) {
    for (const file of files) {
      const address = URL.createObjectURL(file);
      const name = unused(file.name || "pasted picture.png");
      const field = element("input", { type: "text", "aria-label": "Name", maxlength: 4096, value: name, spellcheck: "false" });
      const leave = element("button", { type: "button", class: "plain", "aria-label": `Leave out ${name}` }, "✕");
      const row = element("li", { class: "staged" }, element("img", { src: address, alt: "" }), field, leave);
      const entry = { file, field, row, address };
      leave.addEventListener("click", () => {
        drop(entry);
        onChange(staged.length);
        (list.querySelector("input") ?? list).focus();
      });
      staged.push(entry);
      list.append(row);
    }
    onChange(staged.length);
  }

  function drop(entry) {
    staged.splice(staged.indexOf(entry), 1);
    entry.row.remove();
    URL.revokeObjectURL(entry.address);
  }

  // Two files of one name are two pictures.
  function unused(name) {
    const taken = new Set(staged.map(({ field }) => field.value));
    let free = name;
    for (let number = 2; taken.has(free); number += 1) free = `${name} (${number})`;
    return free;
  }

  return {
    add,
    count: () => staged.length,
    /** All of them, [{file, name}]; none is left. */
    take() {
      const taken = staged.map(({ file, field }) => ({ file, name: field.value.trim() || file.name }));
      for (const entry of [...staged]) drop(entry);
      onChange(0);
      return taken;
    },
  };
}
