// A short mark of a picture's bytes. Two pictures may have one code, and yet each needs an address of its own; nothing is
// secured by it, and the browser's own digests work over HTTPS alone.

/** Sixteen hexadecimal digits for the content of `blob`: two FNV-1a hashes of 32 bits, from different beginnings. */
export async function markOf(blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  let [one, other] = [0x811c9dc5, 0x9747b28c];
  for (const byte of bytes) {
    one = Math.imul(one ^ byte, 0x01000193);
    other = Math.imul(other ^ byte, 0x01000193);
  }
  return [one, other].map((hash) => (hash >>> 0).toString(16).padStart(8, "0")).join("");
}
