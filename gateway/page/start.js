// The page before anything is asked: what there is to search, words to begin with, pictures to begin with, and what was
// searched for before.

import { askJson } from "./api.js";
import { byId, element, say } from "./elements.js";
import { here } from "./here.js";
import { searchKey } from "./keys.js";
import { forgetSearches, namedSearches, nameSearch, recentSearches } from "./recent_searches.js";
import { pictures } from "./thumbnails.js";
import { ago, count } from "./words.js";

const PICTURES = 12;
const WORDS = 16;

/** `onPath(picture)` and `onText(text)` begin a search; `known()` gives the words that the model knows. */
export function startPage({ onPath, onText, known }) {
  let source = null;

  async function show() {
    source?.discard();
    source = pictures(searchKey.get());
    await Promise.all([showOverview(), showWords(), showNamed(), showRecent()]);
  }

  async function showOverview() {
    let overview;
    try {
      overview = await askJson(`api/overview?pictures=${PICTURES}`, { key: searchKey.get() });
    } catch {
      say(byId("start-facts"), ""); // without a key, or before there is an index, the page says less
      byId("start-samples").replaceChildren();
      byId("start-samples-part").hidden = true;
      return;
    }
    say(byId("start-facts"), `${count(overview.count, "picture")}, indexed ${ago(overview.created)}`);
    byId("start-samples-part").hidden = overview.pictures.length === 0;
    byId("start-samples").replaceChildren(
      ...overview.pictures.map(({ path, image, thumbnail }) => {
        const found = { path, image: here(image), thumbnail: here(thumbnail) };
        const name = { type: "button", class: "thumbnail", "aria-label": `More like ${path}`, onclick: () => onPath(found) };
        return element("li", {}, element("button", name, source.image(found.thumbnail)));
      }),
    );
  }

  async function showWords() {
    const words = (await known())?.suggestions.slice(0, WORDS) ?? [];
    byId("start-words").hidden = words.length === 0;
    byId("start-words").replaceChildren(
      ...words.map((word) =>
        element("li", {}, element("button", { type: "button", class: "chip", onclick: () => onText(word) }, word)),
      ),
    );
  }

  async function showRecent() {
    const searches = await recentSearches();
    byId("start-recent-part").hidden = searches.length === 0;
    byId("start-recent").replaceChildren(
      ...searches.slice(0, PICTURES).map((search) => element("li", {}, linkTo(search, search.label))),
    );
  }

  async function showNamed() {
    const searches = await namedSearches();
    byId("start-named-part").hidden = searches.length === 0;
    byId("start-named").replaceChildren(
      ...searches.map((search) => {
        const { hash, name } = search;
        const remove = async () => {
          await nameSearch(hash, null);
          await Promise.all([showNamed(), showRecent()]);
          byId("start-title").focus();
        };
        const button = { type: "button", class: "plain", "aria-label": `Keep ${name} no longer`, onclick: remove };
        const caption = element("div", { class: "named" }, element("span", { translate: "no" }, name), element("button", button, "✕"));
        return element("li", {}, linkTo(search, name), caption);
      }),
    );
  }

  function linkTo({ hash, label, small }, name) {
    const picture = small === null ? element("span", { class: "recent-words" }, label) : source.held(small);
    return element("a", { class: "thumbnail", href: hash, "aria-label": name, title: name }, picture);
  }

  byId("forget-recent").addEventListener("click", async () => {
    await forgetSearches();
    await showRecent();
    byId("start-title").focus();
  });

  return { show };
}
