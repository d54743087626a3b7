// The jobs of late.

import { byId, element, say } from "./elements.js";
import { outcome, reason } from "./job_progress.js";
import { date, duration, problem } from "./words.js";

const SIGNS = { running: "…", succeeded: "✓", failed: "✕", cancelled: "–", interrupted: "‖" };
const RESUMABLE = ["failed", "cancelled", "interrupted"];

/** `onRunning(job)` is called with a job that is found running, or was resumed. */
export function jobList(admin, { onRunning }) {
  async function load() {
    try {
      const { jobs } = await admin.json("api/jobs");
      say(byId("jobs-problem"), "");
      byId("jobs").replaceChildren(...jobs.map(item));
      byId("no-jobs").hidden = jobs.length > 0;
      const running = jobs.find(({ state }) => state === "running");
      if (running) onRunning(running);
    } catch (error) {
      say(byId("jobs-problem"), problem(error));
    }
  }

  function item(job) {
    const trouble = element("p", { class: "problem", role: "alert", hidden: true });
    const seconds = (new Date(job.finished) - new Date(job.created)) / 1000;
    const took = job.finished === null ? "" : `, took ${duration(seconds)}`;
    const resume = element(
      "button",
      { type: "button", "aria-label": `Resume ${job.request.new_index_database_version}` },
      "Resume",
    );
    resume.addEventListener("click", async () => {
      resume.disabled = true;
      try {
        const resumed = await admin.json(`api/jobs/${encodeURIComponent(job.id)}/resume`, { method: "POST" });
        onRunning(resumed);
        await load();
        byId("reindex-title").focus();
      } catch (error) {
        resume.disabled = false;
        say(trouble, problem(error));
      }
    });
    return element(
      "li",
      { class: "job", dataset: { state: job.state, id: job.id } },
      element("span", { class: "job-sign", "aria-hidden": "true" }, SIGNS[job.state] ?? "?"),
      element(
        "div",
        { class: "job-words" },
        element("strong", { class: "breaking" }, outcome(job)),
        reason(job) ? element("p", { class: "breaking" }, reason(job)) : null,
        element("p", { class: "soft" }, `${date(job.created)}${took}`),
        trouble,
      ),
      RESUMABLE.includes(job.state) ? resume : null,
    );
  }

  return { load };
}
