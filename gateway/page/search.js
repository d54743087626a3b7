// The search page: a query is shown, sent, and answered.

import { Refusal, askBlob, askJson } from "./api.js";
import { copyLink } from "./copy_link.js";
import { byId, element } from "./elements.js";
import { showGallery } from "./gallery.js";
import { here } from "./here.js";
import { withSearchKey } from "./key_prompt.js";
import { searchKey } from "./keys.js";
import { hashOf, parsed } from "./permalink.js";
import { described, form, isTurnable, pictured, rankOf } from "./query.js";
import { queryPicture } from "./query_picture.js";
import { remarkOnCloseness, remarkOnModel, remarkOnRank, remarkOnTurned } from "./remarks.js";
import { thresholdOver } from "./threshold.js";
import { pictures } from "./thumbnails.js";
import { showTiming } from "./timing.js";
import { explain } from "./why.js";
import { count, problem } from "./words.js";
import { wordsField } from "./words_field.js";

/** How many pictures brought by the user the Back button finds again. */
const REMEMBERED = 20;

const load = (address) => askBlob(address, { key: searchKey.get() });

/** Start the page. `open(hash)` shows what an address names; `hash()` is the address of what is shown. */
export function searchPage() {
  const topK = byId("top-k");
  const turned = byId("turned");
  const gallery = byId("gallery");
  const threshold = thresholdOver(gallery);
  const resetLink = copyLink(() => address);
  const answerBox = byId("answer");
  const remembered = new Map(); // hash → query
  let current = null; // the query last asked, answered or not
  let asked = null; // the one that is answered: {query, picture, code, source}
  let running = null;
  let address = "";

  const stage = queryPicture({
    load,
    onFile: (file) => run({ kind: "picture", file }),
    onBox: (box) => {
      const picture = pictured(current);
      const whole = picture.kind === "part" ? picture.whole : picture;
      if (box !== null) run(withWords({ kind: "part", whole, box }));
      else if (picture !== whole) run(withWords(whole));
    },
  });

  const words = wordsField({
    onWords: (text) => {
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
    return { topK: Number(topK.value), rank, turned: turned.checked };
  }

  function set({ topK: wanted, rank, turned: also }) {
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
      const { picture, answer, elapsed } = await withSearchKey((key) => send(query, chosen, key, mine.signal));
      if (running !== mine) return;
      show(query, chosen, picture, answer, elapsed, fromAddress);
    } catch (error) {
      if (running === mine) failed(error);
    } finally {
      if (running === mine) answerBox.setAttribute("aria-busy", "false");
      showKeyInUse();
    }
  }

  async function send(query, chosen, key, signal) {
    const { fields, picture } = await form(query, chosen, load);
    const started = performance.now();
    const answer = await askJson("api/search", { method: "POST", body: fields, key, signal });
    const elapsed = performance.now() - started;
    const results = answer.results.map((result) => ({
      ...result,
      image: here(result.image),
      thumbnail: here(result.thumbnail),
    }));
    return { picture, answer: { ...answer, results }, elapsed };
  }

  function show(query, chosen, picture, answer, elapsed, fromAddress) {
    const { results, model } = answer;
    asked?.source.discard();
    asked = { query, picture, turned: chosen.turned, code: answer.query.code, source: pictures(searchKey.get()) };
    showOnStage(query, answer);
    byId("welcome").hidden = true;
    byId("search-problem").hidden = true;
    byId("found").hidden = false;
    byId("found-count").textContent = results.length === 0 ? "No pictures" : count(results.length, "picture");
    const codes = `${model.bits} bits${model.detail_bits ? ` and ${model.detail_bits} of detail` : ""}`;
    byId("found-from").textContent = `like ${described(query)} · version ${answer.version} · ${model.name}, ${codes}`;
    byId("search-status").textContent =
      results.length === 0 ? "No picture was found." : `${count(results.length, "picture")} found.`;
    showGallery(gallery, results, asked.source, { onMore: more, onWhy: why });
    showTiming(byId("timing-bar"), byId("timing-steps"), answer.milliseconds, elapsed);
    threshold.offer(results, rankOf(query, chosen.rank) === "detail" ? model.detail_bits : model.bits);
    words.load();
    remarkOnRank(query, chosen.rank, model);
    remarkOnTurned(query, chosen.turned);
    remarkOnCloseness(byId("nothing-like-it"), answer.nothing_like_it);
    remarkOnModel(query, model);
    resetLink();
    const hash = hashOf(query, chosen, answer);
    remember(hash, query);
    if (!byId("search-panel").hidden && location.hash !== hash) {
      history[fromAddress ? "replaceState" : "pushState"](null, "", hash);
    }
    address = hash;
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
    await run({ kind: "path", path, image, thumbnail });
    byId("found-count").focus({ preventScroll: true }); // the button that was pressed is gone
  }

  function why(result) {
    const { query, picture, code, source } = asked;
    const turned = asked.turned && isTurnable(query);
    const of = pictured(query);
    const image = of?.kind === "path" && of.thumbnail !== null ? source.image(of.thumbnail) : null;
    explain({ label: described(query), picture, image, code, turned }, result, source);
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

  return {
    hash: () => address,
    open(hash) {
      if (hash === address && asked !== null) return;
      const found = parsed(hash);
      if (found !== null) {
        set(found.settings);
        run(remembered.get(hash) ?? found.query, { fromAddress: true });
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
    },
  };
}
