"""The annotation file that clients of extractorAPI read, line by line.

    7 btv1b8490076p_0007.jpg      the page's number and its picture, also where nothing was found on it
    120 80 300 400                x, y, width and height of a box, in pixels of the whole page, the worst first

Clients take lines of ``\\d+\\s+\\S+\\.jpg`` and ``\\d+\\s\\d+\\s\\d+\\s\\d+`` alone. Pages that failed are not in it.
"""

from collections.abc import Iterable

from elements.results import Found


def annotation_lines(pages: Iterable[Found]) -> Iterable[str]:
    """Yields the lines of the file about ``pages``."""
    for found in pages:
        if found.reason is None:
            yield f"{found.page.number} {found.page.file}"
            for box in reversed(found.boxes):
                yield f"{box.x} {box.y} {box.width} {box.height}"
