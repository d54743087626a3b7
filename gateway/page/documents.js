// Documents that share figures: a comparison, its matrix, and the pairs of the cell that is chosen.
//
//   a job of this server, or a folder of results ─▶ similarity.json ─▶ the matrix ─▶ a cell ─▶ its pairs
//
// The address says what is shown: #job=3f9c01ab22d0&least=0.9&pair=ms-12&pair=ms-13

import { Refusal, askBlob, askJson } from "./api.js";
import { documentMatrix } from "./document_matrix.js";
import { byId, element, say } from "./elements.js";
import { pairLine } from "./figure_pairs.js";
import { withAdminKey } from "./key_prompt.js";
import { speak } from "./language.js";
import { comparisonOf, measureOf } from "./similarity_file.js";
import { count, date, number, problem } from "./words.js";

/** Pairs that are shown at once. */
const PAGE = 20;
/** What a browser can hold of a comparison. */
const MOST_BYTES = 512e6;
const DOOR = { tries: "jobs", refused: problem };
const ask = (address, read = askJson) => withAdminKey((key) => read(address, { key }), DOOR);

speak();
let jobs = [];
let opened = null; // {comparison, matrix, picture(image), least}
let chosen = null; // [first, second], numbers of documents
let shownPairs = 0;
const addresses = new Map(); // picture → a promise of its address

byId("refresh").addEventListener("click", () => trying(list));
byId("comparison").addEventListener("change", ({ target }) => {
  if (target.value !== "") trying(() => openJob(target.value).then(keepPlace));
});
byId("folder").addEventListener("change", ({ target }) => trying(() => openFolder([...target.files]).then(keepPlace)));
byId("least").addEventListener("input", ({ target }) => {
  opened.least = Number(target.value);
  showLeast();
});
byId("least").addEventListener("change", () => keepPlace());
byId("more").addEventListener("click", () => showPairs());
window.addEventListener("popstate", () => trying(openPlace));

await trying(async () => {
  await list();
  await openPlace();
});

async function trying(act) {
  say(byId("trouble"), "");
  try {
    await act();
  } catch (error) {
    byId("state").textContent = "";
    say(byId("trouble"), problem(error));
  }
}

async function list() {
  const found = await ask("jobs");
  jobs = found.jobs.filter(({ request }) => request.kind === "similarity");
  const chooser = byId("comparison");
  const before = chooser.value;
  const none = element("option", { value: "" }, jobs.length === 0 ? "None has been made yet" : "Choose one");
  chooser.replaceChildren(none, ...jobs.map((job) => element("option",
    { value: job.id, disabled: job.state !== "succeeded" }, titleOf(job))));
  chooser.disabled = jobs.length === 0;
  chooser.value = jobs.some(({ id }) => id === before) ? before : "";
}

function titleOf({ created, state, request, done }) {
  const names = Object.keys(request.documents);
  const some = names.slice(0, 3).join(", ") + (names.length > 3 ? ", …" : "");
  const made = state === "succeeded" ? count(done, "figure") : state;
  return `${date(created)} – ${some} (${made})`;
}

async function openPlace() {
  const place = new URLSearchParams(location.hash.slice(1));
  const id = place.get("job");
  if (id === null) return;
  if (opened?.job !== id) await openJob(id, place.get("least"));
  else if (place.has("least")) setLeast(Number(place.get("least")));
  const names = opened.comparison.documents.map(({ name }) => name);
  const pair = place.getAll("pair").map((name) => names.indexOf(name)).sort((one, other) => one - other);
  const known = pair.length === 2 && !pair.includes(-1);
  opened.matrix.select(...(known ? pair : [null, null]));
  showChosen(known ? pair : null);
}

async function openJob(id, least = null) {
  byId("state").textContent = "Reading the comparison…";
  if (!/^[0-9a-f]{1,32}$/.test(id)) throw new Refusal(404, "there is no such comparison");
  const told = await ask(`jobs/${id}/results/similarity.json`);
  open(id, told, async (image) => {
    const blob = await ask(`jobs/${id}/pictures/${encodeURIComponent(image.picture)}`, askBlob);
    return URL.createObjectURL(blob);
  }, least);
  byId("comparison").value = jobs.some((job) => job.id === id) ? id : "";
}

