"""``/api/versions``: the versions in the index store. Promoting one is in job_routes, beside reindexing."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from gateway.access.guards import require_admin
from gateway.errors import TO_ADMINS, refusals
from gateway.images.open_versions import OpenVersions, images_of
from gateway.services import UsesServices
from searcher.errors import VersionDamaged, VersionMissing
from searcher.scan.tables import Mode
from searcher.versions.manifest import Manifest
from searcher.versions.store import CURRENT_FILE
from searcher.versions.verdict import verdict_on

router = APIRouter(
    prefix="/api/versions",
    tags=["versions"],
    dependencies=[Depends(require_admin)],
    responses=refusals(*TO_ADMINS),
)

Name = Annotated[str, Path(description="the index version's name", examples=["1.2.0"])]

_OF_ONE = refusals(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY)
_MAY_BE_DAMAGED = _OF_ONE | refusals(HTTPStatus.CONFLICT)


Verified = Field(
    default=None,
    description="when every byte of it was last found to be as published, UTC; null until then",
    examples=["2020-05-02T12:10:00Z"],
)
Damaged = Field(default=None, description="the file that isn't what was published", examples=[None])


class VersionModel(BaseModel):
    """The model that made a version's codes."""

    name: str = Field(description="as its card says", examples=["relahash-small-64bits"])
    sha256: str = Field(description="of the model's file, hex", examples=["9f86d081884c7d65…"])
    bits: int = Field(description="width of the codes", examples=[64])
    detail_bits: int | None = Field(description="width of the detail codes; null where there are none", examples=[256])


class VersionSummary(BaseModel):
    """One index version, in a list of them."""

    version: str = Field(description="its name", examples=["1.2.0"])
    created: datetime = Field(description="when it was published, UTC", examples=["2020-05-02T12:00:00Z"])
    count: int = Field(description="images in it", examples=[4320])
    skipped: int = Field(description="images of the listing that are not in it", examples=[12])
    mode: Mode = Field(description="how it is searched", examples=["default"])
    model: VersionModel
    bytes: int = Field(description="size of its files together", examples=[1234567])
    current: bool = Field(description="whether it is the one that is served", examples=[True])
    verified: datetime | None = Verified
    damaged: str | None = Damaged


class DamagedVersion(BaseModel):
    """A version that cannot be listed, or CURRENT itself."""

    version: str = Field(description="its name, or CURRENT where that names no version", examples=["1.1.0"])
    message: str = Field(description="what is wrong", examples=["version 1.1.0 has no readable manifest.json"])


class VersionList(BaseModel):
    """All index versions."""

    current: str | None = Field(description="the one that is served; null while there is none", examples=["1.2.0"])
    versions: list[VersionSummary] = Field(description="the newest first")
    damaged: list[DamagedVersion] = Field(description="those whose manifest cannot be read, by name", examples=[[]])


class VersionDetails(Manifest):
    """A version's manifest, and what the store adds to it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "format": 1,
                    "version": "1.2.0",
                    "created": "2020-05-02T12:00:00Z",
                    "model": {
                        "name": "relahash-small-64bits",
                        "sha256": "9f86d081884c7d65…",
                        "bits": 64,
                        "detail_bits": 256,
                        "precision": "float32",
                        "preprocessing": {"image_size": 128, "resize": "stretch"},
                        "decoder": "Pillow 13.0.0, libjpeg-turbo 3.1.2",
                    },
                    "count": 4320,
                    "skipped": 12,
                    "mode": "default",
                    "files": {"index.faiss": {"size": 34593, "sha256": "60303ae22b998861…"}},
                    "bytes": 1234567,
                    "current": True,
                }
            ]
        }
    )

    bytes: int = Field(description="size of its files together", examples=[1234567])
    current: bool = Field(description="whether it is the one that is served", examples=[True])
    verified: datetime | None = Verified
    damaged: str | None = Damaged


class SkippedImage(BaseModel):
    """An image of the listing that got no row."""

    path: str = Field(description="as the listing spelled it", examples=["data/abc.com/70_abc_com.jpg"])
    reason: str = Field(description="why it was skipped", examples=["the image is empty (0 bytes)"])


class SkippedImages(BaseModel):
    """A part of a version's skipped images."""

    total: int = Field(description="how many the version has, on all pages", examples=[12])
    skipped: list[SkippedImage] = Field(description="in the order of the listing")


