"""Library warnings that tell the user of hashlake nothing new. Only entry points call this, never modules."""

import logging
import warnings


def ignore_known_warnings() -> None:
    """Hide them from terminals and logs."""
    # TorchScript is deprecated upstream but still the format of users' models.
    warnings.filterwarnings("ignore", message=r".*torch\.jit\.\w+. is deprecated.*")
    # Pillow's are about pictures, which anybody may send, and have paths of this machine; its errors suffice.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
