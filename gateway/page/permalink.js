// The address of a search: everything that is asked stands behind the #.
//
//   #code=9f3a…&detail=…&top_k=24&rank=distance&model=0a1b2c3d4e5f     a picture is linked to by its codes
//   #path=data%2Fa.jpg&…   #text=Dress&…   #path=data%2Fa.jpg&text=red&text_weight=0.3&…   …&turned=true
//   #operators                                                          the operators' page

import { short } from "./words.js";

export const OPERATORS = "#operators";

const CODE = /^([0-9a-f]{2})+$/i;

/** The hash of an answered query. A link's own model stays in it, so that it warns again when it is opened again. */
export function hashOf(query, { topK, rank, turned }, answer) {
  const fields = new URLSearchParams();
  if (query.kind === "path" || query.kind === "text") {
    fields.set(query.kind, query[query.kind]);
  } else if (query.kind === "mixture" && query.of.kind === "path") {
    fields.set("path", query.of.path);
    fields.set("text", query.text);
    fields.set("text_weight", String(query.weight));
  } else {
    fields.set("code", answer.query.code);
    if (answer.query.detail_code) fields.set("detail", answer.query.detail_code);
  }
  fields.set("top_k", String(topK));
  fields.set("rank", rank);
  if (turned) fields.set("turned", "true");
  fields.set("model", query.model ?? short(answer.model.sha256));
  return `#${fields}`;
}

/** {query, settings} of a hash, settings holding what it names of topK and rank, and turned; null if it names no query. */
export function parsed(hash) {
  const fields = new URLSearchParams(hash.slice(1));
  const query = queryOf(fields);
  if (query === null) return null;
  const model = fields.get("model");
  if (model) query.model = model.toLowerCase();
  const settings = { turned: fields.get("turned") === "true" };
  const topK = Number(fields.get("top_k"));
  if (Number.isInteger(topK) && topK >= 1 && topK <= 1000) settings.topK = topK;
  if (["distance", "detail"].includes(fields.get("rank"))) settings.rank = fields.get("rank");
  return { query, settings };
}

function queryOf(fields) {
  const [path, text, code, detail] = ["path", "text", "code", "detail"].map((name) => fields.get(name));
  if (path) {
    const of = { kind: "path", path, image: null, thumbnail: null };
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
