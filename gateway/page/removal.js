// Pictures leave a collection: at once where that can be undone, else only after asking.

import { activity } from "./activities.js";
import { batch } from "./batch.js";
import { confirmed } from "./dialogs.js";
import { isAddress } from "./picture_names.js";
import { count } from "./words.js";

/**
 * Remove `images`, [{url, metadata}]. `onGone(urls)` is called when some have left, and returns a function that brings
 * them back into view; `onBack()` when a picture has been added again.
 */
export async function remove(requests, images, { onGone, onBack }) {
  const [first] = images;
  if (images.length === 1 && isAddress(first.url)) await removeOne(requests, first, { onGone, onBack });
  else if (await asked(images)) await removeAll(requests, images, onGone);
}

function asked(images) {
  const uploads = images.filter(({ url }) => !isAddress(url)).length;
  if (images.length === 1) {
    const warning = `${images[0].url} can't be fetched from anywhere: only somebody who has the file can add it again.`;
    return confirmed("Remove this picture?", warning, "Remove");
  }
  const warning =
    uploads === 0
      ? "All of them can be added again by their addresses, with their metadata lost."
      : `${uploads} of them can't be fetched from anywhere: only somebody who has the files can add them again.`;
  return confirmed(`Remove ${count(images.length, "picture")}?`, warning, "Remove", "Keep them");
}

async function removeOne(requests, { url, metadata }, { onGone, onBack }) {
  const card = activity();
  card.goesOn(`Removing ${url}`, 0, 1, null);
  try {
    await requests.remove(url);
  } catch (error) {
    card.failed(`${url} is still there.`, error);
    return;
  }
  const putBack = onGone([url]);
  card.ended(`Removed ${url}.`, { actions: [["Undo", undo]] });

  async function undo() {
    const again = activity();
    again.goesOn(`Adding ${url} again`, 0, 1, null);
    try {
      await requests.add(url, metadata ?? undefined);
    } catch (error) {
      again.failed(`${url} can't be added again.`, error);
      return;
    }
    putBack();
    onBack();
    again.ended(`${url} is there again.`);
  }
}

async function removeAll(requests, images, onGone) {
  const stopping = new AbortController();
  const card = activity();
  const gone = [];
  const goesOn = (done, failed) =>
    card.goesOn("Removing pictures", done + failed, images.length, () => stopping.abort());
  goesOn(0, 0);
  const work = async ({ url }) => {
    await requests.remove(url);
    gone.push(url);
  };
  const failures = await batch(images, work, { signal: stopping.signal, onDone: goesOn });
  onGone(gone);
  card.ended(`${count(gone.length, "picture")} removed${stillThere(images.length - gone.length)}.`, {
    failures: failures.map(({ item, error }) => ({ name: item.url, error })),
  });
}

function stillThere(left) {
  return left === 0 ? "" : `, ${left} still there`;
}
