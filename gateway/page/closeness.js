// How alike a result and the query are, in a word that people understand. The figures behind it come from the model's
// card: of pairs of pictures so far apart, the share that show the same kind of thing or, by detail, the same picture.

import { cosineText, count, percent } from "./words.js";

// [least closeness, word]
const BY_WHAT_IT_SHOWS = [
  [0.9, "Very alike"],
  [0.5, "Alike"],
  [0.25, "Weak"],
  [0, "Hardly alike"],
];
const BY_PICTURE = [
  [0.9, "Same picture"],
  [0.5, "Perhaps the same"],
  [0, "Another picture"],
];

/** From here down a result is more likely unlike the query than like it. */
const LESS_ALIKE = 0.5;

/** The word on a result: closenessWord(0.97, "distance") → "Very alike". */
export function closenessWord(closeness, rank) {
  const words = rank === "detail" ? BY_PICTURE : BY_WHAT_IT_SHOWS;
  return words.find(([least]) => closeness >= least)[1];
}

/** What the word rests on: "98% of pictures so far apart show the same kind of thing". */
export function closenessReason(closeness, rank) {
  const what = rank === "detail" ? "are the same picture" : "show the same kind of thing";
  return `${percent(closeness)} of pictures so far apart ${what}`;
}

/** The distance as it was measured: "3 bits differ", or "cosine 0.92". */
export function apartText({ distance, cosine }) {
  return cosine === null ? `${count(distance, "bit")} differ${distance === 1 ? "s" : ""}` : cosineText(cosine);
}

/** {word, title} of the badge of a result; where closeness was not measured, the distance itself. */
export function badgeOf(result, rank) {
  const { closeness, distance, cosine } = result;
  if (closeness === null) {
    return { word: cosine === null ? count(distance, "bit") : cosineText(cosine), title: apartText(result) };
  }
  return { word: closenessWord(closeness, rank), title: `${closenessReason(closeness, rank)} · ${apartText(result)}` };
}

/** The place of the first of `results` that is less alike; null where none is, or all are, or nobody measured it. */
export function firstLessAlike(results) {
  const place = results.findIndex(({ closeness }) => closeness !== null && closeness < LESS_ALIKE);
  return place <= 0 ? null : place;
}
