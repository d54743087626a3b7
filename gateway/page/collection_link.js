// The address of a place in the collections: everything that is shown stands behind the #.
//
//   #collections                                   the first collection
//   #collection=shoes                              all pictures of this one
//   #collection=shoes&filter=%7B"colour"…          those of them that match
//   #collection=shoes&like=https%3A%2F%2F…         those that are nearest to one of them; with `filter`, too
//   #collection=shoes&distance=4                   its near-duplicates, up to so many bits apart
//   #collection=shoes&distance=                    the same, as far apart as copies are by its model
//
// A place is {name, view: "all" | "like" | "duplicates", filter, like, distance}; name is null for the first one, and
// distance is for the model's own.

export const COLLECTIONS = "#collections";

/** The address of a place. */
export function hashOfPlace({ name, view = "all", filter = "", like = "", distance = null }) {
  if (name === null) return COLLECTIONS;
  const fields = new URLSearchParams({ collection: name });
  if (view === "duplicates") {
    fields.set("distance", distance === null ? "" : String(distance));
  } else {
    if (filter !== "") fields.set("filter", filter);
    if (view === "like") fields.set("like", like);
  }
  return `#${fields}`;
}

/** The place that a hash names; null if it names none in the collections. */
export function placeOf(hash) {
  const fields = new URLSearchParams(hash.slice(1));
  const name = fields.get("collection");
  if (!name && hash !== COLLECTIONS) return null;
  const like = fields.get("like") ?? "";
  const distance = fields.get("distance") || null;
  const view = fields.has("distance") ? "duplicates" : like === "" ? "all" : "like";
  return {
    name,
    view,
    filter: fields.get("filter") ?? "",
    like,
    distance: /^\d+$/.test(distance) ? Number(distance) : null,
  };
}
