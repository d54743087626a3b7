// A job as it goes on: its events, and again after each broken connection, until it has come to an end.

import { Refusal } from "./api.js";
import { eventsOf } from "./events.js";

const FIRST_WAIT = 0.5;
const LONGEST_WAIT = 15;

/**
 * The job in its final state. `onJob(job)` is called with each state on the way, `onLost(seconds)` when the connection
 * broke and is tried again after so long. Throws a Refusal where the server says no, and when `signal` is aborted.
 */
export async function finished(id, admin, signal, { onJob, onLost }) {
  let wait = FIRST_WAIT;
  for (;;) {
    try {
      const response = await admin.response(`api/jobs/${encodeURIComponent(id)}/events`, {
        headers: { Accept: "text/event-stream" },
        cache: "no-store",
        signal,
      });
      for await (const { name, data } of eventsOf(response.body)) {
        if (name !== "job") continue;
        const job = JSON.parse(data);
        onJob(job);
        wait = FIRST_WAIT;
        if (job.state !== "running") return job;
      }
    } catch (error) {
      if (signal.aborted || (error instanceof Refusal && error.status < 500)) throw error;
    }
    onLost(wait);
    await pause(wait, signal);
    wait = Math.min(2 * wait, LONGEST_WAIT);
  }
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, 1000 * seconds);
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
}
