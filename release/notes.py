"""The release notes: what the changelog says, and what is known of the packages that are installed with it."""

from collections.abc import Sequence
from datetime import date

from release.audit import Vulnerability
from release.locks import SHIPPED


def release_notes(version: str, changes: str, found: Sequence[Vulnerability], packages: int, today: date) -> str:
    """Markdown. ``changes``: the changelog's section; ``found``: in ``packages`` audited ones."""
    audited = f"pip-audit, {today}, {packages} packages of {' and '.join(SHIPPED)}: "
    if found:
        lines = [
            f"{audited}{len(found)} known {'vulnerability' if len(found) == 1 else 'vulnerabilities'}.",
            "",
            "| package | vulnerability | fixed in |",
            "|---|---|---|",
            *(f"| {one.package} {one.version} | {one.name} | {', '.join(one.fixed_in) or '–'} |" for one in found),
        ]
    else:
        lines = [f"{audited}no known vulnerability."]
    return "\n".join([f"# hashlake {version}", "", changes, "", "## Audit", "", *lines]) + "\n"