class Verification(BaseModel):
    """Every byte of a version, compared with the checksums in its manifest."""

    version: str = Field(description="its name", examples=["1.2.0"])
    whole: bool = Field(description="whether every file is as it was published", examples=[True])
    files: int = Field(description="files that its manifest lists; 0 if that cannot be read", examples=[3])
    message: str | None = Field(description="what is damaged; null if nothing is", examples=[None])


def _open_versions(services: UsesServices) -> OpenVersions:
    return services.versions


Versions = Annotated[OpenVersions, Depends(_open_versions)]


@router.get("", summary="List the index versions", operation_id="listVersions")
def list_versions(versions: Versions) -> VersionList:
    current, found, damaged = None, [], []
    try:
        current = versions.current()
    except VersionDamaged as error:
        damaged.append(DamagedVersion(version=CURRENT_FILE, message=str(error)))
    for name in versions.store.names():
        try:
            found.append(_summary(versions, name, current))
        except VersionDamaged as error:
            damaged.append(DamagedVersion(version=name, message=str(error)))
        except VersionMissing:
            continue  # deleted just now
    found.sort(key=lambda version: (version.created, version.version), reverse=True)
    return VersionList(current=current, versions=found, damaged=damaged)


@router.get("/{name}", summary="One index version: its manifest", operation_id="getVersion", responses=_MAY_BE_DAMAGED)
def get_version(name: Name, versions: Versions) -> VersionDetails:
    manifest = _manifest(versions, name)
    return VersionDetails(
        **manifest.model_dump(),
        bytes=_bytes(manifest),
        current=manifest.version == versions.current(),
        **_standing(versions, name),
    )


@router.get(
    "/{name}/skipped",
    summary="The images that a version skipped, and why",
    operation_id="listSkipped",
    responses=_MAY_BE_DAMAGED,
)
def list_skipped(
    name: Name,
    versions: Versions,
    offset: Annotated[int, Query(ge=0, lt=1 << 32, description="how many to leave out")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000, description="how many to answer at most")] = 100,
) -> SkippedImages:
    version = versions.get(name)
    with images_of(version) as images:
        found = [SkippedImage(path=path, reason=reason) for path, reason in images.skipped(limit, offset)]
    return SkippedImages(total=version.manifest.skipped, skipped=found)


@router.post(
    "/{name}/verify",
    summary="Compare every byte of a version with its checksums",
    operation_id="verifyVersion",
    responses=_OF_ONE,
)
def verify_version(name: Name, versions: Versions) -> Verification:
    files = 0
    try:
        files = len(_manifest(versions, name).files)
        versions.store.verify(name)
        return Verification(version=name, whole=True, files=files, message=None)
    except VersionMissing as error:
        raise _missing(name) from error
    except (VersionDamaged, OSError) as error:
        if not versions.store.has(name):
            raise _missing(name) from error  # deleted since
        message = f"version {name} cannot be read ({error.strerror})" if isinstance(error, OSError) else str(error)
        return Verification(version=name, whole=False, files=files, message=message)


@router.delete(
    "/{name}",
    summary="Delete a version that is not the current one",
    operation_id="deleteVersion",
    status_code=HTTPStatus.NO_CONTENT,
    responses=_MAY_BE_DAMAGED,
)
def delete_version(name: Name, versions: Versions) -> None:
    versions.current()  # raises if CURRENT is damaged: then nobody knows which version may be deleted
    try:
        versions.store.delete(name)
    except VersionMissing as error:
        raise _missing(name) from error
    versions.forget_deleted()


def _manifest(versions: OpenVersions, name: str) -> Manifest:
    try:
        return versions.store.manifest(name)
    except VersionMissing as error:
        raise _missing(name) from error


def _missing(name: str) -> VersionMissing:
    """Returns the error with a message for clients: the store's own message names its folder."""
    return VersionMissing(f"there is no version {name}")


def _bytes(manifest: Manifest) -> int:
    return sum(entry.size for entry in manifest.files.values())


def _standing(versions: OpenVersions, name: str) -> dict[str, Any]:
    verdict = verdict_on(versions.store.folder / name)
    if verdict is None:
        return {}
    return {"damaged": verdict.damaged} if verdict.damaged else {"verified": verdict.checked}


def _summary(versions: OpenVersions, name: str, current: str | None) -> VersionSummary:
    manifest = versions.store.manifest(name)
    return VersionSummary(
        version=manifest.version,
        created=manifest.created.astimezone(UTC),
        count=manifest.count,
        skipped=manifest.skipped,
        mode=manifest.mode,
        model=VersionModel(**manifest.model.model_dump(include=set(VersionModel.model_fields))),
        bytes=_bytes(manifest),
        current=manifest.version == current,
        **_standing(versions, name),
    )
