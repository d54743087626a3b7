"""Pages of PDF files as pictures, the pictures on them, and their text: a splitter. PDFium renders (BSD licence).

    catalogue.pdf ─▶ catalogue.pdf#page=1, catalogue.pdf#page=2, …       150 dots per inch, or pdf:dpi=200
                     catalogue.pdf#page=2&image=1, …                     with pdf:images
                     catalogue.pdf#page=2&segment=5, …                   with pdf:text, for models with a text tower

Each part has ``page``, ``pages``, ``title`` and the page's ``text`` as metadata, so that an answer says what it found.
"""

import io
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pypdfium2
from PIL import Image
from pypdfium2 import raw

from sources.errors import SourceError, Unreadable
from sources.part_names import PART
from sources.segments import Words, segments_of
from sources.source import Item

DPI = 150
_POINTS = 72  # to an inch
#: Larger pages are rendered at fewer dots per inch: enough for every model, and half of what a picture file may have.
_MOST_PIXELS = 10_000_000
_MOST_PAGES = 5000
#: Letters of a page's text that are kept.
_MOST_TEXT = 4000
#: Pictures on pages below this many pixels a side are lines, icons and bullets.
_LEAST_SIDE = 64
#: Titles that programs write when they know none.
_NO_TITLE = re.compile(r"\s*(\(?(anonymous|untitled|unspecified|none)\)?|untitled document)?\s*", re.IGNORECASE)

#: PDFium knows no threads.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class PdfPages:
    """Takes PDF files apart into their pages, at ``dpi``, and, with ``images``, the pictures on them; with ``text``
    also into segments of their text that a model reads whole, whose tokenizer ``words`` is."""

    dpi: int = DPI
    images: bool = False
    text: bool = False
    words: Words | None = field(default=None, compare=False)

    def with_words(self, words: Words | None) -> "PdfPages":
        """Returns the splitter for a model with this tokenizer. Raises SourceError if text is wanted and there is
        none."""
        if self.text and words is None:
            raise SourceError("the model reads no words, and pdf:text needs one with a text tower")
        return replace(self, words=words)

    @property
    def suffixes(self) -> frozenset[str]:
        return frozenset({".pdf"})

    def __str__(self) -> str:
        return f"pdf:dpi={self.dpi}" + (",images" if self.images else "") + (",text" if self.text else "")

    def splits(self, item: Item) -> bool:
        return item.name.partition("?")[0].lower().endswith(".pdf")

    def parts(self, item: Item, data: bytes) -> Iterator[tuple[Item, bytes | Unreadable]]:
        """Yields the pages as BMP. A page that cannot be rendered keeps its number, and has a reason of its own."""
        with _one_at_a_time:
            document = _opened(data)
        try:
            yield from self._pages(item, document)
        finally:
            with _one_at_a_time:
                document.close()

    def _pages(self, item: Item, document: pypdfium2.PdfDocument) -> Iterator[tuple[Item, bytes | Unreadable]]:
        pages = len(document)
        if pages > _MOST_PAGES:
            raise Unreadable(f"the PDF has {pages:,} pages; the limit is {_MOST_PAGES:,}")
        with _one_at_a_time:
            title = _title(document)
        texts: list[tuple[int, str]] = []
        for number in range(1, pages + 1):
            about: dict[str, object] = {"page": number, "pages": pages} | ({"title": title} if title else {})
            part = replace(item, name=f"{item.name}#page={number}", parent=item.name)
            found: list[tuple[Item, bytes | Unreadable]] = []
            try:
                with _one_at_a_time:
                    page = document[number - 1]
                    try:
                        if text := _text(page):
                            about["text"] = text[:_MOST_TEXT]
                            texts.append((number, text))
                        part = replace(part, metadata=json.dumps(about, ensure_ascii=False))
                        found.append((part, _saved(_rendered(page, self.dpi), "BMP")))
                        for place, picture in enumerate(_pictures(page) if self.images else (), 1):
                            found.append((replace(part, name=f"{part.name}&image={place}"), _saved(picture, "BMP")))
                    finally:
                        page.close()
            except (pypdfium2.PdfiumError, ValueError, OSError) as error:
                found.append((part, Unreadable(f"the page cannot be rendered: {error}")))
            yield from found
        if self.text:
            yield from self._segments(item, texts, title)

    def _segments(
        self, item: Item, texts: list[tuple[int, str]], title: str | None
    ) -> Iterator[tuple[Item, bytes | Unreadable]]:
        assert self.words is not None
        for segment in segments_of(texts, self.words):
            about: dict[str, object] = {"title": title} if title else {}
            about |= {
                "text": segment.text,
                "type": "text",
                "source_type": "pdf",
                "extraction_type": "text",
                "total_tokens": segment.tokens,
                "segment_number": segment.number,
                "page_number": segment.page,
                "url": f"{item.name}#page={segment.page}",
            }
            name = f"{item.name}#page={segment.page}&segment={segment.number}"
            metadata = json.dumps(about, ensure_ascii=False)
            yield replace(item, name=name, kind="text", parent=item.name, metadata=metadata), segment.text.encode()


