// The operators' page: nothing without an admin key, everything else with one.

import { Refusal, ask, askJson } from "./api.js";
import { byId, say } from "./elements.js";
import { jobProgress } from "./job_progress.js";
import { jobList } from "./jobs.js";
import { refused } from "./key_prompt.js";
import { adminKey } from "./keys.js";
import { modelList } from "./models.js";
import { reindexForm } from "./reindex.js";
import { versionTable } from "./versions.js";

/** Start the page; `open()` when it comes into view. */
export function operatorPage() {
  // Requests with the admin key. Where it isn't accepted any longer, it is asked for anew.
  const admin = { json: withKey(askJson), response: withKey(ask) };

  function withKey(send) {
    return async (address, options = {}) => {
      const key = adminKey.get();
      try {
        return await send(address, { ...options, key });
      } catch (error) {
        const unwelcome = error instanceof Refusal && (error.status === 401 || error.status === 403);
        if (unwelcome && key === adminKey.get()) signOut(refused(error));
        throw error;
      }
    };
  }

  const progress = jobProgress(admin, {
    onEnd() {
      form.show(true);
      loadAll();
    },
    onTrouble: () => form.show(true),
  });
  const form = reindexForm(admin, {
    onStarted(job) {
      follow(job);
      progress.focus();
      jobs.load();
    },
    onRefused: () => jobs.load(), // one may be running that this page knows nothing of
  });
  const jobs = jobList(admin, { onRunning: follow });
  const models = modelList(admin, { onLoad: form.offer });
  const table = versionTable(admin, { onLoad: form.suggest });

  function follow(job) {
    if (progress.isFollowing(job)) return;
    form.show(false);
    progress.follow(job);
  }

  function loadAll() {
    return Promise.all([table.load(), models.load(), jobs.load()]);
  }

  function showSignedIn() {
    const signedIn = adminKey.get() !== null;
    byId("sign-in").hidden = signedIn;
    byId("operating").hidden = !signedIn;
    return signedIn;
  }

  function signOut(complaint = "") {
    adminKey.forget();
    progress.stop();
    form.show(true);
    byId("versions").tBodies[0].replaceChildren();
    for (const id of ["jobs", "models"]) byId(id).replaceChildren();
    showSignedIn();
    say(byId("sign-in-problem"), complaint);
    byId("admin-key").focus();
  }

  byId("sign-in").addEventListener("submit", async (event) => {
    event.preventDefault();
    const key = byId("admin-key").value.trim();
    try {
      await askJson("api/versions", { key });
    } catch (error) {
      say(byId("sign-in-problem"), refused(error));
      return;
    }
    byId("admin-key").value = "";
    say(byId("sign-in-problem"), "");
    adminKey.keep(key);
    showSignedIn();
    byId("reindex-title").focus();
    loadAll();
  });
  byId("forget-admin-key").addEventListener("click", () => signOut());
  byId("refresh").addEventListener("click", loadAll);

  return {
    open() {
      if (showSignedIn()) loadAll();
    },
  };
}
