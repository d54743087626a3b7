"""The kernels of exact cosines between a query and listed rows of float16 vectors.

    row      16 numbers of float16 ─▶ float64       the next rows are on their way from memory meanwhile
    sums     row · query, row · row                 a product and a sum in one instruction
    1 − row · query / √((row · row) (query · query))

Of vectors no longer than 1 the sums are exact, in any order: float16 are multiples of 2^-24, so products are multiples
of 2^-48, and float64 has 53 bits. So a row's distance is the same number wherever it is computed, and equal rows tie.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models, register_default
from numba.extending import intrinsic

from searcher.scan.compiled import compiled, inlined
from searcher.scan.lanes import VECTOR, prefetch

_features = get_host_cpu_features()
if _features.get("sse2") and not _features.get("f16c"):  # LLVM would look for a function that isn't there
    raise ImportError("this processor has no F16C, which reads float16")

#: Rows that are asked for ahead of the one being compared.
_AHEAD = 4

#: Numbers in a vector of float64.
NUMBERS = 16


class Doubles(types.Type):
    """The numba type of a vector of NUMBERS float64."""

    def __init__(self) -> None:
        super().__init__(name="Doubles")


@register_default(Doubles)
class _DoublesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, doubles: Doubles) -> None:
        super().__init__(manager, doubles, _DOUBLES)


_DOUBLE = ir.DoubleType()
_DOUBLES = ir.VectorType(_DOUBLE, NUMBERS)


def _pointer(builder: Any, address: Any, pointee: Any) -> Any:
    return builder.inttoptr(address, pointee.as_pointer())


def _fused(module: Any) -> Any:
    signature = ir.FunctionType(_DOUBLES, [_DOUBLES] * 3)
    return cgutils.get_or_insert_function(module, signature, f"llvm.fma.v{NUMBERS}f64")


@intrinsic
def no_doubles(_: Any) -> Any:
    """A vector of zeros."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return ir.Constant(_DOUBLES, None)

    return Doubles()(), generate


@intrinsic
def load_doubles(_: Any, address: Any) -> Any:
    """The vector of float64 at ``address``, which need not be aligned."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_pointer(builder, arguments[0], _DOUBLES), align=1)

    return Doubles()(types.int64), generate


@intrinsic
def load_halves(_: Any, address: Any) -> Any:
    """The vector of float16 at ``address``, which need not be aligned, as float64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        halves = builder.load(_pointer(builder, arguments[0], ir.VectorType(ir.HalfType(), NUMBERS)), align=1)
        return builder.fpext(builder.fpext(halves, ir.VectorType(ir.FloatType(), NUMBERS)), _DOUBLES)

    return Doubles()(types.int64), generate


@intrinsic
def load_half(_: Any, address: Any) -> Any:
    """The float16 at ``address``, which need not be aligned, as float64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        half = builder.load(_pointer(builder, arguments[0], ir.HalfType()), align=1)
        return builder.fpext(builder.fpext(half, ir.FloatType()), _DOUBLE)

    return types.float64(types.int64), generate


@intrinsic
def plus_products(_: Any, sums: Any, left: Any, right: Any) -> Any:
    """``sums`` and the products of two vectors, added number by number."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sums, left, right = arguments
        return builder.call(_fused(builder.module), [left, right, sums])

    return sums(sums, left, right), generate


@intrinsic
def total(_: Any, doubles: Any) -> Any:
    """The sum of a vector of float64, halves added to halves."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sums, width = arguments[0], NUMBERS
        while width > 1:
            width //= 2
            undefined = ir.Constant(sums.type, ir.Undefined)
            lower, upper = (
                builder.shuffle_vector(
                    sums,
                    undefined,
                    ir.Constant(
                        ir.VectorType(ir.IntType(32), width), [ir.IntType(32)(first + each) for each in range(width)]
                    ),
                )
                for first in (0, width)
            )
            sums = builder.fadd(lower, upper)
        return builder.extract_element(sums, ir.IntType(32)(0))

    return types.float64(doubles), generate


@inlined
def _distance(row: Any, width: Any, query: Any, query_square: Any) -> Any:
    """1 − cos between the vector at the address ``row`` and ``query``; 1 where one is zero."""
    whole = width // NUMBERS * NUMBERS
    query_at = np.int64(query.ctypes.data)
    products = squares = no_doubles()
    for first in range(0, whole, NUMBERS):
        part = load_halves(row + 2 * first)
        products = plus_products(products, part, load_doubles(query_at + 8 * first))
        squares = plus_products(squares, part, part)
    product, square = total(products), total(squares)
    for each in range(whole, width):
        half = load_half(row + 2 * each)
        product += half * query[each]
        square += half * half
    lengths = square * query_square
    return 1.0 - product / np.sqrt(lengths) if lengths > 0 else 1.0


@inlined
def _ask_ahead(vectors: Any, row_bytes: Any, rows: Any, place: Any) -> None:
    """Has the row after next of ``rows`` brought from memory."""
    if place + _AHEAD < len(rows):
        later = vectors + rows[place + _AHEAD] * row_bytes
        for line in range(0, row_bytes, VECTOR):
            prefetch(later + line)


@cache
def kernel() -> Callable[..., None]:
    """The distances of ``rows`` of vectors of ``width`` numbers from a query, compiled."""
    number, numbers = types.int64, types.Array(types.int64, 1, "C")
    doubles = types.Array(types.float64, 1, "C")

    @compiled(types.void(number, number, numbers, doubles, types.float64, doubles))
    def compare(vectors, width, rows, query, query_square, found):
        row_bytes = 2 * width
        for place in range(len(rows)):
            _ask_ahead(vectors, row_bytes, rows, place)
            found[place] = _distance(vectors + rows[place] * row_bytes, width, query, query_square)

    return compare


@cache
def reaching_kernel() -> Callable[..., int]:
    """As ``FloatIndex.within_reach``, into ``distances`` and ``found``, a heap, the farthest first, then the last row;
    returns how many there are. Compiled."""
    number, numbers = types.int64, types.Array(types.int64, 1, "C")
    double, doubles = types.float64, types.Array(types.float64, 1, "C")
    bits_of = types.Array(types.int32, 1, "C")

    @compiled(number(number, number, numbers, bits_of, doubles, double, double, double, doubles, numbers))
    def nearest(vectors, width, rows, bits, query, query_square, base, slope, distances, found):
        row_bytes, held, room = 2 * width, 0, len(found)
        for place in range(len(rows)):
            if held == room and bits[place] > base + slope * distances[0]:
                break
            _ask_ahead(vectors, row_bytes, rows, place)
            row = rows[place]
            distance = _distance(vectors + row * row_bytes, width, query, query_square)
            if held < room:  # rises from the end
                at = held
                held += 1
                while at > 0:
                    above = (at - 1) // 2
                    if distances[above] > distance or (distances[above] == distance and found[above] > row):
                        break
                    distances[at], found[at] = distances[above], found[above]
                    at = above
            elif distance < distances[0] or (distance == distances[0] and row < found[0]):  # sinks from the top
                at = 0
                while True:
                    below = 2 * at + 1
                    if below >= room:
                        break
                    other = below + 1
                    if other < room and (
                        distances[other] > distances[below]
                        or (distances[other] == distances[below] and found[other] > found[below])
                    ):
                        below = other
                    if distance > distances[below] or (distance == distances[below] and row > found[below]):
                        break
                    distances[at], found[at] = distances[below], found[below]
                    at = below
            else:
                continue
            distances[at], found[at] = distance, row
        return held

    return nearest
