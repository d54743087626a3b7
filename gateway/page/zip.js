// A ZIP archive, its files stored as they are: pictures are compressed already.
// https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, 4.3

const UTF8_NAMES = 0x0800;
const VERSION = 20;

const CRC = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

/** crc32(bytes of "123456789") → 0xcbf43926. */
export function crc32(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = (value >>> 8) ^ CRC[(value ^ byte) & 0xff];
  return (value ^ 0xffffffff) >>> 0;
}

/** What the numbers of an archive reach to. */
const LARGEST = 2 ** 32 - 1;

/** The archive of `files`, [{name, blob}], as a Blob. Throws an Error for people where they are too large for one. */
export async function zip(files) {
  const parts = [];
  const directory = [];
  let offset = 0;
  for (const { name, blob } of files) {
    const label = new TextEncoder().encode(name);
    const sum = crc32(new Uint8Array(await blob.arrayBuffer()));
    const common = [VERSION, UTF8_NAMES, 0, 0, DATE, [sum], [blob.size], [blob.size], label.length, 0];
    parts.push(numbers([0x04034b50], ...common), label, blob);
    directory.push(numbers([0x02014b50], VERSION, ...common, 0, 0, 0, [0], [offset]), label);
    offset += 30 + label.length + blob.size;
    if (offset > LARGEST) throw new Error("the pictures have more than 4 GiB together: select fewer");
  }
  const size = directory.reduce((sum, { length }) => sum + length, 0);
  const end = numbers([0x06054b50], 0, 0, files.length, files.length, [size], [offset], 0);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

/** 1 January 1980, the first day that an archive can name. */
const DATE = (1 << 5) | 1;

// Little-endian: a number takes two bytes, a number in a list four.
function numbers(...values) {
  const bytes = values.flatMap((value) => {
    const [number, width] = Array.isArray(value) ? [value[0], 4] : [value, 2];
    return Array.from({ length: width }, (_, place) => (number >>> (8 * place)) & 0xff);
  });
  return Uint8Array.from(bytes);
}
