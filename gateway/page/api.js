// Requests to the gateway. Whatever goes wrong is thrown with a message for people:
//
//   Refusal       the server answered with an error; `status`, and `retryAfter` in seconds where it said so
//   Unreachable   there was no answer
//   AbortError    the caller's signal was aborted (fetch's own)

export class Refusal extends Error {
  constructor(status, message, retryAfter) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

export class Unreachable extends Error {
  constructor() {
    super("the server can't be reached");
  }
}

/** The response, if it is one of success. `key` is sent in X-API-Key, `json` as the body. */
export async function ask(address, { key = null, json, headers = {}, ...options } = {}) {
  if (json !== undefined) {
    options.body = JSON.stringify(json);
    headers = { ...headers, "Content-Type": "application/json" };
  }
  if (key !== null && !/^[!-~]+$/.test(key)) throw new Refusal(401, "a key has letters, digits and signs only");
  const sent = key === null ? headers : { ...headers, "X-API-Key": key };
  let response;
  try {
    response = await fetch(address, { ...options, headers: sent });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Unreachable();
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

/** The answer's JSON, null for an empty answer (204). */
export async function askJson(address, options = {}) {
  return jsonOf(await ask(address, { cache: "no-store", ...options }), options.signal);
}

/** The JSON of a response that `ask` gave with the same `signal`. */
export function jsonOf(response, signal) {
  return response.status === 204 ? null : interrupted(response.json(), signal);
}

/** The answer's bytes, as a Blob. */
export async function askBlob(address, options = {}) {
  return blobOf(await ask(address, options), options.signal);
}

/** The bytes of a response that `ask` gave with the same `signal`. */
export function blobOf(response, signal) {
  return interrupted(response.blob(), signal);
}

// A connection that breaks off in the middle of the body rejects with a TypeError.
async function interrupted(body, signal) {
  try {
    return await body;
  } catch (error) {
    if (signal?.aborted) throw error;
    throw error instanceof SyntaxError ? new Error("the server's answer can't be understood") : new Unreachable();
  }
}

async function refusal(response) {
  const retryAfter = Number(response.headers.get("Retry-After")) || null;
  let message = `the server answered ${response.status} ${response.statusText}`.trim();
  try {
    message = messageOf(await response.json()) || message;
  } catch {
    // Not one of ours: a proxy's page, say. Its status has to do.
  }
  return new Refusal(response.status, message, retryAfter);
}

// The gateway's own routes say {message}; those under /models/ say {detail}, a text or a list of what is wrong.
function messageOf({ message, detail }) {
  if (Array.isArray(detail)) return detail.map(({ msg }) => msg).join("; ");
  return [message, detail].find((text) => typeof text === "string");
}
