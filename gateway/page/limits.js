// What the server takes, said before anything is sent.

const MIB = 2 ** 20;
const LARGEST = 32 * MIB;

/** Why a file is too large to be sent; "" if it isn't. */
export function tooLarge({ name, size }) {
  if (size <= LARGEST) return "";
  const mib = (size / MIB).toFixed(1);
  return `${name || "The picture"} has ${mib} MiB, and at most ${LARGEST / MIB} MiB can be sent. Save it smaller, as a JPEG say.`;
}
