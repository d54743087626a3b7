// What is searched for, and how it is sent. A query is one of
//
//   {kind: "picture", file}                    a picture of the user's own: a File or Blob, sent untouched
//   {kind: "part", whole, box}                 what `box` cuts out of the picture of `whole`, a query of another kind
//   {kind: "address", address}                 a picture that the server fetches
//   {kind: "path", path, of, image, thumbnail} an image of the collection `of`; the addresses are null while unknown
//   {kind: "text", text}                       words, or the name of a class
//   {kind: "mixture", of, text, weight}        a picture, `of` one of the kinds above, and words that count `weight`, 0 to 1
//   {kind: "code", code, detail, mark}         the codes themselves, hexadecimal; `detail` may be null, `mark` undefined
//
// each with `model` where it comes from a link: the beginning of the sha256 of the model that the link was made with.

import { cutOut } from "./cut_out.js";

export const DATALAKE = "default";

/** The file of the picture of a query, whole. `load(address)` fetches an indexed one. */
export function pictureFile(query, load) {
  return query.kind === "picture" ? query.file : load(query.image);
}

/** The query's picture as a query of its own; null for one without. */
export function pictured(query) {
  if (query?.kind === "mixture") return query.of;
  return ["picture", "part", "path", "address"].includes(query?.kind) ? query : null;
}

/** Whether it is an image of the collection that is searched, which knows its codes. */
export function isOwn(query, collection) {
  return query.kind === "path" && query.of === collection;
}

/** The form to send, and `picture`, the Blob in it (null where none is sent). */
export async function form(asked, { topK, rank, turned, collection, filter }, load) {
  const fields = new FormData();
  const query = asked.kind === "mixture" ? asked.of : asked;
  let picture = null;
  if (query.kind === "picture") {
    picture = query.file;
    fields.append("image", picture, picture.name || "picture");
  } else if (query.kind === "part") {
    picture = await cutOut(await pictureFile(query.whole, load), query.box);
    fields.append("image", picture, "part");
  } else if (query.kind === "address") {
    fields.append("url", query.address);
  } else if (query.kind === "path" && !isOwn(query, collection)) {
    picture = await load(query.image);
    fields.append("image", picture, "picture");
  } else if (query.kind === "code") {
    fields.append("code", query.code);
    if (query.detail !== null) fields.append("detail_code", query.detail);
  } else {
    fields.append(query.kind, query[query.kind]);
  }
  if (asked.kind === "mixture") {
    fields.append("text", asked.text);
    fields.append("text_weight", String(asked.weight));
  }
  fields.append("top_k", String(topK));
  fields.append("rank", rankOf(asked, rank));
  if (turned && isTurnable(asked)) fields.append("turned", "true");
  if (collection !== DATALAKE) fields.append("collection", collection);
  if (filter !== "") fields.append("filter", filter);
  return { fields, picture };
}

/** Words have no detail code, so their pictures come by distance whatever is chosen. */
export function rankOf(query, rank) {
  return query.kind === "text" || query.kind === "mixture" ? "distance" : rank;
}

/** Whether its picture is sent, and so can be looked for in other positions. Codes can't. */
export function isTurnable({ kind, of }) {
  return kind === "mixture" ? isTurnable(of) : ["picture", "part", "address"].includes(kind);
}

/** The query in a few words, after "like". */
export function described(query) {
  switch (query.kind) {
    case "picture":
      return query.file.name || "the pasted picture";
    case "part":
      return `a part of ${described(query.whole)}`;
    case "address":
      return query.address;
    case "path":
      return query.path;
    case "text":
      return `“${query.text}”`;
    case "mixture":
      return `${described(query.of)} and “${query.text}”`;
    default:
      return `the code ${query.code.length > 16 ? `${query.code.slice(0, 16)}…` : query.code}`;
  }
}
