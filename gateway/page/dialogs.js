// Modal dialogs. The browser keeps the focus inside and gives it back at the end; Escape closes.

import { byId } from "./elements.js";

const settled = new WeakMap(); // dialog → what to do when it has been closed

/** Open `dialog` and wait until it is closed; its return value, "" after Escape. */
export function shown(dialog) {
  // The event of the last closing may still be on its way: it must not count for this showing.
  settled.get(dialog)?.();
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    const onClose = () => {
      if (!dialog.open) settled.get(dialog)();
    };
    dialog.addEventListener("close", onClose);
    settled.set(dialog, () => {
      dialog.removeEventListener("close", onClose);
      settled.delete(dialog);
      resolve(dialog.returnValue);
    });
  });
}

/** Ask before something that cannot be undone; true if it is wanted. */
export async function confirmed(title, text, action, otherwise = "Keep it") {
  byId("confirm-title").textContent = title;
  byId("confirm-text").textContent = text;
  byId("confirm-yes").textContent = action;
  byId("confirm-no").textContent = otherwise;
  return (await shown(byId("confirm"))) === "yes";
}

/** A click on the dimmed page around a dialog closes it. */
export function closeOnBackdrop(dialog) {
  dialog.addEventListener("click", (event) => {
    const box = dialog.getBoundingClientRect();
    const beside = event.clientX < box.left || event.clientX > box.right;
    const aboveOrBelow = event.clientY < box.top || event.clientY > box.bottom;
    if (event.target === dialog && (beside || aboveOrBelow)) dialog.close();
  });
}
