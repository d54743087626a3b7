"""PDF files as a reader would write them by hand: a line of text a page, or a picture that fills it."""

from collections.abc import Sequence

from PIL import Image


def pdf_of(pages: Sequence[str | Image.Image], *, title: str = "", encrypted: bool = False) -> bytes:
    """A PDF of square pages, 144 points a side."""
    objects: list[bytes] = [b"<< /Type /Catalog /Pages 2 0 R >>", b"", f"<< /Title ({title}) >>".encode()]
    objects.append(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    kids = []
    for page in pages:
        if isinstance(page, str):
            content, resource = f"BT /F1 12 Tf 8 100 Td ({page}) Tj ET".encode(), b"/Font << /F1 4 0 R >>"
        else:
            pixels = page.convert("RGB")
            head = f"/Type /XObject /Subtype /Image /Width {pixels.width} /Height {pixels.height}"
            objects.append(_stream(f"{head} /ColorSpace /DeviceRGB /BitsPerComponent 8".encode(), pixels.tobytes()))
            content, resource = b"144 0 0 144 0 0 cm /I Do", f"/XObject << /I {len(objects)} 0 R >>".encode()
        objects.append(_stream(b"", content))
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 144 144] /Resources << "
            + resource
            + f" >> /Contents {len(objects)} 0 R >>".encode()
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>".encode()
    extra = b""
    if encrypted:  # by a password that nobody knows
        objects.append(b"<< /Filter /Standard /V 1 /R 2 /P -4 /O <" + b"41" * 32 + b"> /U <" + b"42" * 32 + b"> >>")
        extra = f" /Encrypt {len(objects)} 0 R /ID [<00> <00>]".encode()
    return _file(objects, extra)


def _stream(about: bytes, content: bytes) -> bytes:
    return b"<< " + about + f" /Length {len(content)} >>\nstream\n".encode() + content + b"\nendstream"


def _file(objects: Sequence[bytes], extra: bytes) -> bytes:
    data, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(data))
        data += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    head = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer\n"
    trailer = f"<< /Size {len(objects) + 1} /Root 1 0 R /Info 3 0 R".encode() + extra + b" >>\n"
    return data + head.encode() + trailer + f"startxref\n{len(data)}\n%%EOF\n".encode()
