// The slider that hides what is too far away, at once and without asking the server again.

import { byId, say } from "./elements.js";
import { hideFarther } from "./gallery.js";
import { count } from "./words.js";

/** The slider over the cards of `gallery`; `offer(bits)` whenever it holds new ones, whose codes are so wide. */
export function thresholdOver(gallery) {
  const slider = byId("threshold");

  function apply() {
    const most = Number(slider.value);
    const hidden = hideFarther(gallery, most);
    const bits = count(most, "bit");
    byId("threshold-says").textContent = `${bits}, ${hidden === 0 ? "none" : hidden} hidden`;
    const nothing = hidden > 0 && hidden === gallery.children.length;
    say(byId("nothing-left"), nothing ? `All ${hidden} are farther than ${bits}: move the slider to see them.` : "");
  }

  slider.addEventListener("input", apply);
  return {
    offer(bits) {
      if (Number(slider.max) !== bits) {
        slider.max = String(bits);
        slider.value = String(bits);
      }
      apply();
    },
  };
}
