// The slider that hides what is too far away, at once and without asking the server again, over a drawing of how many
// answers lie at which distance. It moves from the nearest answer to the farthest.

import { byId, element } from "./elements.js";
import { cosineText, count } from "./words.js";

// What the slider counts: bits, or hundredths of 1 − cosine.
const BITS = { step: 1, says: (most) => count(most, "bit") };
const COSINES = { step: 0.01, says: (most) => cosineText(1 - most / 100) };

/** Of a step: what is only so much farther counts as no farther. */
const ROUNDING = 1e-6;

/** At most so many bars. */
const BARS = 32;

/**
 * The slider over the cards of `gallery` (gallery.js); `offer(results)` whenever it holds new ones. `onHidden(hidden)` is called with
 * the number of those that it hides.
 */
export function thresholdOver(gallery, { onHidden }) {
  const slider = byId("threshold");
  let scale = BITS;

  function apply() {
    const most = Number(slider.value);
    const hidden = gallery.hideFarther((most + ROUNDING) * scale.step);
    byId("threshold-says").textContent = `${scale.says(most)}, ${hidden === 0 ? "none" : hidden} hidden`;
    onHidden(hidden);
  }

  slider.addEventListener("input", apply);
  return {
    offer(results) {
      scale = results.some(({ cosine }) => cosine !== null) ? COSINES : BITS;
      const steps = results.map(({ distance }) => Math.ceil(distance / scale.step - ROUNDING));
      const [least, most] = steps.length === 0 ? [0, 0] : [Math.min(...steps), Math.max(...steps)];
      byId("threshold-part").hidden = least === most;
      slider.min = String(least);
      slider.max = String(most);
      slider.value = String(most);
      draw(byId("threshold-bars"), heights(steps, least, most));
      apply();
    },
  };
}

/** How many of `steps` fall into each of at most BARS equal parts from `least` to `most`: heights([1, 1, 3], 1, 3) → [2, 0, 1]. */
export function heights(steps, least, most) {
  const bars = Array.from({ length: Math.min(BARS, most - least + 1) }, () => 0);
  for (const step of steps) bars[Math.floor(((step - least) * bars.length) / (most - least + 1))] += 1;
  return bars;
}

function draw(box, bars) {
  const highest = Math.max(1, ...bars);
  box.replaceChildren(
    ...bars.map((height) => {
      const bar = element("i");
      bar.style.height = `${(100 * height) / highest}%`;
      return bar;
    }),
  );
}