def open_pdf(options: str) -> PdfPages:
    """Returns the splitter with ``options``, such as "", "dpi=200" or "images,text". Raises SourceError."""
    dpi, images, text = DPI, False, False
    for option in filter(None, options.split(",")):
        key, _, value = option.partition("=")
        if key == "dpi" and value.isascii() and value.isdigit() and 18 <= int(value) <= 1200:
            dpi = int(value)
        elif option == "images":
            images = True
        elif option == "text":
            text = True
        else:
            raise SourceError(f"pdf:{option} is no option: dpi=18 to dpi=1200, images and text are")
    return PdfPages(dpi, images, text)


def picture_of(name: str, data: bytes) -> bytes:
    """Returns the part called ``name`` of the PDF in ``data``, as PNG, to be shown. Raises Unreadable."""
    found = PART.fullmatch(name)
    if found is None:
        raise Unreadable("no page of a PDF is called so")
    number, place = int(found[2]), int(found[3] or 0)
    with _one_at_a_time:
        document = _opened(data)
        try:
            if not 1 <= number <= len(document):
                raise Unreadable("the PDF has no such page")
            page = document[number - 1]
            pictures = [_rendered(page, DPI)] if not place else list(_pictures(page))[place - 1 : place]
            if not pictures:
                raise Unreadable("the page has no such picture")
            return _saved(pictures[0], "PNG")
        except pypdfium2.PdfiumError as error:
            raise Unreadable(f"the page cannot be rendered: {error}") from error
        finally:
            document.close()


def _opened(data: bytes) -> pypdfium2.PdfDocument:
    try:
        return pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if getattr(error, "err_code", None) == raw.FPDF_ERR_PASSWORD:
            raise Unreadable("the PDF is encrypted, and opens with a password only") from error
        raise Unreadable("the PDF is damaged, or none") from error


def _title(document: pypdfium2.PdfDocument) -> str | None:
    title = str(document.get_metadata_value("Title"))
    return None if _NO_TITLE.fullmatch(title) else title.strip()


def _text(page: pypdfium2.PdfPage) -> str:
    """Returns the page's text, one that answers can carry: without control characters and halves of characters."""
    textpage = page.get_textpage()
    try:
        text = textpage.get_text_range(errors="replace")
    finally:
        textpage.close()
    text = re.sub(r"[\0-\x08\x0b-\x1f\x7f\ufffe\uffff]", "", text.replace("\r\n", "\n"))
    return text.encode("utf-8", "replace").decode().strip()


def _rendered(page: pypdfium2.PdfPage, dpi: int) -> Image.Image:
    width, height = page.get_size()
    scale = dpi / _POINTS
    pixels = width * height * scale * scale
    if pixels > _MOST_PIXELS:
        scale *= (_MOST_PIXELS / pixels) ** 0.5
    picture: Image.Image = page.render(scale=scale).to_pil()
    return picture.convert("RGB")


def _pictures(page: pypdfium2.PdfPage) -> Iterator[Image.Image]:
    for found in page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE]):
        width, height = found.get_px_size()
        if min(width, height) >= _LEAST_SIDE and width * height <= _MOST_PIXELS:
            yield found.get_bitmap(render=False).to_pil().convert("RGB")


def _saved(picture: Image.Image, kind: str) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind)
    return stream.getvalue()
