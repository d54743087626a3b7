"""Whatever is done to a collection, and wherever a fold is killed, it is what a dict and brute force say."""

import os
import shutil
import tempfile
from pathlib import Path
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from contract.model import ModelIdentity
from searcher.entry import Entry
from searcher.errors import JournalDamaged, VersionInUse
from searcher.live.collection import Collection
from searcher.live.view import View
from searcher.scan.ranking import Query
from searcher.scan.tables import Mode
from searcher.versions.store import IndexStore
from tests.searcher.live.fixtures import DETAILED, MODEL, Model, assert_is, publish, query
from tests.searcher.live.killed import fold_killed_before
from tests.vectors import entry_of

#: In an order that is another one by bytes of UTF-16, by case, or by an alphabet.
PATHS = ["a", "B", "a/b 'c'?%.png", "http://example.org/ä", "z", "é", "\uffee", "\U0001f600", "aa"]
#: Few, so that many images are equally far.
CODES = [0x0000, 0x0001, 0x0003, 0xFF00, 0xFFFF]
METADATA = [None, '{"size": 1}', '{"size": 2, "kind": "x"}', '{"kind": null}', "[]"]


class LiveStates(RuleBasedStateMachine):
    """One collection, its twin as a dict, a reader that was open before, and views that were taken earlier."""

    model: ModelIdentity = MODEL
    mode: Mode = "default"

    def __init__(self) -> None:
        super().__init__()
        # No power fails here, so memory is as good as a disk.
        self.folder = Path(tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
        self.store = IndexStore(self.folder / "index_store")
        self.twin = Model()
        self.folds: set[str] = set()
        self.published = 0
        self.trimmed = 0
        self.steps = 0
        self.views: list[tuple[View, list[Entry]]] = []

    def additions(self) -> st.SearchStrategy[Entry]:
        details = st.none() if self.model.detail_bits is None else st.sampled_from([b"\x00", b"\x01", b"\xff"])
        return st.builds(
            entry_of,
            st.sampled_from(PATHS),
            st.sampled_from([code.to_bytes(2, "big") for code in CODES]),
            details,
            st.sampled_from(METADATA),
            st.sampled_from([None, bytes(16), b"\x01" * 16]),
            st.sampled_from([None, '{"etag": "x"}']),
        )

    @initialize(data=st.data(), empty=st.booleans())
    def begin(self, data: st.DataObject, empty: bool) -> None:
        self.publish_version(data, folded=0, keep_current=False, before=False, empty=empty)
        self.writer = Collection("live", self.store.folder)
        self.reader = Collection("live", self.store.folder)

    @rule(data=st.data(), least=st.sampled_from([1, 1, 5]))
    def add(self, data: st.DataObject, least: int) -> None:
        given = data.draw(st.lists(self.additions(), min_size=least, max_size=least + 2))
        self.writer.add(given)
        self.twin.add(given)

    @rule(data=st.data(), least=st.sampled_from([1, 3]))
    def remove(self, data: st.DataObject, least: int) -> None:
        there = [image.path for image in self.twin.images()]
        paths = data.draw(st.lists(st.sampled_from([*there, "nowhere"]), min_size=least, max_size=4))
        assert self.writer.remove(paths) == self.twin.remove(paths)

    @rule()
    def fold(self) -> None:
        before, changes = self.twin.images(), self.twin.unfolded()
        finished = self.unfinished()
        manifest = self.writer.fold()
        self.take_note(before)
        if finished is None:
            assert (manifest is None) == (changes == 0)
        if manifest:
            assert (self.store.current(), manifest.count) == (manifest.version, len(before))
            assert self.twin.unfolded() == 0

    @rule(step=st.integers(1, 70))
    def fold_is_killed(self, step: int) -> None:
        before = self.twin.images()
        fold_killed_before(self.store.folder, step)
        self.take_note(before)

    @rule(data=st.data())
    def promote(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.twin.versions)))
        if self.twin.versions[name][1] < self.writer.journal.trimmed():
            with pytest.raises(JournalDamaged, match="lacks changes"):
                self.store.promote(name)
        else:
            self.store.promote(name)
            self.twin.current = name

    @rule(data=st.data(), now=st.booleans(), keep_current=st.booleans(), before=st.booleans())
    def publish(self, data: st.DataObject, now: bool, keep_current: bool, before: bool) -> None:
        folded = self.twin.last if now else data.draw(st.integers(0, self.twin.last))
        if folded < self.writer.journal.trimmed() and not keep_current:
            with pytest.raises(JournalDamaged, match="lacks changes"):
                publish(self.store, "refused", model=self.model, folded=folded)
            shutil.rmtree(self.store.building("refused"))
        else:
            self.publish_version(data, folded, keep_current, before, empty=False)

    @rule(keep=st.integers(1, 3))
    def prune(self, keep: int) -> None:
        for name in self.store.prune(keep):
            del self.twin.versions[name]

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.twin.versions)))
        if name == self.twin.current:
            with pytest.raises(VersionInUse):
                self.store.delete(name)
        else:
            self.store.delete(name)
            del self.twin.versions[name]

    @rule()
    def reopen(self) -> None:
        self.writer.journal.close()
        self.writer = Collection("live", self.store.folder)

    @precondition(lambda self: len(self.views) < 3)
    @rule()
    def take_a_view(self) -> None:
        self.views.append((self.reader.view(), self.twin.images()))

    @invariant()
    def everybody_sees_the_same(self) -> None:
        if not self.twin.versions:
            return
        self.steps += 1
        queries, images = self.queries(), self.twin.images()
        fresh = Collection("live", self.store.folder)
        for collection in (self.reader, fresh):
            view = collection.view()
            assert view.version.name == self.store.current()
            assert_is(view, images, PATHS, queries)
            assert collection.unfolded() == self.twin.unfolded()
        fresh.journal.close()
        for view, earlier in self.views:
            assert_is(view, earlier, PATHS, queries)

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def publish_version(
        self, data: st.DataObject, folded: int, keep_current: bool, before: bool, *, empty: bool
    ) -> None:
        name = f"{self.published}.0"
        self.published += 1
        rows = (
            []
            if empty
            else data.draw(st.lists(self.additions(), min_size=3, max_size=7, unique_by=lambda row: row.path))
        )
        if before:
            rows = [Entry(row.path, row.vectors, None, row.digest) for row in rows]
        publish(
            self.store, name, rows, model=self.model, mode=self.mode, folded=folded, keep_current=keep_current,
            before=before,
        )  # fmt: skip
        self.twin.versions[name] = (rows, folded)
        if not keep_current:
            self.twin.current = name

    def unfinished(self) -> str | None:
        """What a fold that was killed in the middle of its publication would have made current."""
        path = self.store.folder / "CURRENT.next"
        return path.read_text() if path.exists() else None

    def take_note(self, images: list[Entry]) -> None:
        """A fold may have made a version of ``images``, and deleted what folds before it had made."""
        there = set(self.store.names())
        assert len(there - self.twin.versions.keys()) <= 1
        for name in there - self.twin.versions.keys():
            self.folds.add(name)
            self.twin.versions[name] = (images, self.twin.last)
        for name in self.twin.versions.keys() - there:
            rows, _ = self.twin.versions.pop(name)
            assert name in self.folds or not rows
        current = self.store.current()
        assert current in there
        self.twin.current = current
        assert self.twin.images() == images
        trimmed = self.writer.journal.trimmed()
        if trimmed > self.trimmed:  # never what a version that is still there needs
            assert trimmed <= min(folded for _, folded in self.twin.versions.values())
        self.trimmed = trimmed

    def queries(self) -> list[Query]:
        random = Random(self.steps)
        details = [None] if self.model.detail_bits is None else [None, 0x00, 0xF0]
        asked = [
            query(random.choice([*CODES, 0x0F0F]), detail, random.choice([1, 2, 50]), random.choice([None, 0, 3]))
            for detail in details
        ]
        if self.model.detail_bits is not None:
            asked.append(
                query(random.choice(CODES), 0x01, random.choice([1, 3, 50]), random.choice([None, 4]), "detail")
            )
        return asked


class FastStates(LiveStates):
    mode = "unnecessary fast"


class DetailedStates(LiveStates):
    model = DETAILED


TestCodes = LiveStates.TestCase
TestTables = FastStates.TestCase
TestDetails = DetailedStates.TestCase
TestCodes.settings = settings(max_examples=12, stateful_step_count=25)
TestTables.settings = settings(max_examples=6, stateful_step_count=25)
TestDetails.settings = settings(max_examples=12, stateful_step_count=25)
