// In which language the page speaks: the browser's, if the page knows it, or the one chosen in its head. English stands in
// the page itself; another language is a file of words, an object from English to it, in which {} stands for whatever is
// shown there, and {+} for what is translated, too.
//
// Texts are translated where they come into the page, so that no other module knows of languages. What stands within
// translate="no" is somebody's own: paths, addresses, metadata.

const CHOSEN = "hashlake language";
const FILES = { de: "./words_de.js" };
const ATTRIBUTES = ["aria-label", "aria-roledescription", "placeholder", "title"];

/** The language of the page: "en", or a key of FILES. */
export const language = known(localStorage.getItem(CHOSEN)) ?? navigator.languages.map(known).find(Boolean) ?? "en";

function known(tag) {
  const [primary] = (tag ?? "").toLowerCase().split("-");
  return primary === "en" || primary in FILES ? primary : null;
}

/**
 * A function that translates by `words`; null where they don't have a text:
 * translator({"{} of {}": "{} von {}", "none": "nichts"})("none of 7") → "nichts von 7".
 */
export function translator(words) {
  // Those with more words of their own come first: "Add {} pictures" before "{} pictures".
  const patterns = Object.entries(words)
    .filter(([english]) => PLACE.test(english))
    .sort(([one], [another]) => literal(another).join("").length - literal(one).join("").length)
    .map(([english, other]) => ({ expression: expression(english), places: english.match(/\{\+?\}/g), other }));

  return function translate(text) {
    if (Object.hasOwn(words, text)) return words[text];
    for (const { expression: english, places, other } of patterns) {
      const found = english.exec(text);
      if (found === null) continue;
      const parts = found.slice(1).map((part, place) => (places[place] === "{+}" && translate(part)) || part);
      return other.replace(/\{\}/g, () => parts.shift());
    }
    return null;
  };
}

const PLACE = /\{\+?\}/;

const literal = (english) => english.split(PLACE);

function expression(english) {
  const escaped = literal(english).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${escaped.join("(.+?)")}$`, "s");
}

function translateWithin(root, translate) {
  const own = (element) => element.closest('[translate="no"], textarea, script, style') !== null;

  function text(node) {
    const trimmed = node.data.replace(/\s+/g, " ").trim();
    if (trimmed === "" || node.parentElement === null || own(node.parentElement)) return;
    const other = translate(trimmed);
    if (other === null || other === trimmed) return;
    const [, before, after] = /^(\s*).*?(\s*)$/s.exec(node.data);
    node.data = before + other + after;
  }

  function attributes(element) {
    if (own(element)) return;
    for (const name of ATTRIBUTES) {
      const value = element.getAttribute(name);
      const other = value === null ? null : translate(value);
      if (other !== null && other !== value) element.setAttribute(name, other);
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
    localStorage.setItem(CHOSEN, control.value);
    location.reload();
  });
  document.documentElement.lang = language;
  if (!(language in FILES)) return;
  const { words } = await import(FILES[language]);
  translateWithin(document.body, translator(words));
}
