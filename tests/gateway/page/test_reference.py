"""``/docs`` in a real browser, on the real stack: "Try it out" answers on the routes that change something.

Routes come in an order in which each finds what it needs: a collection is made before it is copied, a job begins before
it is cancelled. A page shows a part of them, since Swagger draws all that it shows anew at each click.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route

from tests.gateway.page.test_page import browser, pytestmark  # noqa: F401 (a fixture, and what says when to skip)
from tests.gateway.stack import Stack

LAKE = {"data/white.png": 0xFFFF, "data/dot.png": 0xFFFE, "data/black.png": 0x0000}
IDIOS = (
    *("searchImages", "compareImages", "countImages", "countFilteredImages", "listUrls", "dumpImages"),
    *("addImage", "addImages", "restoreImages", "removeImage", "searchAddImage"),
)
COLLECTIONS = (
    *("listCollections", "createCollection", "getCollection", "browseCollection", "listDuplicates"),
    *("getCollectionProperties", "getCollectionThumbnail", "copyCollection", "indexCollection", "foldCollection"),
    *("setAlias", "listAliases", "deleteAlias", "deleteCollection"),
)
#: The first two while nothing can be published, so that there is something to cancel.
JOBS = ("reindex", "cancelJob", "resumeJob", "getJob", "watchJob", "getJobLog", "listJobs")
VERSIONS = ("listVersions", "getVersion", "listSkipped", "verifyVersion", "promoteVersion", "deleteVersion")
#: However busy the machine is.
_MILLISECONDS = 240_000

_TRY = """
async ([operations, patience]) => {
  let operation;
  const found = async (look) => {
    for (const begun = Date.now(); ; ) {
      const it = look();
      if (it) return it;
      if (Date.now() - begun > patience) throw new Error(`${operation}: waited in vain for ${look}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  const answers = {};
  for (operation of operations) {
    const block = await found(() => document.querySelector(`[id$="-${operation}"].opblock`));
    if (!block.querySelector(".opblock-body")) block.querySelector(".opblock-summary-control").click();
    const begin = await found(() => block.querySelector(".try-out__btn, .execute"));
    if (begin.matches(".try-out__btn:not(.cancel)")) begin.click();
    (await found(() => block.querySelector(".execute"))).click();
    const live = ".live-responses-table .response";
    const status = await found(() => block.querySelector(`${live} .response-col_status`)?.innerText.trim());
    answers[operation] = [parseInt(status), block.querySelector(`${live} .response-col_description`).innerText];
    block.querySelector(".opblock-summary-control").click();
  }
  return answers;
}
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("stack"), LAKE, "colours.pt") as running:
        assert running.reindex("1.0.0").status_code == 200
        yield running


@pytest.fixture
def opened(browser: Browser, stack: Stack) -> Iterator["Opened"]:
    made = Opened(browser, stack)
    yield made
    made.page.close()


class Opened:
    """The page, whose requests bring the admin key."""

    def __init__(self, browser: Browser, stack: Stack) -> None:
        self.page: Page = browser.new_page(extra_http_headers={"X-API-Key": stack.admin_key})
        self.page.set_default_timeout(_MILLISECONDS)
        self._url = stack.url

    def show(self, operations: Sequence[str]) -> None:
        """The routes with these operations, as if there were no others."""

        def lessen(route: Route) -> None:
            spec: dict[str, Any] = route.fetch().json()
            for path, routes in [*spec["paths"].items()]:
                kept = {method: each for method, each in routes.items() if each["operationId"] in operations}
                spec["paths"][path] = kept
            spec["paths"] = {path: routes for path, routes in spec["paths"].items() if routes}
            route.fulfill(json=spec)

        self.page.route("**/openapi.json", lessen)
        self.page.goto(f"{self._url}/docs")

    def refused(self, *operations: str) -> dict[str, list[Any]]:
        """What answered something else than 2xx, of those that were tried out as they stand."""
        answers: dict[str, list[Any]] = self.page.evaluate(_TRY, [operations, _MILLISECONDS])
        return {operation: answer for operation, answer in answers.items() if answer[0] // 100 != 2}


@pytest.mark.parametrize("operations", [IDIOS, COLLECTIONS], ids=["idios", "collections"])
def test_each_answers_its_example(opened: Opened, operations: tuple[str, ...]) -> None:
    opened.show(operations)
    assert opened.refused(*operations) == {}


def test_jobs_and_versions_answer_theirs(opened: Opened, stack: Stack) -> None:
    opened.show((*JOBS, *VERSIONS))
    with stack.publishing_held():
        assert opened.refused(*JOBS[:2]) == {}
    latest = stack.call("GET", "/api/jobs/latest").json()["id"]
    assert stack.ended(latest)["state"] == "cancelled"
    assert opened.refused(JOBS[2]) == {}
    assert stack.ended(latest)["state"] == "succeeded"
    assert opened.refused(*JOBS[3:], *VERSIONS) == {}
