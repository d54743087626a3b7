// Numbers, sizes, times and errors as people read them.

import { language } from "./language.js";

const NUMBER = new Intl.NumberFormat(language);
const DATE = new Intl.DateTimeFormat(language === "en" ? "en-GB" : language, { dateStyle: "medium", timeStyle: "short" });

export function number(value) {
  return NUMBER.format(value);
}

/** count(1, "picture") → "1 picture"; count(4332, "picture") → "4,332 pictures". */
export function count(value, noun) {
  return `${number(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** percent(0.978) → "98%"; what is not quite all or nothing isn't said to be so. */
export function percent(share) {
  if (share > 0.99 && share < 1) return "99%";
  if (share > 0 && share < 0.01) return "1%";
  return `${Math.round(100 * share)}%`;
}

/** cosineText(0.3141) → "cosine 0.31". */
export function cosineText(cosine) {
  return `cosine ${cosine.toFixed(2)}`;
}

/** bytes(43_200_000) → "43.2 MB". */
export function bytes(value) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : 1;
  return `${value.toFixed(digits)} ${units[unit]}`;
}

/** milliseconds(1.94) → "1.9 ms"; milliseconds(2312) → "2.3 s". */
export function milliseconds(value) {
  if (value >= 999.5) return `${(value / 1000).toFixed(1)} s`;
  return `${value < 9.95 ? value.toFixed(1) : Math.round(value)} ms`;
}

/** duration(75) → "1 min 15 s". */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** An ISO 8601 time in the reader's own time zone. */
export function date(iso) {
  return DATE.format(new Date(iso));
}

const AGO = new Intl.RelativeTimeFormat(language, { numeric: "always" });
const UNITS = [
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
];

/** How long ago an ISO 8601 time was: "14 minutes ago". */
export function ago(iso) {
  const seconds = (Date.now() - new Date(iso).getTime()) / 1000;
  const found = UNITS.find(([, length]) => seconds >= length);
  return found === undefined ? "just now" : AGO.format(-Math.floor(seconds / found[1]), found[0]);
}

/** sentence("the index has no row 17") → "The index has no row 17."; a name such as images.db stays as it is. */
export function sentence(text) {
  const begun = /^[a-z]+[ ,]/.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text;
  return /[.!?…]$/.test(begun) ? begun : `${begun}.`;
}

/** What a failed request has to say. */
export function problem(error) {
  const again = error.retryAfter ? ` Try again in ${duration(error.retryAfter)}.` : "";
  return sentence(error.message) + again;
}

/** The beginning of a sha256 that permalinks and tables show. */
export function short(sha256) {
  return sha256.slice(0, 12);
}
