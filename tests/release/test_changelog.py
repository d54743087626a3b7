"""The newest section of the changelog."""

from datetime import date
from pathlib import Path

import pytest

from release.changelog import changelog_problems, sections

TODAY = date(2026, 11, 21)


def test_sections_have_headings_and_texts() -> None:
    text = (
        "# Changelog\n\nWords.\n\n## 0.2.0 - 2026-11-20\n\n- One.\n- Two,\n  on.\n\n### Left\n\n- Three.\n\n## 0.1.0\n"
    )
    assert sections(text) == [("0.2.0 - 2026-11-20", "- One.\n- Two,\n  on.\n\n### Left\n\n- Three."), ("0.1.0", "")]


def test_a_changelog_that_can_be_released(project: Path) -> None:
    assert changelog_problems((project / "CHANGELOG.md").read_text(), "0.2.0", TODAY) == []
    assert changelog_problems("## 0.2.0 - 2026-11-21\n- One.\n\n## 0.2.0.1\n", "0.2.0", TODAY) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("# Changelog\n", "has no section"),
        (
            "## Unreleased\n\n- One.\n\n## 0.1.0\n",
            "the newest section is 'Unreleased', and should be '0.2.0 - 2026-11-21'",
        ),
        ("## 0.2.0\n\n- One.\n", "the newest section is '0.2.0', and should be '0.2.0 - 2026-11-21'"),
        (
            "## 0.1.0 - 2026-11-20\n\n- One.\n",
            "the newest section is '0.1.0 - 2026-11-20', and should be '0.2.0 - 2026-11-21'",
        ),
        (
            "## 0x2.0 - 2026-11-20\n\n- One.\n",
            "the newest section is '0x2.0 - 2026-11-20', and should be '0.2.0 - 2026-11-21'",
        ),
        ("## 0.2.0 - 2026-13-01\n\n- One.\n", "2026-13-01 is no date"),
        ("## 0.2.0 - 2026-11-22\n\n- One.\n", "2026-11-22 is still to come"),
        ("## 0.2.0 - 2026-11-20\n\n## 0.1.0\n\n- One.\n", "the section '0.2.0 - 2026-11-20' has no entry"),
        ("## 0.2.0 - 2026-11-20\n\nSoon.\n\n- \n", "the section '0.2.0 - 2026-11-20' has no entry"),
        ("## 0.2.0 - 2026-11-20\n\n- One.\n\n## 0.2.0\n\n- Two.\n", "has an older section of 0.2.0 too"),
        *[
            (
                f"## {heading}\n\n{entries}## 0.2.0 - 2026-11-20\n\n- One.\n",
                f"'{heading}' stands above '0.2.0 - 2026-11-20'. If 0.2.0 is out, raise the version in "
                "hashlake/version.py and name the section '<that version> - 2026-11-21'; otherwise move its entries to "
                "'0.2.0 - 2026-11-20' and remove the heading",
            )
            for heading, entries in (("Unreleased", "- Two.\n\n"), ("unreleased", ""))
        ],
    ],
)
def test_a_changelog_that_cannot(text: str, problem: str) -> None:
    assert changelog_problems(text, "0.2.0", TODAY) == [f"CHANGELOG.md: {problem}"]
