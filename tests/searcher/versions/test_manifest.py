"""A manifest says what its version is, refuses codes of another model by both names, and its own damage by field."""

import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from contract.closeness import Calibration, Curve
from contract.model import ModelIdentity
from searcher.errors import ModelMismatch, VersionDamaged
from searcher.versions.manifest import MANIFEST_FILE, FileEntry, Manifest, file_entry, read_manifest, with_checksum
from tests.searcher.versions.versions_by_hand import MODEL
from tests.vectors import spaces_of

MANIFEST = Manifest(
    version="1.5.0",
    created=datetime(2020, 5, 2, 12, 0, 0, tzinfo=UTC),
    model=MODEL,
    count=3,
    skipped=1,
    files={"index.faiss": FileEntry(size=39, sha256="b" * 64), "images.db": FileEntry(size=20480, sha256="c" * 64)},
)
CALIBRATION = Calibration(code=Curve(distances=(0, 16), shares=(1, 0)), nothing_below=0.2)


def other_model(**changes: Any) -> ModelIdentity:
    return MODEL.model_copy(update={"name": "other", **changes})


class TestModel:
    def test_the_same_model_is_welcome(self) -> None:
        MANIFEST.require_model(MODEL.model_copy())

    def test_only_its_name_precision_decoder_or_calibration_may_differ(self) -> None:
        MANIFEST.require_model(other_model())
        MANIFEST.require_model(other_model(precision="float16"))
        MANIFEST.require_model(other_model(decoder="Pillow 12.0.0, libjpeg-turbo 3.1.2"))
        MANIFEST.require_model(other_model(calibration=CALIBRATION))

    def test_another_width_names_both_models_and_both_widths(self) -> None:
        with pytest.raises(ModelMismatch, match=r"version 1\.5\.0 .*16 bits \(model grid\).* model other .*64 bits"):
            MANIFEST.require_model(other_model(spaces=spaces_of(64), sha256="d" * 64))

    def test_another_file_names_both_models_and_both_checksums(self) -> None:
        with pytest.raises(
            ModelMismatch, match=r"version 1\.5\.0 .*model grid \(sha256 a{12}…\).*model other \(sha256 d{12}…"
        ):
            MANIFEST.require_model(other_model(sha256="d" * 64))

    def test_another_preparation_names_both(self) -> None:
        prepared = {"image_size": 32, "resize": "stretch"}
        with pytest.raises(ModelMismatch, match=r"version 1\.5\.0 .*image_size 16.*model other .*image_size 32"):
            MANIFEST.require_model(other_model(preprocessing=prepared))


