// The search page: a query is shown, sent, and answered.

import { Refusal, askBlob, askJson } from "./api.js";
import { copyLink } from "./copy_link.js";
import { byId, element } from "./elements.js";
import { apartText, closenessReason, closenessWord } from "./closeness.js";
import { galleryIn } from "./gallery.js";
import { here } from "./here.js";
import { withSearchKey } from "./key_prompt.js";
import { searchKey } from "./keys.js";
import { showLarge } from "./lightbox.js";
import { miniature } from "./miniature.js";
import { hashOf, parsed } from "./permalink.js";
import { DATALAKE, described, form, isTurnable, pictured, rankOf } from "./query.js";
import { markOf } from "./picture_mark.js";
import { queryPicture } from "./query_picture.js";
import { keepSearchButton } from "./keep_search.js";
import { keepSearch, recentQuery } from "./recent_searches.js";
import { addressIn } from "./received_files.js";
import { remarkOnCloseness, remarkOnModel, remarkOnRank, remarkOnTurned } from "./remarks.js";
import { searchPlace } from "./search_place.js";
import { startPage } from "./start.js";
import { takeAway } from "./take_away.js";
import { thresholdOver } from "./threshold.js";
import { pictures } from "./thumbnails.js";
import { showTiming } from "./timing.js";
import { explain } from "./why.js";
import { count, problem } from "./words.js";
import { wordsField } from "./words_field.js";

/** How many pictures brought by the user the Back button finds again. */
const REMEMBERED = 20;

const load = (address) => askBlob(address, { key: searchKey.get() });

/**
 * Start the page. `open(hash)` shows what an address names; `hash()` is the address of what is shown, `title()` what it is
 * called. `onTitle()` is called when that has changed.
 */
