// The metadata of one picture, changed.

import { activity } from "./activities.js";
import { shown } from "./dialogs.js";
import { byId, say } from "./elements.js";

const dialog = byId("metadata-dialog");
const field = byId("metadata-field");

/** {value} of JSON text, undefined for none; {trouble}, words for people, where it is no object of JSON. */
export function metadataIn(text) {
  if (text.trim() === "") return { value: undefined };
  try {
    const value = JSON.parse(text);
    if (value !== null && typeof value === "object" && !Array.isArray(value)) return { value };
    return { trouble: 'Metadata are fields with values, such as {"season": "winter", "price": 40}.' };
  } catch (error) {
    return { trouble: `This is no JSON: ${error.message}.` };
  }
}

/** Ask for other metadata of `image`, {url, metadata}, and send them; `onChanged(metadata)` when that is done. */
export async function editMetadata(requests, image, onChanged) {
  const { url, metadata } = image;
  byId("metadata-of").textContent = url;
  field.value = metadata === null ? "" : JSON.stringify(metadata, null, 2);
  say(byId("metadata-problem"), "");
  if ((await shown(dialog)) !== "save") return;
  const { value } = metadataIn(field.value);
  const card = activity();
  card.goesOn(`Changing the metadata of ${url}`, 0, 1, null);
  try {
    await requests.add(url, value);
  } catch (error) {
    card.failed(`The metadata of ${url} are as they were.`, error);
    return;
  }
  card.ended(`The metadata of ${url} are changed.`);
  onChanged(value ?? null);
}

byId("metadata-form").addEventListener("submit", (event) => {
  const { trouble } = metadataIn(field.value);
  say(byId("metadata-problem"), trouble ?? "");
  if (trouble === undefined) return;
  event.preventDefault();
  field.focus();
});
byId("metadata-cancel").addEventListener("click", () => dialog.close());
