"""The size of a picture of which a smaller copy may have been downloaded, as its source said.

Boxes of canvases are in pixels of the canvas, whatever size of its image a server gave.

    "manifest": …, "width": 4000, "height": 6000     of a canvas
    "full_size": [4000, 6000]                        of the picture that a region is on
"""

import json

KEY = "full_size"


def full_size_of(metadata: str | None) -> tuple[int, int] | None:
    """Returns width and height from ``metadata``, a JSON object as text; None if it says nothing of them."""
    match json.loads(metadata or "{}"):
        case {"full_size": [int(width), int(height)]} if _is_size(width, height):
            return width, height
        case {"manifest": _, "width": int(width), "height": int(height)} if _is_size(width, height):
            return width, height
    return None


def _is_size(width: int, height: int) -> bool:
    return 0 < width < 1_000_000 and 0 < height < 1_000_000
