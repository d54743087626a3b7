import pytest

from detection.errors import DetectorError
from detection.registry import open_detector


def test_an_unknown_name() -> None:
    with pytest.raises(DetectorError, match="there is no detector 'nothing'"):
        open_detector("nothing")
