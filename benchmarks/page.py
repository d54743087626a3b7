"""How smoothly the page scrolls through many results: ``python -m benchmarks.page --results 1000``.

A browser without a window searches, and scrolls from the first result to the last and back, a step a frame. Each frame
is timed. The gateway's routes are answered from memory, so that little but the page is measured; the browser has no
graphics card, and draws with the processor.
"""

import shutil
import statistics
import time

import click
from playwright.sync_api import sync_playwright

from tests.gateway.page.fake_backend import QUERY_CODE, create_app, thumbnail_of
from tests.gateway.page.fake_collections import Collection, CollectionsBackend, Picture, garment
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
            executable_path=shutil.which(browser), args=["--no-sandbox", "--disable-gpu"], timeout=120_000
        )
        page = chromium.new_page(viewport={"width": 1440, "height": 900})
        started = time.perf_counter()
        page.goto(f"{served.url}/#code={QUERY_CODE:x}&top_k={results}&rank=distance&in=many")
        page.locator(".result").nth(results - 1).wait_for(state="attached", timeout=60_000)
        shown = time.perf_counter() - started
        page.wait_for_timeout(1000)
        print(f"{results} results shown after {shown:.2f} s")
        for round_ in ("first", "second", "empty page's"):
            if round_ == "empty page's":  # what this machine's browser reaches at all
                page.evaluate(_EMPTY)
            intervals = sorted(page.evaluate(_SCROLL, step))
            slowest = intervals[int(0.99 * len(intervals))]
            print(
                f"{round_} scroll: {1000 / statistics.mean(intervals):.1f} frames/s, median "
                f"{statistics.median(intervals):.1f} ms, 99% within {slowest:.1f} ms, {len(intervals)} frames"
            )
        chromium.close()


if __name__ == "__main__":
    main()
