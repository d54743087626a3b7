"""512-bit vectors for the search kernels: the few operations that a Hamming distance needs, one instruction each.

The compiler would make a plain loop half as wide as the machine allows, with slow minima of 64-bit numbers. So the
kernels name the vector operations themselves:

    codes     load 8 rows:    c0    c1    c2  …  c7        a vector holds 8 words of 64 bits, 16 of 32, 64 of 8
    query     splat:          q     q     q   …  q
    distance  per word:       d0    d1    d2  …  d7        vpxorq, vpopcntq
    lesser    word by word:   the nearest row of each column so far            vpminud
    least     of a vector:    one number to compare with the k-th best

A machine without such vectors gets two or four narrower ones from LLVM, with the same results. Memory is
addressed by number; nothing here checks bounds.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models, register_default
from numba.core.errors import TypingError
from numba.extending import intrinsic

from searcher.scan.compiled import inlined

#: Bytes of a vector.
VECTOR = 64

_I32 = ir.IntType(32)


class Lanes(types.Type):
    """The numba type of a vector of unsigned integers ``bits`` wide."""

    def __init__(self, bits: int) -> None:
        super().__init__(name=f"Lanes({bits})")
        self.bits = bits

    @property
    def llvm(self) -> ir.VectorType:
        return _vector(self.bits)


@register_default(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, lanes: Lanes) -> None:
        super().__init__(manager, lanes, lanes.llvm)


def _vector(bits: int) -> ir.VectorType:
    return ir.VectorType(ir.IntType(bits), 8 * VECTOR // bits)


def _call(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    signature = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, name), arguments)


def _exact(address: Any) -> Any:
    """The type of an address, which must be int64: numba turns a mixture with uint64 into a float, silently."""
    if address != types.int64:
        raise TypingError(f"an address must be int64, not {address}")
    return address


def _pointer(builder: Any, address: Any, pointee: Any) -> Any:
    return builder.inttoptr(address, pointee.as_pointer())


@intrinsic
def splat(_: Any, word: Any) -> Any:
    """A vector with ``word`` in every place."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = signature.return_type.llvm
        undefined = ir.Constant(vector, ir.Undefined)
        first = builder.insert_element(undefined, arguments[0], _I32(0))
        return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(_I32, vector.count), None))

    return Lanes(word.bitwidth)(word), generate


@intrinsic
def load(_: Any, address: Any, like: Any) -> Any:
    """The vector, of the type of ``like``, at ``address``, which need not be aligned."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_pointer(builder, arguments[0], like.llvm), align=1)

    return like(_exact(address), like), generate


@intrinsic
def load_word(_: Any, address: Any, like: Any) -> Any:
    """The unsigned integer, of the type of ``like``, at ``address``, which need not be aligned."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_pointer(builder, arguments[0], ir.IntType(like.bitwidth)), align=1)

    return like(_exact(address), like), generate


@intrinsic
def store_word(_: Any, address: Any, word: Any) -> Any:
    """Write the unsigned integer ``word`` to ``address``, which need not be aligned."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[1], _pointer(builder, arguments[0], arguments[1].type), align=1)
        return context.get_dummy_value()

    return types.void(_exact(address), word), generate


@intrinsic
def prefetch(_: Any, address: Any) -> Any:
    """Ask for the cache line at ``address``, which may be beyond what is mapped."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(builder, arguments[0], ir.IntType(8))
        _call(builder, "llvm.prefetch.p0i8", ir.VoidType(), [pointer, _I32(0), _I32(3), _I32(1)])
        return context.get_dummy_value()

    return types.void(_exact(address)), generate


@intrinsic
def popcount(_: Any, word: Any) -> Any:
    """The number of ones in the unsigned integer ``word``, of the same type."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return word(word), generate


@intrinsic
def distance(_: Any, left: Any, right: Any) -> Any:
    """The Hamming distances of two vectors, word by word."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = left.llvm
        return _call(builder, f"llvm.ctpop.v{vector.count}i{left.bits}", vector, [builder.xor(*arguments)])

    return left(left, right), generate


