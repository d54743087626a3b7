// The field for words: what is typed is completed by words that the model knows, and beside a picture a slider says how
// much the words count.

import { askJson } from "./api.js";
import { byId, element } from "./elements.js";
import { searchKey } from "./keys.js";

const SUGGESTED = 12;

/** `onWords(text)` is called when words are sent, `onWeight(weight)` when the slider was moved: 0 to 1. */
export function wordsField({ onWords, onWeight }) {
  const field = byId("text");
  const slider = byId("text-weight");
  const list = byId("text-suggestions");
  let known = null; // {any_words, suggestions} once the server has said so

  async function load() {
    if (known !== null) return known;
    try {
      known = await askJson("api/words", { key: searchKey.get() });
      byId("text-label").textContent = known.any_words
        ? "Or words, by themselves or beside the picture"
        : "Or the name of a class";
      field.placeholder = `${known.any_words ? "Words" : "Name"} or https://…`;
      suggest();
    } catch {
      // Without a key, or while nothing is served: searching itself says so, and asks again.
    }
    return known;
  }

  function suggest() {
    const options = known === null ? [] : completions(field.value, known.suggestions, known.any_words);
    list.replaceChildren(...options.map((value) => element("option", { value })));
  }

  function showWeight() {
    const words = Number(slider.value);
    byId("text-weight-says").textContent = `${100 - words}% picture, ${words}% words`;
  }

  field.addEventListener("input", suggest);
  byId("text-form").addEventListener("submit", (event) => {
    event.preventDefault();
    onWords(field.value.trim());
  });
  slider.addEventListener("input", showWeight);
  slider.addEventListener("change", () => onWeight(slider.valueAsNumber / 100));
  load();

  return {
    /** {any_words, suggestions} of the model; null while the server doesn't say. */
    load,
    /** Whether the model takes any words, also beside a picture. */
    anyWords: () => known?.any_words ?? false,
    weight: () => slider.valueAsNumber / 100,
    /** Show the words of a query; `weight` is null where they stand alone. */
    show(text, weight) {
      field.value = text;
      byId("text-weight-part").hidden = weight === null;
      if (weight !== null) slider.value = String(Math.round(100 * weight));
      showWeight();
      suggest();
    },
  };
}

/**
 * Of `suggestions` those that go on from what is typed, and, where several words may stand side by side, from its last
 * word: completions("red dr", ["Dress", "drum"], true) → ["red Dress", "red drum"].
 */
export function completions(typed, suggestions, severalWords) {
  const begun = typed.trimStart().toLowerCase();
  if (begun === "") return [];
  const whole = suggestions.filter((each) => each.toLowerCase().startsWith(begun));
  const last = severalWords ? begun.lastIndexOf(" ") + 1 : 0;
  if (last === 0) return whole.slice(0, SUGGESTED);
  const head = typed.trimStart().slice(0, last);
  const begins = begun.slice(last);
  const further = begins === "" ? [] : suggestions.filter((each) => each.toLowerCase().startsWith(begins));
  return [...whole, ...further.map((each) => head + each)].slice(0, SUGGESTED);
}
