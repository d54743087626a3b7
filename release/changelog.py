"""The changelog's newest section describes the release; its heading is ``## 1.2.0 - 2026-11-21``."""

import re
from datetime import date

_HEADING = re.compile(r"^## +(.*?) *$", re.MULTILINE)


def sections(changelog: str) -> list[tuple[str, str]]:
    """Returns heading and text of each second-level section, newest first."""
    _, *parts = _HEADING.split(changelog)
    return [(heading, text.strip()) for heading, text in zip(parts[::2], parts[1::2], strict=True)]


def changelog_problems(changelog: str, version: str, today: date) -> list[str]:
    """Returns the reasons why the newest section isn't ``version``'s, one line each."""
    found = sections(changelog)
    if not found:
        return ["CHANGELOG.md: has no section"]
    heading, text = found[0]
    released = [older for older, _ in found[1:] if re.match(re.escape(version) + r"\b(?!\.)", older)]
    if heading.lower() == "unreleased" and released:
        return [
            f"CHANGELOG.md: {heading!r} stands above '{released[0]}'. If {version} is out, raise the version in "
            f"hashlake/version.py and name the section '<that version> - {today}'; otherwise move its entries to "
            f"'{released[0]}' and remove the heading"
        ]
    problems = []
    dated = re.fullmatch(re.escape(version) + r" - (\d{4}-\d{2}-\d{2})", heading)
    if not dated:
        problems.append(f"CHANGELOG.md: the newest section is {heading!r}, and should be '{version} - {today}'")
    else:
        try:
            day = date.fromisoformat(dated[1])
        except ValueError:
            problems.append(f"CHANGELOG.md: {dated[1]} is no date")
        else:
            if day > today:
                problems.append(f"CHANGELOG.md: {day} is still to come")
    if not re.search(r"^- \S", text, re.MULTILINE):
        problems.append(f"CHANGELOG.md: the section {heading!r} has no entry")
    if released:
        problems.append(f"CHANGELOG.md: has an older section of {version} too")
    return problems