@intrinsic
def plus(_: Any, left: Any, right: Any) -> Any:
    """The sums of two vectors, word by word."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.add(*arguments)

    return left(left, right), generate


@intrinsic
def lesser(_: Any, left: Any, right: Any) -> Any:
    """The lesser of two vectors, word by word; words must be below 2^32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # The upper halves of 64-bit distances are zero, and minima of 32 bits take half the time.
        narrow = _vector(min(left.bits, 32))
        halves = [builder.bitcast(argument, narrow) for argument in arguments]
        minimum = _call(builder, f"llvm.umin.v{narrow.count}i{narrow.element.width}", narrow, halves)
        return builder.bitcast(minimum, left.llvm)

    return left(left, right), generate


@intrinsic
def least(_: Any, lanes: Any) -> Any:
    """The least word of a vector, as int64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = lanes.llvm
        minimum = _call(builder, f"llvm.vector.reduce.umin.v{vector.count}i{lanes.bits}", vector.element, arguments)
        return minimum if lanes.bits == 64 else builder.zext(minimum, ir.IntType(64))

    return types.int64(lanes), generate


@intrinsic
def not_above(_: Any, lanes: Any, bound: Any) -> Any:
    """A number whose bit i is set where word i of ``lanes`` is at most word i of ``bound``, as int64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.icmp_signed("<=", *arguments)  # distances are far from the sign bit
        return builder.zext(builder.bitcast(bits, ir.IntType(lanes.llvm.count)), ir.IntType(64))

    return types.int64(lanes, bound), generate


@intrinsic
def lowest_bit(_: Any, number: Any) -> Any:
    """The place of the lowest 1 of ``number``, which is not 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), generate


@intrinsic(prefer_literal=True)
def transpose(_: Any, source: Any, target: Any, step: Any, words: Any) -> Any:
    """Rearrange the 8 codes of ``words`` 64-bit words, a constant power of two, at address ``source``. Writes
    ``words`` vectors, ``step`` bytes apart, at ``target``: the first words of the 8 codes, the second words, and so on.

        a0 b0 a1 b1 a2 b2 a3 b3 | a4 b4 a5 …     two words: even places, then odd places
        a0 a1 a2 a3 a4 a5 a6 a7 | b0 b1 b2 …     four words: the same once more
    """
    count = words.literal_value

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, target, step, _ = arguments
        vector, i64 = _vector(64), ir.IntType(64)
        mask = ir.VectorType(_I32, vector.count)
        even, odd = (ir.Constant(mask, [_I32(2 * lane + first) for lane in range(vector.count)]) for first in (0, 1))
        start = _pointer(builder, source, vector)
        rows = [builder.load(builder.gep(start, [i64(row)]), align=1) for row in range(count)]
        for _ in range(count.bit_length() - 1):
            pairs = list(zip(rows[::2], rows[1::2], strict=True))
            rows = [builder.shuffle_vector(*pair, places) for places in (even, odd) for pair in pairs]
        for number, row in enumerate(rows):
            place = builder.add(target, builder.mul(step, i64(number)))
            builder.store(row, _pointer(builder, place, vector), align=1)
        return context.get_dummy_value()

    return types.void(_exact(source), _exact(target), types.int64, words), generate


@inlined
def differing(left, right, width):
    """Differing bits between the codes of ``width`` bytes at two addresses, for codes compared one at a time."""
    total = 0
    for byte in range(0, width & ~7, 8):
        total += np.int64(popcount(load_word(left + byte, np.uint64(0)) ^ load_word(right + byte, np.uint64(0))))
    for byte in range(width & ~7, width):
        total += np.int64(popcount(load_word(left + byte, np.uint8(0)) ^ load_word(right + byte, np.uint8(0))))
    return total
