"""Reads IIIF Presentation manifests and collections, of versions 2 and 3, into canvases and addresses of images.

    manifest ─▶ canvases in order, numbered from 1 ─▶ the images painted on each ─▶ an Image API request, or a file

    v2   sequences[0].canvases[].images[].resource             service: image/full/full/0/default.jpg, or native.jpg (1)
    v3   items[].items[].items[].body                          service: image/full/max/0/default.jpg

A body may be a Choice, whose first image counts, or a list. What is said about a canvas, rather than painted on it,
doesn't count. What lacks an image keeps its number.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from sources.errors import Unreadable

#: Pictures are asked for with at most this many pixels on the longer side, where a server scales.
MAX_SIDE = 2500


@dataclass(frozen=True)
class Canvas:
    """One image on a canvas. ``name``: the canvas's id, and for further images on it ``…#image=2``. ``image``: where it
    is, None if the canvas has none; ``resource``: the image as a plain file, if that is somewhere else. ``size``: width
    and height of the canvas, in the pixels that annotations count; None where it doesn't say, and of further
    images."""

    name: str
    label: str
    page: int
    image: str | None
    resource: str | None = None
    size: tuple[int, int] | None = None


def is_collection(document: Any) -> bool:
    return _type(document) == "Collection"


def members_of(collection: Any) -> list[str]:
    """Returns the addresses of the manifests and collections in ``collection``, in their order."""
    found: list[str] = []
    for key in ("collections", "manifests", "members", "items"):
        for member in _list(collection.get(key)):
            if isinstance(member, dict) and (identity := _id(member)):
                found.append(identity)
    return list(dict.fromkeys(found))


def label_of(document: Any) -> str:
    """Returns the label in any of its forms: text, {"@value": …}, {"en": […]}, or a list of these; the first counts."""
    return _text(document.get("label")) if isinstance(document, dict) else ""


def canvases_of(manifest: Any) -> Iterator[Canvas]:
    """Yields the images of ``manifest``, in the order of its canvases. Raises Unreadable if it is none."""
    if not isinstance(manifest, dict) or _type(manifest) not in ("Manifest", ""):
        raise Unreadable("it is no IIIF manifest")
    if "items" in manifest:
        canvases, bodies_of = _list(manifest["items"]), _bodies_3
    elif "sequences" in manifest:
        sequences = _list(manifest["sequences"])
        canvases = _list(sequences[0].get("canvases")) if sequences and isinstance(sequences[0], dict) else []
        bodies_of = _bodies_2
    else:
        raise Unreadable("it is no IIIF manifest: it has neither items nor sequences")
    base = _id(manifest)
    for page, canvas in enumerate(canvases, 1):
        if not isinstance(canvas, dict):
            canvas = {}
        name, label = _id(canvas) or f"{base}#canvas={page}", label_of(canvas) or str(page)
        images = [found for body in bodies_of(canvas) if (found := _addresses(body))]
        if not images:
            yield Canvas(name, label, page, None)
        width, height = (_number(canvas.get(side)) for side in ("width", "height"))
        size = (width, height) if width > 0 and height > 0 else None
        for number, (address, resource) in enumerate(images, 1):
            if number == 1:
                yield Canvas(name, label, page, address, resource, size)
            else:  # which may cover a part of the canvas only
                yield Canvas(f"{name}#image={number}", label, page, address, resource)


def _bodies_2(canvas: Any) -> Iterator[Any]:
    for annotation in _list(canvas.get("images")):
        if isinstance(annotation, dict) and _paints(annotation):
            for resource in _list(annotation.get("resource")):
                yield _chosen(resource)


def _bodies_3(canvas: Any) -> Iterator[Any]:
    for page in _list(canvas.get("items")):
        for annotation in _list(page.get("items")) if isinstance(page, dict) else []:
            if isinstance(annotation, dict) and _paints(annotation):
                for body in _list(annotation.get("body")):
                    yield _chosen(body)


def _paints(annotation: Any) -> bool:
    """Whether its body is shown on the canvas: sc:painting, painting, or, as many leave out, nothing at all."""
    motivations = _list(annotation.get("motivation"))
    return not motivations or any(str(each).rpartition(":")[2] == "painting" for each in motivations)


def _chosen(body: Any) -> Any:
    """Returns the image that a Choice shows first, and of a part of an image (SpecificResource) the image."""
    for _ in range(8):
        if isinstance(body, dict) and _type(body) == "Choice":
            options = [body.get("default"), *_list(body.get("items") or body.get("item"))]
            body = next((each for each in options if _may_be_image(each)), None)
        elif isinstance(body, dict) and _type(body) == "SpecificResource":
            body = body.get("source") or body.get("full")
        else:
            break
    return body


def _may_be_image(body: Any) -> bool:
    if isinstance(body, str):
        return not body.startswith("rdf:")  # rdf:nil is nothing
    return isinstance(body, dict) and _type(body) in ("Image", "Choice", "SpecificResource", "")


def _addresses(body: Any) -> tuple[str, str | None] | None:
    """Returns where the image is, and its plain file if that is another address; None for what is no image."""
    if isinstance(body, str):
        return body, None
    if not isinstance(body, dict) or _type(body) not in ("Image", ""):
        return None
    plain = _id(body) or None
    service = next((each for each in _list(body.get("service")) if _serves_images(each)), None)
    if service is None:
        return plain and (plain, None)
    width, height = (_number(service.get(side)) or _number(body.get(side)) for side in ("width", "height"))
    size = "max" if _is_image_api_3(service) else "full"
    if max(width, height) > MAX_SIDE and not _serves_files_alone(service):
        size = f"{MAX_SIDE}," if width >= height else f",{MAX_SIDE}"
    quality = "native" if _is_image_api_1(service) else "default"
    image = f"{_id(service).rstrip('/')}/full/{size}/0/{quality}.jpg"
    return image, None if plain == image else plain


def requests_for(image: str, resource: str | None) -> list[str]:
    """Returns what to ask for, one after the other, until a server has it: not all know every size."""
    request = re.fullmatch(r"(.+)/full/[^/]+/0/(default|native)\.jpg", image)
    known = {"default": ("max", "full"), "native": ("full",)}
    sizes = [f"{request[1]}/full/{size}/0/{request[2]}.jpg" for size in known[request[2]]] if request else []
    return list(dict.fromkeys([image, *sizes, *([resource] if resource else [])]))


def _serves_images(service: Any) -> bool:
    """Whether it is of the Image API: by its type, context or profile; one that says nothing of itself will do. Others
    log people in, or search in texts."""
    if not isinstance(service, dict) or not _id(service):
        return False
    if _type(service):
        return _type(service).startswith("ImageService")
    said = f"{service.get('@context', '')} {service.get('profile', '')}".lower()
    return not said.strip() or "image" in said or "level" in said


def _is_image_api_1(service: Any) -> bool:
    return "image-api/1" in f"{service.get('@context')} {service.get('profile')}"


def _is_image_api_3(service: Any) -> bool:
    if _type(service).startswith("ImageService"):
        return _type(service) == "ImageService3"
    return "image/3" in str(service.get("@context"))


def _serves_files_alone(service: Any) -> bool:
    """Whether it doesn't scale: level 0."""
    profiles = [each for each in _list(service.get("profile")) if isinstance(each, str)]
    return any(each == "level0" or each.endswith(("level0.json", "#level0")) for each in profiles)


def viewer_of(template: str, manifest: str, canvas: str) -> str:
    manifest, canvas = (quote(each, safe="", errors="replace") for each in (manifest, canvas))
    return template.replace("{manifest}", manifest).replace("{canvas}", canvas)


def _type(document: Any) -> str:
    """Returns the type without its prefix: sc:Manifest, oa:Choice, dctypes:Image."""
    found = document.get("type") or document.get("@type") if isinstance(document, dict) else None
    return str(_list(found)[0]).rpartition(":")[2] if _list(found) else ""


def _id(document: Any) -> str:
    found = document.get("id") or document.get("@id")
    return found if isinstance(found, str) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return _text(value[0]) if value else ""
    if isinstance(value, dict):
        return _text(value["@value"] if "@value" in value else next(iter(value.values()), ""))
    return ""
