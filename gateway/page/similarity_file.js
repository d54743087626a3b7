// similarity.json, as `hashlake elements similarity` writes it, as a matrix of documents.
//
//   {parameters, index: {sources: [{uid, images}], images: [{id, src, doc_uid, picture}]}, pairs: [[i, j, score, 0, 0, inliers]]}

/**
 * What a comparison found: `documents` [{name, source, images, failed}], `images`, `verified`, and `cell(i, j)`, the pairs
 * of two documents, best first: [{one, other, score, points}], numbers of images, `one` of the document that comes first. Throws what people can read.
 */
export function comparisonOf(told) {
  const sources = told?.index?.sources;
  const images = told?.index?.images;
  if (!Array.isArray(sources) || !Array.isArray(images) || !Array.isArray(told.pairs)) {
    throw new Error("this is no result of a comparison: similarity.json has an index and pairs");
  }
  const verified = told.parameters?.verified === true;
  const documents = sources.map(({ uid, src, images: count, failed }) => ({
    name: String(uid), source: String(src), images: Number(count), failed: Number(failed) || 0,
  }));
  const numbers = new Map(documents.map(({ name }, number) => [name, number]));
  const belongs = images.map(({ doc_uid: name }) => numbers.get(String(name)));
  const cells = new Map(); // first · documents + second → pairs
  for (const [one, other, score, , , points] of told.pairs) {
    const ends = [belongs[one], belongs[other]];
    if (ends.includes(undefined)) throw new Error("this is no result of a comparison: a pair names an image that isn't there");
    const turned = ends[0] > ends[1];
    const place = turned ? ends[1] * documents.length + ends[0] : ends[0] * documents.length + ends[1];
    const pair = { one: turned ? other : one, other: turned ? one : other, score, points: points ?? null };
    if (cells.has(place)) cells.get(place).push(pair);
    else cells.set(place, [pair]);
  }
  const measure = measureOf(verified);
  for (const pairs of cells.values()) pairs.sort((one, other) => measure(other) - measure(one) || other.score - one.score);
  return {
    documents,
    images,
    verified,
    notRead: Array.isArray(told.not_read) ? told.not_read : [],
    cell: (first, second) => cells.get(Math.min(first, second) * documents.length + Math.max(first, second)) ?? [],
  };
}

/** What pairs are ordered by: the points that they share where these were counted, else their similarity. */
export function measureOf(verified) {
  return verified ? ({ points }) => points ?? 0 : ({ score }) => score;
}

/**
 * Of two documents, how many `pairs` measure at least `least`, and which `share` of the smaller document's figures is in
 * one of them.
 */
export function shared(comparison, first, second, least) {
  const measure = measureOf(comparison.verified);
  const pairs = comparison.cell(first, second).filter((pair) => measure(pair) >= least);
  const [here, there] = [first, second].sort((a, b) => a - b).map((place) => comparison.documents[place].images);
  const ends = first === second
    ? new Set(pairs.flatMap(({ one, other }) => [one, other]))
    : new Set(pairs.map(here <= there ? ({ one }) => one : ({ other }) => other));
  return { pairs: pairs.length, share: Math.min(1, ends.size / Math.max(1, Math.min(here, there))) };
}

/** The box that a figure's name tells, {x, y, width, height} in pixels of its whole page; null where it is all of a picture. */
export function boxOf({ id, src }) {
  const told = /#xywh=(\d+),(\d+),(\d+),(\d+)$/.exec(src ?? "") ?? /_(\d+),(\d+),(\d+),(\d+)\.jpg$/.exec(src ?? "") ??
    /_(\d+),(\d+),(\d+),(\d+)\.jpg$/.exec(id ?? "");
  if (told === null) return null;
  const [x, y, width, height] = told.slice(1).map(Number);
  return { x, y, width, height };
}
