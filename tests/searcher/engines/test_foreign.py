"""What a view asks its engine."""

from typing import cast

from searcher.engines.configuration import Configuration
from searcher.engines.engine import ForeignEngine
from searcher.engines.foreign import ForeignView
from searcher.entry import Entry
from searcher.filters import Filter
from tests.searcher.engines.dict_engine import DictEngine
from tests.searcher.live.fixtures import DETAILED, addition


class Strict(DictEngine):
    """Refuses a NUL, as databases do."""

    def list(self, after: str = "", limit: int = 50, where: Filter | None = None) -> list[Entry]:
        if "\0" in after:
            raise ValueError("a text has no NUL")
        return super().list(after, limit, where)


def test_a_cursor_that_no_name_can_be() -> None:
    engine = Strict(DETAILED)
    engine.add([addition(name, 0, 0) for name in ("a", "a\1", "ab", "b")])
    configuration = Configuration(address="postgresql://host/pictures", place="shoes", model=DETAILED)
    view = ForeignView(cast("ForeignEngine", engine), configuration)
    for after, found in (("a\0b", ["a\1", "ab", "b"]), ("\0", ["a", "a\1", "ab", "b"]), ("b", [])):
        assert [each.path for each in view.images(after)] == found
