"""How answers look in a notebook: a row of thumbnails with their figures below, as HTML that needs no other file."""

from base64 import b64encode
from collections.abc import Callable, Iterable
from html import escape

from hashlake.client.errors import ClientError

#: As many as a notebook shows at a glance.
_MOST = 24


def row_of(images: Iterable[tuple[str, str]], thumbnail: Callable[[str], bytes] | None) -> str:
    """Returns HTML of the first 24 ``images``, pairs of a name and a caption, whose ``thumbnail`` is asked for. Where
    there is none, the name stands alone."""
    shown = [_figure(name, caption, thumbnail) for name, caption in list(images)[:_MOST]]
    return f'<div style="display:flex;flex-wrap:wrap;gap:8px">{"".join(shown)}</div>' if shown else "nothing was found"


def _figure(name: str, caption: str, thumbnail: Callable[[str], bytes] | None) -> str:
    picture = ""
    if thumbnail is not None:
        try:
            data = b64encode(thumbnail(name)).decode()
            picture = f'<img src="data:image/webp;base64,{data}" alt="" style="max-width:128px;max-height:128px"><br>'
        except ClientError:  # an upload, whose picture nobody keeps
            pass
    return (
        f'<figure style="margin:0;width:128px;font-size:11px;overflow-wrap:anywhere">{picture}'
        f"{escape(caption)}<br>{escape(name)}</figure>"
    )
