"""What a build made, and how it is reported to people."""

from dataclasses import dataclass

from contract.terminal import say
from searcher.versions.manifest import Manifest


@dataclass(frozen=True)
class Report:
    """What a build made: ``reused`` of the ``manifest.count`` codes come from the base version or an earlier run.

    ``skipped`` holds the first few skipped paths and the reasons; ``removed`` of the skipped images were removed from
    the collection.
    """

    manifest: Manifest
    seconds: float
    reused: int
    skipped: list[tuple[str, str]]
    removed: int = 0

    def say(self, state: str) -> None:
        """Print the version, its ``state`` ("current" or "published") and the skipped paths."""
        manifest = self.manifest
        for path, reason in self.skipped:
            say(f"skipped {path}: {reason}", err=True)
        if manifest.skipped > len(self.skipped):
            rest = manifest.skipped - len(self.skipped)
            say(f"… and {rest:,} more: see the table skipped in {manifest.version}/images.db", err=True)
        if self.removed:
            say(
                f"{self.removed:,} images stay out because they were removed from the collection: "
                "`hashlake collections add default PATH` brings one back, and so does another picture in its place",
                err=True,
            )
        kept = f" ({self.reused:,} of them known before)" if self.reused else ""
        say(
            f"version {manifest.version} is {state}: {manifest.count:,} images{kept}, {manifest.skipped:,} skipped, "
            f"{manifest.model.bits} bits, model {manifest.model.name}, {self.seconds:.1f} s"
        )
