// Where the time of a search went.

import { element } from "./elements.js";
import { milliseconds } from "./words.js";

const STEPS = { decode: "decode", hash: "hash", search: "search" };

/**
 * [name, label, milliseconds] of each step that the server took (a code needs no decoding), and what is left of
 * `elapsed`, the time from sending to having the answer.
 */
export function steps(measured, elapsed) {
  const known = Object.keys(STEPS)
    .filter((name) => measured[name] > 0)
    .map((name) => [name, STEPS[name], measured[name]]);
  const left = elapsed - known.reduce((sum, [, , time]) => sum + time, 0);
  return [...known, ["rest", "network & queue", Math.max(0, left)]];
}

/** Draw them: a bar of parts, and their names and figures. */
export function showTiming(bar, list, measured, elapsed) {
  const all = steps(measured, elapsed);
  bar.replaceChildren(
    ...all.map(([name, , time]) => {
      const part = element("i", { dataset: { step: name } });
      part.style.flexGrow = String(time);
      return part;
    }),
  );
  list.replaceChildren(
    ...all.map(([name, label, time]) => element("span", { dataset: { step: name } }, `${label} ${milliseconds(time)}`)),
    element("strong", {}, milliseconds(elapsed)),
  );
}
