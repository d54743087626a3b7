"""Which sources a request may name: nothing outside the datalake's root, no credentials; no refusal repeats them."""

import zipfile
from pathlib import Path

import pytest

from gateway.errors import RequestRefused
from gateway.operations.jobs import JobStore, ReindexRequest
from gateway.operations.reindex_source import admitted_source
from gateway.services import Services
from gateway.settings import GatewaySettings
from tests.fakes import png_of
from tests.gateway.tiny_app import settings_in


@pytest.fixture
def settings(tmp_path: Path) -> GatewaySettings:
    """A root with a folder, an archive, lists, and links out of it and round."""
    settings = settings_in(tmp_path)
    lake = settings.datalake_root
    (lake / "photos").mkdir()
    (lake / "photos" / "a.png").write_bytes(png_of(1))
    with zipfile.ZipFile(lake / "a.zip", "w") as archive:
        archive.writestr("b.png", png_of(2))
    for name in ("list.txt", "manifests.txt"):
        (lake / name).write_text("http://e.org/a\n")
    (tmp_path / "outside").mkdir()
    (lake / "link").symlink_to(tmp_path / "outside")
    (lake / "round").symlink_to("round")
    return settings


@pytest.mark.parametrize(
    "source",
    ["s3://lake", "s3://lake/a b/é", "gs://lake/x", "az://box", "iiif:https://e.org/manifest?page=2", "iiif:http://e.org:8080/m"],
)  # fmt: skip
def test_remote_ones_stay_as_they_are(settings: GatewaySettings, source: str) -> None:
    assert admitted_source(source, settings) == source


@pytest.mark.parametrize(
    ("source", "admitted"),
    [
        ("photos", "folder:{lake}/photos"), ("folder:photos", "folder:{lake}/photos"), (".", "folder:{lake}"),
        ("{lake}/photos", "folder:{lake}/photos"), ("a.zip", "zip:{lake}/a.zip"), ("zip:a.zip", "zip:{lake}/a.zip"),
        ("urls:list.txt", "urls:{lake}/list.txt"), ("iiif:manifests.txt", "iiif:{lake}/manifests.txt"),
    ],
)  # fmt: skip
def test_paths_start_from_the_root(settings: GatewaySettings, source: str, admitted: str) -> None:
    lake = settings.datalake_root
    assert admitted_source(source.format(lake=lake), settings) == admitted.format(lake=lake)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        *((source, "names nothing below the datalake's root") for source in (
            "..", "/etc", "photos/../../outside", "link", "round", "nothing", "urls:/etc/passwd", "zip:../a.zip",
            "iiif:/etc/hostname", "folder:/", "x" * 300)),
        *((source, "holds credentials") for source in (
            "s3://AKIA:pa55word@lake/x", "iiif:https://me:pa55word@e.org/m", "iiif:https://e.org/m?token=pa55word",
            "iiif:https://e.org/m?a=b&X-Amz-Signature=pa55word", "https://e.org/?api_key=pa55word",
            "az://box?sv=1&sig=pa55word")),
        *((source, "is no address of a bucket") for source in ("s3:lake", "s3:/lake", "gs://lake?x=y", "s3://lake#pa55word")),
        *((source, "names no bucket") for source in ("s3://", "gs:///x")),
        *((source, "is none of s3, gs, az") for source in (
            "collection:http://10.0.0.1/pa55word", "https://e.org/a.zip", "file:///etc", "C:photos", "tape:pa55word")),
        *((source, "names a host that may not be asked") for source in (
            "iiif:http://169.254.169.254/", "iiif:http://127.0.0.1:8081/m")),
        ("iiif:https://e.org:22/m", "is no address of a manifest: port 22"),
        *((source, "is empty, or has control characters") for source in ("", " ", "photos\n", "pho\0tos", "a\x85b")),
    ],
)  # fmt: skip
def test_what_is_refused(settings: GatewaySettings, source: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("S3_BUCKET_NAME", raising=False)
    with pytest.raises(RequestRefused) as refused:
        admitted_source(source, settings)
    assert (refused.value.status, str(refused.value).startswith(f"source {why}")) == (422, True), str(refused.value)
    assert "pa55word" not in str(refused.value) and "\n" not in str(refused.value)


def test_what_the_operator_has_named_is_admitted_whatever_it_is(settings: GatewaySettings) -> None:
    for named in ("collection:http://10.0.0.1/shoes", "/data/photos", "s3://lake"):
        assert admitted_source(named, settings.model_copy(update={"source": named})) == named


def test_pictures_of_sources_that_were_asked_for_are_shown(settings: GatewaySettings) -> None:
    lake = settings.datalake_root
    jobs = JobStore(settings.state / "jobs.db")
    for source in ("a.zip", "link", None):
        jobs.create(ReindexRequest(new_index_database_version="1", source=source))
    originals = Services.create(settings).originals
    assert originals.read(f"{lake}/a.zip#b.png") == png_of(2)
    assert not originals.has(f"{lake}/link/a.png")
    originals.admit(f"folder:{lake}/photos")
    assert originals.read(f"{lake}/photos/a.png") == png_of(1)
    originals.close()
