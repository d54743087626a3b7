"""The examples in CONTRIBUTING.md, installed as a package that brings them would be."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
_BLOCK = re.compile(r"^```(python|toml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"# (\w+\.py)\n")
_ENTRY_POINTS = re.compile(r'\[project\.entry-points\."([\w.]+)"\]')


def install_examples(folder: Path) -> Path:
    """Write the example files, and the metadata with their entry points, below ``folder``, for ``sys.path``."""
    text = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    metadata = folder / "examples-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: examples\nVersion: 1.0\n")
    for language, block in _BLOCK.findall(text):
        if language == "toml":
            sections = _ENTRY_POINTS.sub(r"[\1]", block).replace('"', "")
            (metadata / "entry_points.txt").write_text(sections)
        elif named := _NAMED.match(block):
            (folder / named[1]).write_text(block)
    return folder
