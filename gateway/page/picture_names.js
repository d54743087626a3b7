// What a picture of a collection is called: an address that it is fetched from, "upload:" and a digest, or a path of
// the datalake.

/** Whether the picture can be fetched again. */
export function isAddress(url) {
  return /^https?:\/\//i.test(url);
}

/** Its metadata in one line: "colour: red · price: 12". */
export function inOneLine(metadata) {
  return Object.entries(metadata ?? {})
    .map(([name, value]) => `${name}: ${typeof value === "object" ? JSON.stringify(value) : value}`)
    .join(" · ");
}
