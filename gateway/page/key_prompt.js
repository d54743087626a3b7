// Keys are asked for where they turn out to be needed: a search key by servers that answer 401 without one, an admin
// key before anything is changed.

import { Refusal, askJson } from "./api.js";
import { shown } from "./dialogs.js";
import { byId, say } from "./elements.js";
import { adminKey, searchKey } from "./keys.js";
import { problem } from "./words.js";

const SEARCH = {
  title: "This server asks for a key",
  text: "It is kept for this tab only, and sent with each search.",
};
const ADMIN = {
  title: "This needs an admin key",
  text: "It is kept for this tab only, and sent with what needs it.",
};

/**
 * The outcome of `send(key)`, `key` being null as long as none was needed. Asks again as long as keys are refused;
 * throws the Refusal when nobody has one.
 */
export async function withSearchKey(send) {
  for (;;) {
    const key = searchKey.get();
    try {
      return await send(key);
    } catch (error) {
      if (!(error instanceof Refusal) || error.status !== 401) throw error;
      if (key !== searchKey.get()) continue; // another request has got one meanwhile
      searchKey.forget();
      const given = await once(() => prompt(SEARCH, key === null ? "" : problem(error)));
      if (given === null) throw error;
      searchKey.keep(given);
    }
  }
}

/** The door of this server's own routes: a route that any admin key opens, and why a key doesn't do. */
const GATEWAY = { tries: "api/versions", refused };

/**
 * The outcome of `send(key)`. Asks for a key first where none is known, and again when it is refused. Another port may
 * have another `door`.
 */
export async function withAdminKey(send, door = GATEWAY) {
  let complaint = "";
  for (;;) {
    const key = adminKey.get() ?? (await once(() => welcomeAdminKey(complaint, door)));
    if (key === null) throw new Refusal(401, "this needs an admin key");
    try {
      return await send(key);
    } catch (error) {
      if (!(error instanceof Refusal) || (error.status !== 401 && error.status !== 403)) throw error;
      if (key === adminKey.get()) adminKey.forget();
      complaint = door.refused(error);
    }
  }
}

/** Why a key doesn't do. */
export function refused(error) {
  const searchOnly = error instanceof Refusal && error.status === 403;
  return searchOnly ? `This key may search only. ${problem(error)}` : problem(error);
}

let open = null;

// Two requests that both need a key ask for it once.
function once(asking) {
  open ??= asking().finally(() => (open = null));
  return open;
}

// A key is tried by itself: what it is wanted for may be many pictures at once, each a failed try.
async function welcomeAdminKey(complaint, door) {
  for (;;) {
    const key = await prompt(ADMIN, complaint);
    if (key === null) return null;
    try {
      await askJson(door.tries, { key });
      adminKey.keep(key);
      return key;
    } catch (error) {
      complaint = door.refused(error);
    }
  }
}

async function prompt({ title, text }, complaint) {
  const field = byId("key-field");
  byId("key-title").textContent = title;
  byId("key-text").textContent = text;
  say(byId("key-problem"), complaint);
  const answer = await shown(byId("key-dialog"));
  const key = field.value.trim();
  field.value = "";
  return answer === "use" && key !== "" ? key : null;
}

byId("key-cancel").addEventListener("click", () => byId("key-dialog").close());
