// Codes bit by bit.

/** bitsOf("9f") → [1, 0, 0, 1, 1, 1, 1, 1]: the first bit is the most significant one. */
export function bitsOf(code) {
  return [...code].flatMap((digit) => {
    const value = Number.parseInt(digit, 16);
    return [8, 4, 2, 1].map((weight) => (value & weight ? 1 : 0));
  });
}

/** The places, from 0, at which two codes of one width differ; their number is the Hamming distance. */
export function differing(one, other) {
  const others = bitsOf(other);
  return bitsOf(one).flatMap((bit, place) => (bit === others[place] ? [] : [place]));
}
