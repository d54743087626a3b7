// The slider that hides what is too far away, at once and without asking the server again.

import { byId, say } from "./elements.js";
import { hideFarther } from "./gallery.js";
import { cosineText, count } from "./words.js";

// What the slider counts: bits, or hundredths of 1 − cosine.
const BITS = { distance: (most) => most, says: (most) => count(most, "bit"), beyond: "farther than" };
const COSINES = {
  distance: (most) => most / 100,
  says: (most) => cosineText(1 - most / 100),
  beyond: "below",
};

/** The slider over the cards of `gallery`; `offer(results, bits)` whenever it holds new ones, whose codes are so wide. */
export function thresholdOver(gallery) {
  const slider = byId("threshold");
  let scale = BITS;

  function apply() {
    const most = Number(slider.value);
    const hidden = hideFarther(gallery, scale.distance(most));
    const said = scale.says(most);
    byId("threshold-says").textContent = `${said}, ${hidden === 0 ? "none" : hidden} hidden`;
    const nothing = hidden > 0 && hidden === gallery.children.length;
    say(byId("nothing-left"), nothing ? `All ${hidden} are ${scale.beyond} ${said}: move the slider to see them.` : "");
  }

  slider.addEventListener("input", apply);
  return {
    offer(results, bits) {
      const cosines = results.some(({ cosine }) => cosine !== null);
      const most = cosines ? Math.max(1, Math.ceil(100 * results.at(-1).distance)) : bits;
      if (scale !== (cosines ? COSINES : BITS) || Number(slider.max) !== most) {
        scale = cosines ? COSINES : BITS;
        slider.max = String(most);
        slider.value = String(most);
      }
      apply();
    },
  };
}
