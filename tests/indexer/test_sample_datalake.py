"""The sample datalake is the same for the same seed, and holds every awkward file; four of them are no images."""

import hashlib
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from embedding.torchscript import TorchScriptEmbedder
from indexer.sample_datalake import COLOURS, SHAPES, write_garments
from tests.hashlake.command import hashlake
from tests.indexer.conftest import Bench
from tests.indexer.stored import codes_by_path, skipped_of

EXTRACT = Path(__file__).parents[2] / "indexer" / "extract_datalake.sh"


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample") / "sample_datalake"
    answer = hashlake("sample", folder, "--count", "12")
    assert (answer.status, answer.err) == (0, "")
    assert answer.out == f"{folder}: 12 photographs of garments, and awkward files beside them\n"
    return folder


def test_the_same_seed_writes_the_same_bytes(sample: Path, tmp_path: Path) -> None:
    assert hashlake("sample", tmp_path, "--count", "12", "--seed", "0").status == 0
    assert digests(tmp_path) == digests(sample)


def test_another_seed_draws_other_garments(sample: Path, tmp_path: Path) -> None:
    write_garments(tmp_path, 12, seed=1)
    assert set(digests(sample / "garments").values()).isdisjoint(digests(tmp_path).values())


def test_fewer_garments_are_the_first_of_more(sample: Path, tmp_path: Path) -> None:
    write_garments(tmp_path, 5, seed=0)
    assert digests(tmp_path).items() < digests(sample / "garments").items()


def test_garments_are_named_by_shape_colour_and_pattern_three_a_product(sample: Path) -> None:
    products: dict[str, int] = {}
    for path in (sample / "garments").glob("*/*.jpg"):
        assert path.parent.name in SHAPES
        colour, pattern, number = path.stem.rsplit("-", 2)
        assert colour in COLOURS
        assert len(number) == 4
        product = f"{path.parent.name} {colour} {pattern}"
        products[product] = products.get(product, 0) + 1
        with Image.open(path) as picture:
            assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (360, 480))
    assert list(products.values()) == [3, 3, 3, 3]


def test_every_awkward_file_is_there(sample: Path) -> None:
    assert {path.name for path in (sample / "awkward").iterdir()} == {
        "name with spaces.jpg", 'O\'Hara "quoted".jpg', "-leading-dash.jpg", "vêtement-été-日本.jpg", "GREY.JPG",
        "cmyk.jpg", "rotated-by-exif.jpg", "alpha.png", "palette.png", "sixteen-bit.png", "animated.gif",
        "photo.webp", "photo.avif", "photo.bmp", "photo.tiff",
        "empty.jpg", "text.jpg", "truncated.jpg", "bomb.png",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "kind", "mode"),
    [
        ("GREY.JPG", "JPEG", "L"),
        ("cmyk.jpg", "JPEG", "CMYK"),
        ("rotated-by-exif.jpg", "JPEG", "RGB"),
        ("alpha.png", "PNG", "RGBA"),
        ("palette.png", "PNG", "P"),
        ("sixteen-bit.png", "PNG", "I;16"),
        ("animated.gif", "GIF", "P"),
        ("photo.webp", "WEBP", "RGB"),
        ("photo.avif", "AVIF", "RGB"),
        ("photo.bmp", "BMP", "RGB"),
        ("photo.tiff", "TIFF", "RGB"),
    ],
)
def test_an_awkward_file_is_what_its_name_says(sample: Path, name: str, kind: str, mode: str) -> None:
    with Image.open(sample / "awkward" / name) as picture:
        assert (picture.format, picture.mode) == (kind, mode)
        assert picture.size == ((480, 360) if name == "rotated-by-exif.jpg" else (360, 480))
        if name == "rotated-by-exif.jpg":
            assert picture.getexif()[0x0112] == 6
        if name == "palette.png":
            assert "transparency" in picture.info
        assert getattr(picture, "n_frames", 1) == (2 if name == "animated.gif" else 1)


def test_indexing_skips_just_the_four_that_are_no_images(sample: Path, grid: TorchScriptEmbedder) -> None:
    bench = Bench(sample.parent, grid, [])
    subprocess.run(["bash", EXTRACT, sample.name], cwd=sample.parent, check=True, capture_output=True)
    lines = (sample.parent / "database_info.txt").read_text().splitlines()
    assert len(lines) == 12 + 19
    report = bench.index("1.5.0", lines)
    assert report.manifest.count == 12 + 15
    bad = [(path.removeprefix("sample_datalake/awkward/"), reason) for path, reason in report.skipped]
    assert [path for path, _ in bad] == ["bomb.png", "empty.jpg", "text.jpg", "truncated.jpg"]
    reasons = dict(bad)
    assert reasons["bomb.png"] == "the image has 20000×20000 pixels; the limit is 89.5 megapixels in all"
    assert reasons["empty.jpg"] == "the image is empty (0 bytes)"
    assert reasons["text.jpg"].startswith("not an image of a known format (JPEG, ")
    assert reasons["truncated.jpg"].startswith("the image is damaged or truncated (")
    version = bench.version("1.5.0")
    assert skipped_of(version) == report.skipped
    assert [line for line in lines if line in codes_by_path(version)] == list(codes_by_path(version))


def test_a_count_of_none_is_refused(tmp_path: Path) -> None:
    answer = hashlake("sample", tmp_path / "data", "--count", "0")
    assert answer.status == 2
    assert answer.err.splitlines()[-1].startswith("Error: Invalid value for '--count'")
    assert not (tmp_path / "data").exists()
