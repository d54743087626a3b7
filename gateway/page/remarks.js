// What there is to say about an answer beside its results.

import { byId, say } from "./elements.js";
import { isTurnable, rankOf } from "./query.js";
import { short } from "./words.js";

/** By which code the results are ordered, where that isn't plain; and whether there is a choice at all. */
export function remarkOnRank(query, chosen, model) {
  const detail = document.querySelector("input[name=rank][value=detail]");
  detail.disabled = !model.detail_bits;
  let hint = "";
  if (detail.disabled) {
    hint = "The served model gives no detail codes, which would tell this very picture from others like it.";
  } else if (chosen !== rankOf(query, chosen)) {
    hint = "Words have no detail: their pictures come by what they show.";
  } else if (chosen === "detail") {
    hint = "Ordered by detail codes, and the distances are theirs.";
  }
  say(byId("rank-hint"), hint);
}

/** Where the query isn't looked for in other positions, though that was chosen. */
export function remarkOnTurned(query, turned) {
  const hint = "Only a picture of your own, or a part of one, is turned: what is looked for by its code or words can't be.";
  say(byId("turned-hint"), turned && !isTurnable(query) ? hint : "");
}

/** That even the nearest pictures are hardly like the query; `nothing` is null where that wasn't measured. */
export function remarkOnCloseness(box, nothing) {
  say(box, nothing ? "Nothing like it: even the nearest picture is hardly like the query." : "");
}

/** A link that was made with another model finds something else, or nothing that means anything. */
export function remarkOnModel(query, model) {
  if (query.model === undefined || model.sha256.startsWith(query.model)) {
    say(byId("model-warning"), "");
    return;
  }
  const meaning =
    query.kind === "code"
      ? "Codes of two models can't be compared, so these results mean nothing: search for the picture itself."
      : "The results may be others than those the link was made for.";
  const now = `${model.name}, ${short(model.sha256)}…`;
  say(
    byId("model-warning"),
    `This link was made with another model (${query.model}…) than the one that answers now (${now}). ${meaning}`,
  );
}
