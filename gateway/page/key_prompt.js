// Searches on a server that wants a key: they are tried, and where that fails with 401, a key is asked for.

import { Refusal } from "./api.js";
import { shown } from "./dialogs.js";
import { byId, say } from "./elements.js";
import { searchKey } from "./keys.js";
import { problem } from "./words.js";

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
      searchKey.forget();
      const given = await prompt(key === null ? "" : problem(error));
      if (given === null) throw error;
      searchKey.keep(given);
    }
  }
}

let open = null;

// Two searches that both need a key ask for it once.
function prompt(complaint) {
  open ??= promptAnew(complaint).finally(() => (open = null));
  return open;
}

async function promptAnew(complaint) {
  const field = byId("search-key-field");
  say(byId("key-problem"), complaint);
  const answer = await shown(byId("key-dialog"));
  const key = field.value.trim();
  field.value = "";
  return answer === "use" && key !== "" ? key : null;
}

byId("key-cancel").addEventListener("click", () => byId("key-dialog").close());
