// In which language the page speaks: the browser's, if the page knows it, or the one chosen in its head. English stands in
// the page itself; another language is a file of words, an object from English to it, in which {} stands for whatever is
// shown there, {#} for a number, and {+} for what is translated, too.
//
// Texts are translated where they come into the page, so that no other module knows of languages. What stands within
// translate="no" is somebody's own: paths, addresses, metadata.

import { kept } from "./kept.js";

const chosen = kept("localStorage", "hashlake language");
const FILES = { de: "./words_de.js" };
const ATTRIBUTES = ["aria-label", "aria-roledescription", "placeholder", "title"];

/** The language of the page: "en", or a key of FILES. */
export const language = known(chosen.get()) ?? navigator.languages.map(known).find(Boolean) ?? "en";

function known(tag) {
  const [primary] = (tag ?? "").toLowerCase().split("-");
  return primary === "en" || Object.hasOwn(FILES, primary) ? primary : null;
}

/**
 * A function that translates by `words`; null where they don't have a text:
 * translator({"{} of {}": "{} von {}", "none": "nichts"})("none of 7") → "nichts von 7".
 */
export function translator(words) {
  // Those with more words of their own come first: "Add {} pictures" before "{} pictures".
  const patterns = Object.entries(words)
    .map(([english, other]) => ({ english, places: english.match(PLACES), other }))
    .filter(({ places }) => places !== null)
    .sort((one, another) => literal(another.english).length - literal(one.english).length)
    .map((each) => ({ ...each, expression: expression(each.english, each.places) }));

  return function translate(text) {
    if (Object.hasOwn(words, text)) return words[text];
    for (const { expression: pattern, places, other } of patterns) {
      const found = pattern.exec(text);
      if (found === null) continue;
      const parts = found.slice(1).map((part, place) => (places[place] === "{+}" && translate(part)) || part);
      return other.replace(/\{\}/g, () => parts.shift());
    }
    return null;
  };
}

const PLACES = /\{[+#]?\}/g;

const literal = (english) => english.replace(PLACES, "");

function expression(english, places) {
  const parts = english.split(PLACES).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const whole = parts.reduce((one, next, place) => `${one}${places[place - 1] === "{#}" ? NUMBER : "(.+?)"}${next}`);
  return new RegExp(`^${whole}$`, "s");
}

// As Intl writes it, so that a name such as "tower of london" is no "3 of 4".
const NUMBER = "(-?\\d[\\d.,’\\u00a0\\u202f]*)";

function translateWithin(root, translate) {
  const own = (element) => element.closest('[translate="no"], textarea, script, style') !== null;
  const written = new WeakMap(); // node → the texts that stand there translated, which aren't read as English again

  function text(node) {
    const trimmed = node.data.replace(/\s+/g, " ").trim();
    if (trimmed === "" || node.parentElement === null || own(node.parentElement)) return;
    if (written.get(node) === node.data) return;
    const other = translate(trimmed);
    if (other === null || other === trimmed) return;
    const [, before, after] = /^(\s*).*?(\s*)$/s.exec(node.data);
    written.set(node, before + other + after);
    node.data = before + other + after;
  }

  function attributes(element) {
    if (own(element)) return;
    for (const name of ATTRIBUTES) {
      const value = element.getAttribute(name);
      if (value === null || written.get(element)?.[name] === value) continue;
      const other = translate(value);
      if (other === null || other === value) continue;
      written.set(element, { ...written.get(element), [name]: other });
      element.setAttribute(name, other);
    }
  }

  function all(node) {
    if (node.nodeType === Node.TEXT_NODE) text(node);
    if (node.nodeType !== Node.ELEMENT_NODE) return;
    attributes(node);
    node.childNodes.forEach(all);
  }

  all(root);
  new MutationObserver((changes) => {
    for (const { type, target, addedNodes } of changes) {
      if (type === "childList") addedNodes.forEach(all);
      else if (type === "characterData") text(target);
      else attributes(target);
    }
  }).observe(root, { childList: true, characterData: true, subtree: true, attributeFilter: ATTRIBUTES });
}

/** Translate the page, and have the control in its head choose another language. */
export async function speak() {
  const control = document.getElementById("language");
  control.value = language;
  control.addEventListener("change", () => {
    chosen.keep(control.value);
    location.reload();
  });
  document.documentElement.lang = language;
  if (!(language in FILES)) return;
  const { words } = await import(FILES[language]);
  translateWithin(document.body, translator(words));
}