async function openFolder(files) {
  const inFolder = new Map(files.map((file) => [file.webkitRelativePath.split("/").slice(1).join("/"), file]));
  const file = inFolder.get("similarity.json");
  if (file === undefined) throw new Error("there is no similarity.json in this folder");
  if (file.size > MOST_BYTES) throw new Error("this comparison is too large for a page: take similarity.csv");
  let told;
  try {
    told = JSON.parse(await file.text());
  } catch {
    throw new Error("similarity.json can't be read: it is no JSON");
  }
  open(null, told, async (image) => {
    const picture = inFolder.get(`pictures/${image.picture}`);
    return picture === undefined ? null : URL.createObjectURL(picture);
  }, null);
  byId("comparison").value = "";
}

function open(job, told, fetchPicture, least) {
  const comparison = comparisonOf(told);
  for (const address of addresses.values()) address.then((each) => each && URL.revokeObjectURL(each), () => {});
  addresses.clear();
  const picture = (image) => {
    if (typeof image.picture !== "string") return Promise.resolve(null);
    if (!addresses.has(image.picture)) addresses.set(image.picture, fetchPicture(image));
    return addresses.get(image.picture);
  };
  chosen = null;
  opened = { job, comparison, picture, matrix: documentMatrix(byId("matrix"), comparison, choose), least: 0 };
  const slider = byId("least");
  const whole = comparison.verified;
  Object.assign(slider, { min: 0, max: whole ? 200 : 1, step: whole ? 1 : 0.01 });
  byId("least-label").textContent = whole ? "Shared points, at least" : "Similarity of at least";
  byId("compared").hidden = false;
  const { documents, images, notRead } = comparison;
  byId("state").textContent = `${count(documents.length, "document")}, ${count(images.length, "figure")}`;
  say(byId("not-read"), notRead.length === 0 ? "" : `${count(notRead.length, "figure")} could not be read, and compared.`);
  const { cut } = opened.matrix;
  say(byId("matrix-cut"), cut === null ? "" :
    `${number(cut)} of ${number(documents.length)} documents are shown: those with most pairs.`);
  setLeast(least === null ? (whole ? 15 : 0.9) : Number(least));
}

function setLeast(least) {
  byId("least").value = least;
  opened.least = Number(byId("least").value);
  showLeast();
}

function showLeast() {
  byId("least-shown").textContent = opened.comparison.verified ? number(opened.least) : opened.least.toFixed(2);
  opened.matrix.show(opened.least);
  showChosen(chosen);
}

function choose(first, second) {
  showChosen([first, second]);
  keepPlace();
  byId("pairs-title").focus({ preventScroll: true });
  byId("pairs-title").scrollIntoView({ block: "nearest" });
}

function showChosen(documents) {
  chosen = documents;
  byId("pairs").replaceChildren();
  shownPairs = 0;
  showPairs();
}

function showPairs() {
  const { comparison, least, picture } = opened;
  if (chosen === null) {
    byId("pairs-title").textContent = "Choose a cell to see its pairs";
    byId("pairs-count").textContent = "";
    byId("more").hidden = true;
    return;
  }
  const [first, second] = chosen.map((place) => comparison.documents[place].name);
  const name = (text) => element("span", { translate: "no" }, text);
  byId("pairs-title").replaceChildren(
    ...(first === second ? [name(first)] : [name(first), " and ", name(second)]));
  const measure = measureOf(comparison.verified);
  const pairs = comparison.cell(...chosen).filter((pair) => measure(pair) >= least);
  byId("pairs-count").textContent = pairs.length === 0 ? "No figures are so similar" : count(pairs.length, "pair");
  const next = pairs.slice(shownPairs, shownPairs + PAGE);
  byId("pairs").append(...next.map((pair) => pairLine(comparison, pair, picture)));
  shownPairs += next.length;
  byId("more").hidden = shownPairs >= pairs.length;
}

function keepPlace() {
  if (opened === null) return;
  const place = new URLSearchParams();
  if (opened.job !== null) {
    place.set("job", opened.job);
    place.set("least", opened.least);
    for (const number of chosen ?? []) place.append("pair", opened.comparison.documents[number].name);
  }
  const hash = String(place);
  if (`#${hash}` !== location.hash) history.pushState(null, "", hash === "" ? location.pathname : `#${hash}`);
}
