// A streamed answer of one JSON object a line (NDJSON).

import { Unreachable } from "./api.js";

/** The objects of a response's body, as they arrive. Throws where the connection breaks off, or the last line does. */
export async function* objectsOf(body, signal) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await next(reader, signal);
      const lines = (rest + (value ?? "")).split("\n");
      rest = done ? "" : lines.pop();
      for (const line of lines) {
        if (line.trim() !== "") yield objectOf(line);
      }
      if (done) return;
    }
  } finally {
    reader.cancel().catch(() => {}); // of a broken connection, there is nothing to cancel
  }
}

async function next(reader, signal) {
  try {
    return await reader.read();
  } catch (error) {
    if (signal.aborted) throw error;
    throw new Unreachable();
  }
}

function objectOf(line) {
  try {
    return JSON.parse(line);
  } catch {
    throw new Error("the server's answer broke off");
  }
}
