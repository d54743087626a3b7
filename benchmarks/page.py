"""How smoothly the page scrolls through many results: ``python -m benchmarks.page --results 1000``.

A browser without a window searches, and scrolls from the first result to the last and back, a step a frame. Each frame
is timed. The gateway's routes are answered from memory, so that little but the page is measured; the browser has no
graphics card, and draws with the processor. So a trace also says how long the page itself works for a frame, which
no graphics card would change: scripts, style and layout, and what is to be painted.
"""

import shutil
import statistics
import time
from typing import Any

import click
from playwright.sync_api import Page, sync_playwright

from tests.gateway.page.fake_backend import QUERY_CODE, create_app, thumbnail_of
from tests.gateway.page.fake_collections import Collection, CollectionsBackend, Picture, garment
from tests.gateway.page.test_page import CHROMIUM
from tests.served_app import ServedApp

#: So many pictures are drawn; the results show them in turn.
DRAWN = 40
#: Scrolls down and up again by ``step`` pixels a frame; the milliseconds between the frames.
_SCROLL = """(step) => new Promise((resolve) => {
    const intervals = [];
    let before = performance.now();
    let by = step;
    const frame = (now) => {
        intervals.push(now - before);
        before = now;
        const bottom = document.documentElement.scrollHeight - innerHeight;
        if (by > 0 && scrollY >= bottom - 1) by = -step;
        else if (by < 0 && scrollY <= 0) return resolve(intervals.slice(1));
        scrollBy({top: by, behavior: "instant"});
        requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
})"""

#: What the page's own thread does for a frame, by the names that Chromium's trace gives it. What lies in something else
#: counts there: layout that a script forces is the script's.
_WORK = {
    "FireAnimationFrame": "scripts",
    "FunctionCall": "scripts",
    "EventDispatch": "scripts",
    "UpdateLayoutTree": "style and layout",
    "Layout": "style and layout",
    "HitTest": "style and layout",
    "IntersectionObserverController::computeIntersections": "what is in sight",
    "PrePaint": "paint",
    "Paint": "paint",
    "Layerize": "paint",
}

#: Nothing in place of the page, as high as it was.
_EMPTY = """() => {
    const height = document.documentElement.scrollHeight;
    document.body.replaceChildren();
    document.body.style.height = `${height}px`;
    scrollTo(0, 0);
}"""


@click.command()
@click.option("--results", default=1000, show_default=True, help="pictures in the answer")
@click.option("--step", default=240, show_default=True, help="pixels a frame")
@click.option("--browser", default="chromium-headless-shell", show_default=True, help="the browser's command")
def main(results: int, step: int, browser: str) -> None:
    """Search, scroll, and print the frames a second."""
    many = Collection({garment(number): Picture(number % DRAWN) for number in range(results)})
    backend = CollectionsBackend(collections={"many": many})
    for row in range(DRAWN):
        thumbnail_of(row)  # drawn now, not while the browser waits
    with ServedApp(create_app(backend)) as served, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=shutil.which(browser) or CHROMIUM, args=["--no-sandbox", "--disable-gpu"], timeout=120_000
        )
        page = chromium.new_page(viewport={"width": 1440, "height": 900})
        started = time.perf_counter()
        page.goto(f"{served.url}/#code={QUERY_CODE:x}&top_k={results}&rank=distance&in=many")
        page.locator(".result").nth(10).wait_for(state="attached", timeout=60_000)
        shown = time.perf_counter() - started
        page.wait_for_timeout(1000)
        print(f"{results} results shown after {shown:.2f} s")
        for round_ in ("first", "second", "empty page's"):
            if round_ == "empty page's":  # what this machine's browser reaches at all
                page.evaluate(_EMPTY)
            intervals, work = _scrolled(page, step)
            slowest = intervals[int(0.99 * len(intervals))]
            print(
                f"{round_} scroll: {1000 / statistics.mean(intervals):.1f} frames/s, median "
                f"{statistics.median(intervals):.1f} ms, 99% within {slowest:.1f} ms, {len(intervals)} frames; "
                f"of a frame's time the page's thread works {sum(work.values()):.2f} ms ({_told(work)})"
            )
        chromium.close()


def _scrolled(page: Page, step: int) -> tuple[list[float], dict[str, float]]:
    """The milliseconds between frames, ascending, and the page's own work for one, by kind, in milliseconds."""
    tracing = page.context.new_cdp_session(page)
    events: list[dict[str, Any]] = []
    tracing.on("Tracing.dataCollected", lambda piece: events.extend(piece["value"]))
    ended: list[object] = []
    tracing.on("Tracing.tracingComplete", lambda how: ended.append(how))
    tracing.send("Tracing.start", {"transferMode": "ReportEvents", "categories": "devtools.timeline"})
    intervals = sorted(page.evaluate(_SCROLL, step))
    tracing.send("Tracing.end")
    while not ended:
        page.wait_for_timeout(50)
    tracing.detach()
    spent = dict.fromkeys(_WORK.values(), 0.0)
    ends: dict[tuple[int, int], float] = {}
    for event in sorted((each for each in events if each["name"] in _WORK and each["ph"] == "X"), key=_start):
        thread = (event["pid"], event["tid"])
        if event["ts"] >= ends.get(thread, 0):
            ends[thread] = event["ts"] + event.get("dur", 0)
            spent[_WORK[event["name"]]] += event.get("tdur", 0) / 1000 / len(intervals)
    return intervals, spent


def _start(event: dict[str, Any]) -> float:
    return float(event["ts"])


def _told(work: dict[str, float]) -> str:
    return ", ".join(f"{kind} {spent:.2f}" for kind, spent in work.items())


if __name__ == "__main__":
    main()