class TestReading:
    @staticmethod
    def written(folder: Path, **changes: Any) -> Path:
        """``folder`` called 1.5.0 with the manifest in it; a change to None removes the field."""
        content = json.loads(MANIFEST.model_dump_json()) | changes
        version = folder / "1.5.0"
        version.mkdir()
        kept = {key: value for key, value in content.items() if value is not None}
        (version / MANIFEST_FILE).write_text(json.dumps(kept))
        return version

    def test_what_was_written_is_read(self, tmp_path: Path) -> None:
        assert read_manifest(self.written(tmp_path)) == MANIFEST

    def test_the_calibration_is_part_of_it(self, tmp_path: Path) -> None:
        calibrated = with_checksum(MANIFEST.model_copy(update={"model": other_model(calibration=CALIBRATION)}))
        version = self.written(tmp_path)
        (version / MANIFEST_FILE).write_text(calibrated.model_dump_json())
        assert read_manifest(version) == calibrated

    def test_a_manifest_from_before_there_were_modes_is_of_the_default_one(self, tmp_path: Path) -> None:
        assert read_manifest(self.written(tmp_path, mode=None)).mode == "default"

    def test_a_manifest_from_before_the_decoder_was_recorded(self, tmp_path: Path) -> None:
        model = json.loads(MODEL.model_dump_json(exclude={"decoder"}))
        assert read_manifest(self.written(tmp_path, model=model)).model.decoder is None

    def test_the_other_mode_is_read_as_well(self, tmp_path: Path) -> None:
        assert read_manifest(self.written(tmp_path, mode="unnecessary fast")).mode == "unnecessary fast"

    def test_the_time_is_utc(self) -> None:
        assert json.loads(MANIFEST.model_dump_json())["created"] == "2020-05-02T12:00:00Z"

    def test_a_time_without_a_zone_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(VersionDamaged, match=r"created: .*timezone"):
            read_manifest(self.written(tmp_path, created="2020-05-02T12:00:00"))

    def test_a_time_in_another_zone_is_the_same_moment(self, tmp_path: Path) -> None:
        elsewhere = MANIFEST.created.astimezone(timezone(timedelta(hours=9))).isoformat()
        assert read_manifest(self.written(tmp_path, created=elsewhere)).created == MANIFEST.created

    @pytest.mark.parametrize(
        ("changes", "mistake"),
        [
            ({"format": 3}, "format: "),
            ({"version": None}, "version: Field required"),
            ({"model": None}, "model: Field required"),
            ({"model": {"name": "grid"}}, r"model\.sha256: Field required"),
            ({"count": -1}, "count: "),
            ({"count": "many"}, "count: "),
            ({"skipped": -1}, "skipped: "),
            ({"mode": "fast"}, "mode: "),
            ({"mode": "unnecessary_fast"}, "mode: "),
            ({"files": None}, "files: Field required"),
            ({"files": {"images.db": {"size": -1, "sha256": ""}}}, r"files\.images\.db\.size: "),
        ],
    )
    def test_a_field_that_is_wrong_is_named(self, changes: dict[str, Any], mistake: str, tmp_path: Path) -> None:
        with pytest.raises(VersionDamaged, match=rf"manifest\.json of version 1\.5\.0: {mistake}"):
            read_manifest(self.written(tmp_path, **changes))

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe\x00", b"null"])
    def test_what_is_no_manifest_is_refused(self, content: bytes, tmp_path: Path) -> None:
        version = self.written(tmp_path)
        (version / MANIFEST_FILE).write_bytes(content)
        with pytest.raises(VersionDamaged, match=r"manifest\.json of version 1\.5\.0: the whole file: "):
            read_manifest(version)

    def test_every_cut_is_refused(self, tmp_path: Path) -> None:
        version = self.written(tmp_path)
        whole = (version / MANIFEST_FILE).read_bytes()
        for cut in range(len(whole)):
            (version / MANIFEST_FILE).write_bytes(whole[:cut])
            with pytest.raises(VersionDamaged):
                read_manifest(version)

    def test_every_field_that_has_changed_is_noticed(self, tmp_path: Path) -> None:
        """Even one that means nothing to this version of the code; how the file is spaced makes no difference."""
        version, whole = self.written(tmp_path), with_checksum(MANIFEST)
        content = json.loads(whole.model_dump_json())
        (version / MANIFEST_FILE).write_text(json.dumps(dict(reversed(content.items())), separators=(",", ":")))
        assert read_manifest(version) == whole
        for change in ({"folded": MANIFEST.folded + 8}, {"skipped": MANIFEST.skipped + 1}, {"later": 1}):
            (version / MANIFEST_FILE).write_text(json.dumps(content | change))
            with pytest.raises(VersionDamaged, match=r"^manifest\.json of version 1\.5\.0 has changed"):
                read_manifest(version)

    def test_a_missing_manifest_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(VersionDamaged, match=r"version 1\.5\.0 has no readable manifest\.json \(No such file"):
            read_manifest(tmp_path / "1.5.0")

    def test_a_manifest_never_changes(self) -> None:
        with pytest.raises(ValidationError):
            MANIFEST.count = 4


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_an_entry_is_the_file_s_size_and_sha256(size: int, tmp_path: Path) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    (tmp_path / "file").write_bytes(content[:size])
    assert file_entry(tmp_path / "file") == FileEntry(size=size, sha256=hashlib.sha256(content[:size]).hexdigest())
