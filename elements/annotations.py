"""Boxes as W3C annotations, in one page as IIIF's viewers open it (Presentation API 3, annotation pages).

{"type": "AnnotationPage", "items": [{"type": "Annotation", "target": "https://…/canvas/7#xywh=120,80,300,400", …}]}
"""

import hashlib
from collections.abc import Iterable
from typing import Any

from contract.regions import region_name
from elements.results import Found

_CONTEXT = "http://iiif.io/api/presentation/3/context.json"


def annotation_page(document: str, detector: str, pages: Iterable[Found]) -> dict[str, Any]:
    """Returns the annotations of all boxes on ``pages`` of ``document``, in the order of the pages, the best first."""
    about = hashlib.sha256(f"{detector}\0{document}".encode("utf-8", "surrogatepass")).hexdigest()[:32]
    identity = f"urn:hashlake:elements:{about}"
    items: list[dict[str, Any]] = []
    for found in pages:
        for box in found.boxes:
            items.append(
                {
                    "id": f"{identity}:{len(items) + 1}",
                    "type": "Annotation",
                    "motivation": "tagging",
                    "creator": {"type": "Software", "name": detector},
                    "body": {"type": "TextualBody", "value": box.label, "format": "text/plain", "purpose": "tagging"},
                    "target": region_name(found.page.name, (box.x, box.y, box.width, box.height)),
                }
            )
    return {"@context": _CONTEXT, "id": identity, "type": "AnnotationPage", "items": items}
