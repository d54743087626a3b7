// Pictures leave a collection: one at once where that can be undone, else only after asking. Whatever the server can
// have again by its name comes back with its metadata when that is undone.

import { activity } from "./activities.js";
import { batch } from "./batch.js";
import { confirmed } from "./dialogs.js";
import { count } from "./words.js";

/**
 * Remove `images`, [{url, metadata}]. `onGone(urls)` is called when some have left, and returns a function that brings
 * them back into view; `onBack()` when pictures have been added again.
 */
export async function remove(requests, images, { onGone, onBack }) {
  const [first] = images;
  if (images.length === 1 && requests.canFetch(first.url)) await removeOne(requests, first, { onGone, onBack });
  else if (await asked(requests, images)) await removeAll(requests, images, { onGone, onBack });
}

function asked(requests, images) {
  const lost = images.filter(({ url }) => !requests.canFetch(url)).length;
  if (images.length === 1) {
    const warning = `${images[0].url} can't be fetched from anywhere: only somebody who has the file can add it again.`;
    return confirmed("Remove this picture?", warning, "Remove");
  }
  const warning =
    lost === 0
      ? "This can be undone: all of them can be fetched again."
      : `${lost} of them can't be fetched from anywhere: only somebody who has the files can add them again.`;
  return confirmed(`Remove ${count(images.length, "picture")}?`, warning, "Remove", "Keep them");
}

async function removeOne(requests, image, { onGone, onBack }) {
  const { url } = image;
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
      await requests.add(url, image.metadata ?? undefined);
    } catch (error) {
      again.failed(`${url} can't be added again.`, error);
      return;
    }
    putBack();
    onBack();
    again.ended(`${url} is there again.`);
  }
}

async function removeAll(requests, images, { onGone, onBack }) {
  const gone = [];
  const work = async (image) => {
    await requests.remove(image.url);
    gone.push(image);
  };
  const { card, failures } = await eachOf(images, "Removing pictures", work);
  const putBack = onGone(gone.map(({ url }) => url));
  const fetched = gone.filter(({ url }) => requests.canFetch(url));
  const still = images.length - gone.length;
  card.ended(`${count(gone.length, "picture")} removed${still === 0 ? "" : `, ${still} still there`}.`, {
    failures,
    actions: fetched.length === 0 ? [] : [["Undo", undo]],
  });

  async function undo() {
    let back = 0;
    const add = async ({ url, metadata }) => {
      await requests.add(url, metadata ?? undefined);
      back += 1;
    };
    const { card: again, failures: lost } = await eachOf(fetched, "Adding pictures again", add);
    if (back === gone.length) putBack(); // else what is in view would be more than there is
    onBack();
    again.ended(`${count(back, "picture")} added again.`, { failures: lost });
  }
}

// `work` for each of `images`, on a card that can end it early; the card, and what failed.
async function eachOf(images, doing, work) {
  const stopping = new AbortController();
  const card = activity();
  const goesOn = (done, failed) => card.goesOn(doing, done + failed, images.length, () => stopping.abort());
  goesOn(0, 0);
  const failures = await batch(images, work, { signal: stopping.signal, onDone: goesOn });
  return { card, failures: failures.map(({ item, error }) => ({ name: item.url, error })) };
}