export function searchPage({ onTitle }) {
  const topK = byId("top-k");
  const turned = byId("turned");
  const gallery = galleryIn(byId("gallery"), {
    onOpen: enlarge,
    onMore: more,
    onWhy: why,
    onSelect: () => taking.showSelected(),
  });
  const threshold = thresholdOver(gallery, { onHidden: showCount });
  const resetLink = copyLink(() => address);
  keepSearchButton(() => ({ hash: address, label: described(current) }));
  const taking = takeAway(gallery, { answer: () => asked });
  const answerBox = byId("answer");
  const remembered = new Map(); // hash → query
  let current = null; // the query last asked, answered or not
  let asked = null; // the one that is answered: {query, picture, code, source}
  let running = null;
  let address = "";

  const stage = queryPicture({
    load,
    onFile: (file) => run({ kind: "picture", file }),
    onAddress: (found) => run({ kind: "address", address: found }),
    onBox: (box) => {
      const picture = pictured(current);
      const whole = picture.kind === "part" ? picture.whole : picture;
      if (box !== null) run(withWords({ kind: "part", whole, box }));
      else if (picture !== whole) run(withWords(whole));
    },
  });

  const place = searchPlace({ onPlace: again });
  const start = startPage({
    onPath: ({ path, image, thumbnail }) => run({ kind: "path", path, of: DATALAKE, image, thumbnail }),
    onText: (text) => run({ kind: "text", text }),
    known: () => words.load(),
  });

  const words = wordsField({
    onWords: (text) => {
      const found = addressIn(text);
      if (found !== null) {
        run({ kind: "address", address: found });
        return;
      }
      const picture = words.anyWords() ? pictured(current) : null;
      if (picture !== null) run(text === "" ? picture : { kind: "mixture", of: picture, text, weight: words.weight() });
      else if (text !== "") run({ kind: "text", text });
    },
    onWeight: (weight) => {
      if (current?.kind === "mixture") run({ ...current, weight });
    },
  });

  // The picture with the words of the current query.
  function withWords(picture) {
    return current.kind === "mixture" ? { ...current, of: picture } : picture;
  }

  function settings() {
    const rank = document.querySelector("input[name=rank]:checked").value;
    return { topK: Number(topK.value), rank, turned: turned.checked, ...place.get() };
  }

  function set({ topK: wanted, rank, turned: also, ...where }) {
    place.set(where);
    turned.checked = also;
    if (wanted !== undefined) topK.value = String(wanted);
    if (rank !== undefined) document.querySelector(`input[name=rank][value=${rank}]`).checked = true;
  }

  // `fromAddress`: the query stands in the address already, so that no step is added to the browser's history.
  async function run(query, { fromAddress = false } = {}) {
    if (!topK.reportValidity()) return;
    running?.abort();
    const mine = new AbortController();
    running = mine;
    current = query;
    words.show(query.text ?? "", query.kind === "mixture" ? query.weight : null);
    byId("words-alone").hidden = query.kind !== "mixture";
    answerBox.setAttribute("aria-busy", "true");
    byId("search-status").textContent = "Searching…";
    const chosen = settings();
    try {
      stage.show(query);
      const sent = await withSearchKey((key) => send(query, chosen, key, mine.signal));
      if (running !== mine) return;
      show(query, chosen, sent, fromAddress);
    } catch (error) {
      if (running === mine) failed(error);
    } finally {
      if (running === mine) answerBox.setAttribute("aria-busy", "false");
      showKeyInUse();
    }
  }

  async function send(query, chosen, key, signal) {
    const { fields, picture } = await form(query, chosen, load);
    const mark = picture === null ? null : await markOf(picture);
    const started = performance.now();
    const answer = await askJson("api/search", { method: "POST", body: fields, key, signal });
    const elapsed = performance.now() - started;
    const results = answer.results.map((result) => ({
      ...result,
      image: here(result.image),
      thumbnail: here(result.thumbnail),
    }));
    return { picture, mark, answer: { ...answer, results }, elapsed, fields: told(fields, query) };
  }

  function show(query, chosen, { picture, mark, answer, elapsed, fields }, fromAddress) {
    const { results, model } = answer;
    asked?.source.discard();
    const source = pictures(searchKey.get());
    const rank = rankOf(query, chosen.rank);
    const { collection, turned: alsoTurned } = chosen;
    asked = { query, picture, collection, turned: alsoTurned, code: answer.query.code, results, rank, source, fields };
    showOnStage(query, answer);
    byId("welcome").hidden = true;
    byId("search-problem").hidden = true;
    byId("found").hidden = false;
    byId("search-panel").dataset.shows = "answer";
    const codes = `${model.bits} bits${model.detail_bits ? ` and ${model.detail_bits} of detail` : ""}`;
    byId("found-from").textContent = `like ${described(query)}`;
    byId("found-about").textContent = `Version ${answer.version} · ${model.name}, ${codes}`;
    byId("search-status").textContent =
      results.length === 0 ? "No picture was found." : `${count(results.length, "picture")} found.`;
    gallery.show(results, rank, source);
    showTiming(byId("timing-bar"), byId("timing-steps"), answer.milliseconds, elapsed);
    threshold.offer(results);
    taking.reset();
    words.load();
    place.load();
    remarkOnRank(query, chosen.rank, model);
    remarkOnTurned(query, chosen.turned);
    remarkOnCloseness(byId("nothing-like-it"), answer.nothing_like_it);
    remarkOnModel(query, model);
    resetLink();
    const hash = hashOf(query, chosen, answer, mark);
    remember(hash, query);
    if (!byId("search-panel").hidden && location.hash !== hash) {
      history[fromAddress ? "replaceState" : "pushState"](null, "", hash);
    }
    address = hash;
    onTitle();
    keep(hash, query);
  }

  // The query with a small picture of it, for this browser's next visit.
  async function keep(hash, query) {
    const of = pictured(query);
    const { whole, box } = of?.kind === "part" ? of : { whole: of, box: null };
    const address = whole?.kind === "path" ? whole.thumbnail : null;
    const file = whole?.kind === "picture" ? whole.file : address && (await load(address).catch(() => null));
    const small = file ? await miniature(file, box) : null;
    const known = [query, of, whole].some((each) => each?.model !== undefined);
    if (!known) await keepSearch({ hash, label: described(query), at: Date.now(), query, small });
  }

  function showCount(hidden) {
    const { length } = asked.results;
    const all = length === 0 ? "No pictures" : count(length, "picture");
    byId("found-count").textContent = hidden === 0 ? all : `${length - hidden} of ${all}`;
  }

  // A link names an indexed picture by its path alone; where the picture is found, it is now known.
  function showOnStage(query, answer) {
    const picture = pictured(query);
    const unknown = picture?.kind === "path" && picture.image === null;
    const itself = unknown ? answer.results.find(({ path }) => path === picture.path) : undefined;
    if (itself !== undefined) Object.assign(picture, { image: itself.image, thumbnail: itself.thumbnail });
    if (itself !== undefined || query.kind === "text" || query.kind === "code") stage.show(query, answer.query.code);
  }

  function failed(error) {
    byId("search-panel").dataset.shows = "answer";
    byId("welcome").hidden = true;
    byId("found").hidden = true;
    byId("model-warning").hidden = true;
    byId("search-status").textContent = "";
    const status = error instanceof Refusal ? error.status : null;
    const again = element("button", { type: "button", onclick: () => run(current) }, "Try again");
    again.hidden = status !== null && status !== 401 && status !== 429 && status < 500; // the same again
    const words = status === 401 ? "This server answers only with a key." : problem(error);
    byId("search-problem").replaceChildren(element("span", {}, words), again);
    byId("search-problem").hidden = false;
  }

  function remember(hash, query) {
    remembered.delete(hash);
    remembered.set(hash, query);
    if (remembered.size > REMEMBERED) remembered.delete(remembered.keys().next().value);
  }

  async function more({ path, image, thumbnail }) {
    answerBox.scrollIntoView({ block: "start" });
    await run({ kind: "path", path, of: asked.collection, image, thumbnail });
    byId("found-count").focus({ preventScroll: true }); // the button that was pressed is gone
  }

  function why(result) {
    const { query, code, source } = asked;
    const turned = asked.turned && isTurnable(query);
    return explain({ label: described(query), image: seen(), code, turned }, result, source);
  }

  // An <img> of the query; null where it has no picture, or an unknown one.
  function seen() {
    const { query, picture, source } = asked;
    if (picture !== null) return source.held(picture);
    const of = pictured(query);
    return of?.kind === "path" && of.thumbnail !== null ? source.image(of.thumbnail) : null;
  }

  async function enlarge(at) {
    const { results, rank, source } = asked;
    const visible = gallery.shown();
    const entries = visible.map((result) => ({
      name: result.path,
      thumbnail: result.thumbnail,
      original: result.image,
      closeness: closenessText(result, rank),
      metadata: result.metadata ?? undefined,
      code: result.code,
      actions: [
        ["More like this", () => more(result)],
        ["Why", () => why(result)],
      ],
    }));
    const end = await showLarge(entries, visible.indexOf(results[at]), source, seen());
    // Another answer may have come meanwhile: its cards are others.
    if (end !== null && results === asked.results) gallery.focus(results.indexOf(visible[end]));
  }

  function showKeyInUse() {
    byId("search-key").hidden = searchKey.get() === null;
  }

  function again() {
    if (current !== null) run(current);
  }

  for (const field of [topK, turned]) field.addEventListener("change", again);
  for (const radio of document.querySelectorAll("input[name=rank]")) radio.addEventListener("change", again);
  byId("words-alone").addEventListener("click", () => run({ kind: "text", text: current.text }));
  byId("forget-search-key").addEventListener("click", () => {
    searchKey.forget();
    showKeyInUse();
  });
  showKeyInUse();
  byId("settings-button").addEventListener("click", () => {
    const open = byId("asking").toggleAttribute("data-settings");
    byId("settings-button").setAttribute("aria-expanded", String(open));
  });

  return {
    /** Search for a query, as query.js has them. */
    run,
    hash: () => address,
    title: () => (current === null ? "" : described(current)),
    async open(hash) {
      if (hash === address && asked !== null) return;
      const found = parsed(hash);
      if (found !== null) {
        set(found.settings);
        const before = running;
        const known = remembered.get(hash) ?? (await recentQuery(hash));
        // Somebody may have asked for something else meanwhile.
        if (location.hash === hash && running === before) run(known ?? found.query, { fromAddress: true });
        return;
      }
      running?.abort();
      running = null;
      current = null;
      address = "";
      stage.showNothing();
      answerBox.setAttribute("aria-busy", "false");
      for (const id of ["found", "search-problem", "model-warning"]) byId(id).hidden = true;
      byId("welcome").hidden = false;
      byId("search-panel").dataset.shows = "start";
      start.show();
    },
  };
}

// The fields of a form as text, a picture by its name.
function told(fields, query) {
  const name = query.kind === "picture" ? query.file.name || "picture" : "part.jpg";
  return Object.fromEntries([...fields].map(([field, value]) => [field, value instanceof Blob ? name : value]));
}

function closenessText(result, rank) {
  const { closeness } = result;
  if (closeness === null) return apartText(result);
  return `${closenessWord(closeness, rank)}: ${closenessReason(closeness, rank)} · ${apartText(result)}`;
}
