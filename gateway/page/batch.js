// The same for many pictures, a few at a time.

import { Refusal } from "./api.js";

const AT_ONCE = 4;

/**
 * Do `work(item)` for all `items`; `onDone(done, failures)` is called after each. Resolves with the failures,
 * [{item, error}] in the order of the items. Once `signal` is aborted nothing more is begun; what has begun comes to
 * its end. Where the key is refused, nothing else would be allowed either: all that is left fails with it.
 */
export async function batch(items, work, { signal, onDone }) {
  const failures = new Map(); // item → error
  const left = [...items];
  let done = 0;
  let barred = null;

  async function one() {
    while (left.length > 0 && !signal.aborted) {
      const item = left.shift();
      try {
        if (barred !== null) throw barred;
        await work(item);
        done += 1;
      } catch (error) {
        if (error instanceof Refusal && (error.status === 401 || error.status === 403)) barred = error;
        failures.set(item, error);
      }
      onDone(done, failures.size);
    }
  }

  await Promise.all(Array.from({ length: AT_ONCE }, one));
  return items.filter((item) => failures.has(item)).map((item) => ({ item, error: failures.get(item) }));
}
