"""A store of S3's protocol that costs little itself, for benchmarks/sources.py: moto's server takes more time for a GET
than a model for a picture.

    python -m benchmarks.object_store PORT FOLDER        its files, as objects of any bucket
    python -m benchmarks.object_store PORT --keys N      N keys without content

It lists pages of 1,000 keys, in order, and answers GETs; also of /i/NAME/full/… as an image server would. It checks
nothing: it is no store.
"""

from bisect import bisect_right
from pathlib import Path
from xml.sax.saxutils import escape

import click
from aiohttp import web

_PAGE = 1000


class Store:
    def __init__(self, folder: Path | None, keys: int) -> None:
        self._contents = {path.name: path.read_bytes() for path in sorted(folder.iterdir())} if folder else {}
        self._keys = sorted(self._contents) or [f"photos/{number // 1000:06}/{number:09}.jpg" for number in range(keys)]

    async def get(self, request: web.Request) -> web.Response:
        if "list-type" in request.query:
            return self._page(request.query.get("continuation-token", ""))
        name = request.path.removeprefix("/i/").partition("/full/")[0] if "/full/" in request.path else request.path
        content = self._contents.get(name.rpartition("/")[2])
        if content is None:
            return web.Response(status=404)
        headers = {"ETag": f'"{len(content)}"', "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}
        return web.Response(body=content, headers=headers)

    def _page(self, after: str) -> web.Response:
        start = bisect_right(self._keys, after) if after else 0
        page = self._keys[start : start + _PAGE]
        more = start + _PAGE < len(self._keys)
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2015-10-21T07:28:00.000Z</LastModified>"
            f"<ETag>&quot;{hash(key):x}&quot;</ETag><Size>{len(self._contents.get(key, b''))}</Size></Contents>"
            for key in page
        )
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        text = f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}{contents}</ListBucketResult>"
        return web.Response(text=text, content_type="application/xml")


@click.command()
@click.argument("port", type=int)
@click.argument("folder", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--keys", default=0)
def main(port: int, folder: Path | None, keys: int) -> None:
    app = web.Application()
    app.router.add_get("/{path:.*}", Store(folder, keys).get)
    web.run_app(app, host="127.0.0.1", port=port, print=None)


if __name__ == "__main__":
    main()
