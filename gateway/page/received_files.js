// Files that come by drop or by paste: they are for the page that is in view, wherever on it they are dropped.

const receivers = []; // {panel, zone, onFiles}

/** While `panel` is in view, `onFiles(files)` is called with what is brought; `zone` shows that it may be dropped. */
export function receiveFiles(panel, zone, onFiles) {
  receivers.push({ panel, zone, onFiles });
}

function receiver() {
  if (document.querySelector("dialog[open]") !== null) return undefined;
  return receivers.find(({ panel }) => !panel.hidden);
}

function showDropping(open) {
  for (const each of receivers) each.zone.classList.toggle("dropping", each === open);
}

document.addEventListener("paste", (event) => {
  const open = receiver();
  if (open === undefined || event.clipboardData.files.length === 0) return;
  event.preventDefault();
  open.onFiles([...event.clipboardData.files]);
});

document.addEventListener("dragover", (event) => {
  if (!event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  const open = receiver();
  event.dataTransfer.dropEffect = open === undefined ? "none" : "copy";
  showDropping(open);
});

document.addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) showDropping(undefined);
});

document.addEventListener("drop", (event) => {
  showDropping(undefined);
  if (event.dataTransfer.files.length === 0) return;
  event.preventDefault(); // else the browser leaves the page to show the file
  receiver()?.onFiles([...event.dataTransfer.files]);
});
