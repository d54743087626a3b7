"""Names of files for documents and their pages: letters, digits, dots, dashes and underscores alone.

https://…/ark:/12148/btv1b8490076p/manifest.json   btv1b8490076p            …/iiif/manifest-3 ─▶ iiif
https://…/iiif/ms-12                               ms-12
/data/books/first.pdf                              first

A page's picture is called btv1b8490076p_0007.jpg.
"""

import re
from urllib.parse import unquote

from contract.image_names import is_url

_LONGEST = 100
#: What is before the path in an address, which may be any text: a manifest names its members.
_URL_PATH = re.compile(r"^[^:]*://[^/]*")
#: ms.annotations.json is a file about ms.
_ENDING = re.compile(r"(\.(json|pdf|zip|tar|txt|annotations))+$", re.IGNORECASE)


def document_name(identity: str) -> str:
    """Returns the name of the document called ``identity``: the last part of its address, or, of a manifest's that
    says "manifest", the part before it."""
    path = _URL_PATH.sub("", re.split("[?#]", identity)[0]) if is_url(identity) else identity
    parts = [each for each in unquote(path).split("/") if each]
    if len(parts) > 1 and is_url(identity) and "manifest" in parts[-1].lower():
        parts.pop()
    last = parts[-1] if parts else ""
    return _plain(_ENDING.sub("", last)) or "document"


def picture_name(document: str, page: int, image: int = 1) -> str:
    """Returns the name of the picture of ``page`` of the document called ``document``."""
    return f"{document}_{page:04d}{f'_{image}' if image > 1 else ''}.jpg"


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("._")[:_LONGEST]
