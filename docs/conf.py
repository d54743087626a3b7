"""The documentation as a site, with a search that needs no network: ``make docs`` writes it to docs/_site.

README.md, which opens it, and the other documents stay readable where they lie, and link to one another there.
"""

import shutil
from pathlib import Path

from sphinx.application import Sphinx

from hashlake.version import __version__

_PARTS = {
    "Using it": [
        "docs/collections",
        "docs/sources",
        "docs/engines",
        "docs/regions",
        "docs/elements",
        "docs/detectors",
        "docs/migrating",
        "docs/embeddings-workflow",
    ],
    "How it works": [
        "docs/how-it-works",
        "docs/search",
        "docs/pictures",
        "docs/quality",
        "docs/scale",
        "benchmarks/RESULTS",
    ],
    "Running it": ["deploy/README", "docs/security", "docs/reliability"],
    "Building on it": [
        "docs/developers",
        "docs/reference",
        "javascript/README",
        "docs/examples/postgres-text-search",
        "CONTRIBUTING",
        "CHANGELOG",
    ],
    "Models": ["torchscripts_models/*"],
}

project = "hashlake"
release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
root_doc = "README"
include_patterns = ["README.md", *(f"{path}.md" for paths in _PARTS.values() for path in paths)]
myst_heading_anchors = 4
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
# Literal blocks are commands, trees and tables of many kinds: none is highlighted by guessing.
highlight_language = "none"
html_theme = "furo"
html_title = f"hashlake {release}"
html_copy_source = False
html_show_sphinx = False


def _with_contents(app: Sphinx, document: str, source: list[str]) -> None:
    """Puts the list of documents, which the site shows beside each page, below the one that opens it."""
    if document == root_doc:
        for caption, paths in _PARTS.items():
            listed = "\n".join(paths)
            source[0] += f"\n```{{toctree}}\n:hidden:\n:glob:\n:caption: {caption}\n\n{listed}\n```\n"


def _with_index(app: Sphinx, exception: Exception | None) -> None:
    if exception is None:
        shutil.copyfile(Path(app.outdir) / f"{root_doc}.html", Path(app.outdir) / "index.html")


def setup(app: Sphinx) -> None:
    """Sphinx calls this."""
    app.connect("source-read", _with_contents)
    app.connect("build-finished", _with_index)
