// The job that runs now: phase, bar, figures, and the button that cancels it.

import { byId, element, say } from "./elements.js";
import { finished } from "./job_events.js";
import { count, duration, number, problem, sentence } from "./words.js";

const PHASES = {
  listing: "Listing the pictures",
  loading: "Loading the model",
  indexing: "Hashing pictures",
  packing: "Packing the model",
  registering: "Loading the model into the server",
  switching: "Switching to the new model",
  publishing: "Publishing the version",
  waiting: "Waiting for all workers to serve it",
  done: "Done",
};

/** `onEnd()` is called when a followed job has ended, `onTrouble()` when it can't be followed any longer. */
export function jobProgress(admin, { onEnd, onTrouble }) {
  const panel = byId("job-now");
  const bar = element("progress", { "aria-label": "Pictures hashed" });
  const title = element("h3", { tabindex: -1 });
  const phase = element("p", { class: "job-phase" });
  const figures = element("p", { class: "job-figures" });
  const lost = element("p", { class: "warning", role: "status", hidden: true });
  const trouble = element("p", { class: "problem", role: "alert", hidden: true });
  const cancel = element("button", { type: "button", onclick: cancelJob });
  panel.replaceChildren(element("div", { class: "job-head" }, title, cancel), phase, bar, figures, lost, trouble);
  let following = null;
  let id = null;
  let said = "";

  function show(job) {
    const running = job.state === "running";
    panel.dataset.state = job.state;
    title.textContent = running ? outcome(job).slice(0, -1) : outcome(job);
    say(phase, running ? phaseOf(job) : reason(job));
    showBar(job, running);
    figures.textContent = figuresOf(job, running).join(" · ");
    cancel.hidden = !running;
    lost.hidden = true;
    // To a screen reader, the changes of phase; not every hundred pictures.
    const news = running ? `${phaseOf(job)}.` : outcome(job);
    if (news !== said) byId("job-status").textContent = news;
    said = news;
  }

  // Only the hashing has a measure; before it and after it the bar shows that something goes on.
  function showBar(job, running) {
    bar.hidden = !running;
    if (job.phase === "indexing" && job.total > 0) {
      bar.max = job.total;
      bar.value = job.done;
    } else {
      bar.removeAttribute("value");
    }
  }

  async function follow(job) {
    stop();
    const mine = new AbortController();
    following = mine;
    id = job.id;
    offerCancel(true);
    say(trouble, "");
    show(job);
    panel.hidden = false;
    try {
      await finished(job.id, admin, mine.signal, { onJob: show, onLost });
      following = null;
      onEnd();
    } catch (error) {
      if (mine.signal.aborted) return;
      following = null;
      say(trouble, problem(error));
      onTrouble();
    }
  }

  function onLost(seconds) {
    say(lost, `The connection broke. Trying again in ${duration(seconds)}; the job goes on meanwhile.`);
  }

  async function cancelJob() {
    offerCancel(false);
    say(trouble, "");
    try {
      await admin.json(`api/jobs/${encodeURIComponent(id)}`, { method: "DELETE" });
    } catch (error) {
      offerCancel(true);
      say(trouble, problem(error));
    }
  }

  // The job ends at its next step, which may take a while.
  function offerCancel(possible) {
    cancel.disabled = !possible;
    cancel.textContent = possible ? "Cancel" : "Cancelling…";
  }

  function stop() {
    following?.abort();
    following = null;
  }

  return {
    follow,
    stop() {
      stop();
      panel.hidden = true;
    },
    isFollowing: (job) => following !== null && job.id === id,
    focus: () => title.focus(),
  };
}

function phaseOf(job) {
  return PHASES[job.phase] ?? job.phase;
}

/** How a job ended, in a sentence. */
export function outcome(job) {
  const name = job.request.new_index_database_version;
  const promoting = job.kind === "promote";
  return {
    running: promoting ? `Version ${name} is being promoted.` : `Version ${name} is being made.`,
    succeeded: `Version ${name} is served now.`,
    failed: promoting ? `Version ${name} could not be promoted.` : `Version ${name} could not be made.`,
    cancelled: `Version ${name} was cancelled.`,
    interrupted: `Version ${name} was interrupted.`,
  }[job.state];
}

/** Why it ended so, or "". */
export function reason(job) {
  return job.message ? sentence(job.message) : "";
}

function figuresOf(job, running) {
  const figures = [];
  if (job.total > 0) figures.push(`${number(job.done)} of ${count(job.total, "picture")}`);
  if (running && job.phase === "indexing" && job.rate > 0) figures.push(`${number(Math.round(job.rate))} a second`);
  if (running && job.eta_seconds !== null) figures.push(`about ${duration(job.eta_seconds)} left`);
  if (job.skipped > 0) figures.push(`${number(job.skipped)} skipped`);
  return figures;
}
