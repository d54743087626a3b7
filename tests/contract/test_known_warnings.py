"""Which warnings are hidden from terminals and logs."""

import logging
import warnings

import pytest

from contract.known_warnings import ignore_known_warnings


def test_pillow_s_warnings_about_pictures_are_hidden_and_others_are_not(caplog: pytest.LogCaptureFixture) -> None:
    pillow = logging.getLogger("PIL")
    level = pillow.level
    try:
        with warnings.catch_warnings(record=True) as shown:
            warnings.resetwarnings()
            ignore_known_warnings()
            for module in ("PIL.TiffImagePlugin", "PIL.Image", "PILGRIM", "ours"):
                warnings.warn_explicit("corrupt", UserWarning, f"/srv/{module}.py", 1, module)
        logging.getLogger("PIL.TiffImagePlugin").error("More samples per pixel than can be decoded: 9")
    finally:
        pillow.setLevel(level)
    assert [warning.filename for warning in shown] == ["/srv/PILGRIM.py", "/srv/ours.py"]
    assert caplog.messages == []
