// The API keys that somebody typed: they live as long as this tab, and go nowhere but to this server.

import { kept } from "./kept.js";

function key(name) {
  const text = kept("sessionStorage", name);
  return { ...text, keep: (typed) => text.keep(typed.trim()) };
}

export const searchKey = key("hashlake search key");
export const adminKey = key("hashlake admin key");
