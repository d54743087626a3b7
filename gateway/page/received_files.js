// Files, and addresses of pictures, that come by drop or by paste: they are for the page that is in view, wherever on it
// they are dropped.

const receivers = []; // {panel, zone, onFiles, onAddress}

/**
 * While `panel` is in view, `onFiles(files)` is called with what is brought, and `onAddress(address)` with a dropped or
 * pasted http(s) address; `zone` shows that it may be dropped.
 */
export function receiveFiles(panel, zone, onFiles, onAddress) {
  receivers.push({ panel, zone, onFiles, onAddress });
}

/** The one address that `text` is, or null: "https://shop.example/a.jpg". */
export function addressIn(text) {
  const trimmed = text.trim();
  return /^https?:\/\/\S+$/i.test(trimmed) ? trimmed : null;
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
  if (open === undefined) return;
  const address = addressIn(event.clipboardData.getData("text/plain"));
  const typing = event.target.closest?.("input, textarea") ?? null;
  if (event.clipboardData.files.length > 0) open.onFiles([...event.clipboardData.files]);
  else if (address !== null && typing === null) open.onAddress(address);
  else return;
  event.preventDefault();
});

document.addEventListener("dragover", (event) => {
  if (!["Files", "text/uri-list"].some((type) => event.dataTransfer.types.includes(type))) return;
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
  const { files } = event.dataTransfer;
  const address = addressIn(event.dataTransfer.getData("text/uri-list").split(/\r?\n/).find((line) => !line.startsWith("#")) ?? "");
  if (files.length === 0 && address === null) return;
  event.preventDefault(); // else the browser leaves the page to show the file
  if (files.length > 0) receiver()?.onFiles([...files]);
  else receiver()?.onAddress(address);
});
