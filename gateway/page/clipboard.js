// Copying a text, and saying so on the button that was pressed.

const THANKS_MS = 2000;

/** Copy `text`; whether the browser let us: only pages from https and from this machine may write to the clipboard. */
export async function copyText(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    return false;
  }
  const words = button.dataset.words ?? button.textContent;
  button.dataset.words = words;
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = words), THANKS_MS);
  return true;
}
