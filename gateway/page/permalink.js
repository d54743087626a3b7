// The address of a search: everything that is asked stands behind the #.
//
//   #code=9f3a…&detail=…&top_k=24&rank=distance&model=0a1b2c3d4e5f     a picture is linked to by its codes
//   #path=data%2Fa.jpg&…   #text=Dress&…   #path=data%2Fa.jpg&text=red&text_weight=0.3&…   …&turned=true
//   …&in=shoes&filter=%7B"season"…                                      in a collection, where metadata match
//   …&picture=0a1b2c3d4e5f6071                                         which of the pictures with these codes, where it was
//                                                                      the visitor's own: this browser may remember it
//   #operators                                                          the operators' page

import { DATALAKE, isOwn } from "./query.js";
import { short } from "./words.js";

export const OPERATORS = "#operators";

const MARK = /^[0-9a-f]{16}$/;
const CODE = /^([0-9a-f]{2})+$/i;

/**
 * The hash of an answered query; `mark` is that of the picture that was sent, or null. A link's own model stays in it, so
 * that it warns again when it is opened again.
 */
export function hashOf(query, { topK, rank, turned, collection, filter }, answer, mark) {
  const fields = new URLSearchParams();
  const picture = query.kind === "mixture" ? query.of : query;
  if (isOwn(picture, collection)) fields.set("path", picture.path);
  if (picture.kind === "address") fields.set("url", picture.address);
  if (query.kind === "text") {
    fields.set("text", query.text);
  } else if (fields.size === 0) {
    fields.set("code", answer.query.code);
    if (answer.query.detail_code) fields.set("detail", answer.query.detail_code);
  } else if (query.kind === "mixture") {
    fields.set("text", query.text);
    fields.set("text_weight", String(query.weight));
  }
  fields.set("top_k", String(topK));
  fields.set("rank", rank);
  if (turned) fields.set("turned", "true");
  if (collection !== DATALAKE) fields.set("in", collection);
  if (filter !== "") fields.set("filter", filter);
  fields.set("model", query.model ?? short(answer.model.sha256));
  const own = mark ?? query.mark ?? null;
  if (own !== null) fields.set("picture", own);
  return `#${fields}`;
}

/**
 * {query, settings} of a hash, settings holding what it names of topK and rank, and turned, collection and filter; null if
 * it names no query.
 */
export function parsed(hash) {
  const fields = new URLSearchParams(hash.slice(1));
  const query = queryOf(fields);
  if (query === null) return null;
  const model = fields.get("model");
  if (model) query.model = model.toLowerCase();
  const mark = fields.get("picture");
  if (query.kind === "code" && MARK.test(mark)) query.mark = mark;
  const settings = {
    turned: fields.get("turned") === "true",
    collection: fields.get("in") || DATALAKE,
    filter: fields.get("filter") ?? "",
  };
  const topK = Number(fields.get("top_k"));
  if (Number.isInteger(topK) && topK >= 1 && topK <= 1000) settings.topK = topK;
  if (["distance", "detail"].includes(fields.get("rank"))) settings.rank = fields.get("rank");
  return { query, settings };
}

function queryOf(fields) {
  const names = ["path", "url", "text", "code", "detail"];
  const [path, url, text, code, detail] = names.map((name) => fields.get(name));
  if (path || url) {
    const indexed = { kind: "path", path, of: fields.get("in") || DATALAKE, image: null, thumbnail: null };
    const of = path ? indexed : { kind: "address", address: url };
    return text ? { kind: "mixture", of, text, weight: weightIn(fields) } : of;
  }
  if (text) return { kind: "text", text };
  if (code && CODE.test(code)) return { kind: "code", code, detail: detail && CODE.test(detail) ? detail : null };
  return null;
}

function weightIn(fields) {
  const weight = Number(fields.get("text_weight") ?? 0.5);
  return weight >= 0 && weight <= 1 ? weight : 0.5;
}
