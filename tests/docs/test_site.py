"""`make docs`: every document is a page, every link leads somewhere, and the search needs no network."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.handler.server import REPOSITORY


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going", "-c", "docs", "-d",
         folder / "doctrees", ".", folder / "html"],
        cwd=REPOSITORY, check=True,
    )  # fmt: skip
    return folder / "html"


def test_every_document_is_a_page_of_it(site: Path) -> None:
    documents = [REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md"), *REPOSITORY.glob("benchmarks/*.md")]
    pages = {document: site / document.relative_to(REPOSITORY).with_suffix(".html") for document in documents}
    assert [str(document) for document, page in pages.items() if not page.is_file()] == []
    contents = (site / "index.html").read_text()
    for page in pages.values():
        assert f'href="{page.relative_to(site)}"' in contents or page.name == "README.html"


def test_it_loads_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = re.sub(r"<(pre|code)\b.*?</\1>", "", page.read_text(), flags=re.DOTALL)
        loaded = re.findall(r'<(?:script|img|iframe)[^>]* src="([^"]+)"', text)
        loaded += re.findall(r'<link[^>]* href="([^"]+)"', text)
        assert [each for each in loaded if "//" in each] == [], page.name


def test_its_search_knows_the_documents(site: Path) -> None:
    index = (site / "searchindex.js").read_text()
    assert '"docs/search"' in index
    assert "shortlist" in index


def test_the_reference_has_the_docstrings(site: Path) -> None:
    text = (site / "docs" / "reference.html").read_text()
    for name in ("hashlake.client.client.Client.search", "sources.source.Source.items", "contract.space.Space"):
        assert f'id="{name}"' in text
