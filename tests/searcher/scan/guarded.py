"""Arrays between pages that no process may touch: one read before or behind them, and the kernel ends it.

The searches below are run by test_compiled.py, each in a process that may well be killed.
"""

import ctypes
import mmap
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from searcher.scan.flat import FlatScan
from searcher.scan.multi_index import _TIES, MultiIndex
from searcher.scan.question import Ties
from searcher.scan.table_builder import build_tables
from searcher.scan.tables import Tables
from tests.searcher.scan.oracle import (
    FLAT_WIDTHS,
    ask,
    assert_same,
    at_distances,
    far_from_zero,
    near,
    random_codes,
    right_answers,
)
from tests.searcher.scan.plain import PlainScan

_protect = ctypes.CDLL(None, use_errno=True).mprotect
_protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


#: The arrays of tables.
ARRAYS = ["offsets", "codes", "ids", "groups", "rows"]


def guarded(array: NDArray[Any], at_end: bool = True) -> NDArray[Any]:
    """A copy of ``array`` that ends right before a forbidden page, or begins right behind one."""
    page = mmap.PAGESIZE
    room = -(-max(1, array.nbytes) // page) * page
    region = mmap.mmap(-1, room + 2 * page)
    start = np.frombuffer(region, np.uint8).ctypes.data
    copy = np.frombuffer(region, array.dtype, array.size, page + (room - array.nbytes if at_end else 0))
    copy = copy.reshape(array.shape)
    copy[...] = array
    for forbidden in (start, start + page + room):
        assert _protect(forbidden, page, 0) == 0, "not to be read, nor written"
    return copy


def search_flat(seed: int) -> None:
    """Codes, and a mask of them, that end with their page, or begin with it; blocks that are full or not."""
    random = np.random.default_rng(seed)
    for width in FLAT_WIDTHS:
        block = 2048 // width if width in (1, 2, 4) else 256
        for count in (0, 1, 7, block - 1, block, block + 1, 3 * block - 5):
            codes = random_codes(random, count, width)
            mask = random.integers(0, 256, -(-count // 8), np.uint8)
            for at_end in (True, False):
                scan = FlatScan(guarded(codes, at_end))
                for allowed in (None, guarded(mask, at_end), guarded(mask & 1, at_end)):
                    for batch in (1, 4):
                        question = ask(random_codes(random, batch, width), 20, None, allowed)
                        assert_same(scan.search(question), right_answers(codes, question))


def search_with_many_answers(seed: int) -> None:
    """Each row nearer than those before it, with every number of answers; more answers than fit, at one distance."""
    random = np.random.default_rng(seed)
    (query,) = random_codes(random, 1, 9)
    for top_k in (1, 100, 1000):
        codes = at_distances(query, np.repeat(np.arange(72, -1, -1), top_k), random)
        for allowed in (None, random.integers(0, 256, -(-len(codes) // 8), np.uint8)):
            for question in (ask(query[None], top_k, None, allowed), ask(codes[:5], top_k, None, allowed)):
                assert_same(FlatScan(codes).search(question), right_answers(codes, question))
    zero = np.zeros((1, 8), np.uint8)
    codes = np.concatenate(
        [far_from_zero(_TIES, 9, 0), far_from_zero(_TIES + 2000, 6, 1), np.repeat(~zero, 9999, axis=0)]
    )
    engine = MultiIndex(build_tables(codes, 4), PlainScan(codes))  # type: ignore[arg-type]
    for top_k in (1, 100, 1000):
        assert_same(engine.search(ask(zero, top_k)), right_answers(codes, ask(zero, top_k)))


def guarded_tables(tables: Tables, at_end: bool) -> Tables:
    return Tables(tables.bits, *(guarded(array, at_end) for array in tables.arrays))


def search_tables(seed: int) -> None:
    """Tables as they were built: the answers are right, and nothing else is read."""
    random = np.random.default_rng(seed)
    for width in (1, 3, 8, 9, 16):
        centres = random_codes(random, 3, width)
        codes = np.concatenate([near(random, centres.repeat(30, axis=0), 3), np.repeat(~centres[:1], 30_000, axis=0)])
        for at_end in (True, False):
            engine = MultiIndex(guarded_tables(build_tables(codes), at_end), PlainScan(codes))  # type: ignore[arg-type]
            mask = guarded(np.packbits(random.random(len(codes)) < 0.5), at_end)
            for question in (ask(centres, 10), ask(centres, 1000, 4), ask(~centres, 200), ask(centres, 50, None, mask)):
                assert_same(engine.search(question), right_answers(codes, question))


def search_second_codes(seed: int) -> None:
    """Second codes that end with their page, or begin with it; tables that lead to them, as they were built or not."""
    random = np.random.default_rng(seed)
    for width, second_width in ((1, 3), (8, 32)):
        (centre,) = random_codes(random, 1, width)
        codes = np.concatenate(
            [near(random, centre[None].repeat(500, axis=0), 3), np.repeat(~centre[None], 9000, axis=0)]
        )
        tables = build_tables(codes)
        for at_end in (True, False):
            second = guarded(random_codes(random, len(codes), second_width), at_end)
            ties = Ties(second, guarded(random_codes(random, 2, second_width), at_end))
            question = ask(np.stack([centre, ~centre]), 20, None, None, ties)
            flat, scan = FlatScan(guarded(codes, at_end)), PlainScan(codes)
            engine = MultiIndex(guarded_tables(tables, at_end), scan)  # type: ignore[arg-type]
            for each in (flat, engine):
                assert_same(each.search(question), right_answers(codes, question))
            flat.within(guarded(centre, at_end), 3)
            for _ in range(20):
                damaged = replace(tables, **{name: corrupted(getattr(tables, name), random) for name in ARRAYS})
                MultiIndex(guarded_tables(damaged, at_end), scan).search(question)  # type: ignore[arg-type]
            for name in ("groups", "rows"):
                damaged = replace(tables, **{name: corrupted(getattr(tables, name), random)})
                MultiIndex(guarded_tables(damaged, at_end), scan).search(question)  # type: ignore[arg-type]


def corrupted(array: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
    """A few flipped bits, zeros or ones in a row, places exchanged, or nothing but noise."""
    damaged = array.copy()
    raw = damaged.reshape(-1).view(np.uint8)
    if len(raw) == 0:
        return damaged
    first, last = np.sort(random.integers(0, len(raw) + 1, 2))
    match random.integers(0, 6):
        case 0:
            raw[random.integers(0, len(raw), 8)] ^= (1 << random.integers(0, 8, 8)).astype(np.uint8)
        case 1:
            raw[first:last] = 0
        case 2:
            raw[first:last] = 0xFF
        case 3:
            raw[:] = random.integers(0, 256, len(raw), np.uint8)
        case 4:
            random.shuffle(damaged.reshape(-1))
        case _:
            damaged = np.ascontiguousarray(damaged.reshape(-1)[::-1]).reshape(array.shape)
    return damaged


def search_corrupted_tables(seed: int) -> None:
    """Tables of the right shapes with anything in them: the answers are what they are, but they come."""
    random = np.random.default_rng(seed)
    for width in (1, 3, 8, 16):
        queries = random_codes(random, 3, width)
        clustered = near(random, queries.repeat(30, axis=0), 3)
        for codes, number in (
            (np.concatenate([clustered, np.repeat(~queries[:1], 30_000, axis=0)]), None),
            (random_codes(random, 6000, width), -(-8 * width // 6)),
        ):
            tables = build_tables(codes, number)
            for _ in range(50):
                chosen = random.choice(ARRAYS, random.integers(1, 6), replace=False)
                damaged = replace(tables, **{name: corrupted(getattr(tables, name), random) for name in chosen})
                engine = MultiIndex(guarded_tables(damaged, bool(random.integers(2))), PlainScan(codes))  # type: ignore[arg-type]
                mask = guarded(random.integers(0, 256, -(-len(codes) // 8), np.uint8))
                for allowed in (None, mask):
                    engine.search(ask(queries, int(random.choice([1, 10, 1000])), None, allowed))
