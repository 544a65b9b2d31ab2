"""Products of several tensors over named axes, by one matrix product for each pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lamina.base import checks
from lamina.base.calls import explained
from lamina.graph.lift import Operation, operation
from lamina.graph.tensor import FLOATS, Tensor
from lamina.ops.constants import eye
from lamina.ops.elementwise import cast, multiply, where
from lamina.ops.products import matmul
from lamina.ops.reductions import sum
from lamina.ops.shapes import expand_dims, reshape, transpose

ELLIPSIS = "..."
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@explained
def einsum(subscripts: str, *operands: Any) -> Any:
    """Einstein's sum: the product of all operands, summed over each letter that the result has not.

    subscripts: a letter for each axis, operands apart by commas, then -> and the letters of the result; without -> those that occur
    once, in alphabetical order. "..." stands for axes that broadcast. A letter twice in one operand is its diagonal. operands:
    tensors or arrays; of more than two, the first two meet first. Where all hold whole numbers, or truth values, the result is
    float64, exact up to 2^53.
    Errors: ValueError for subscripts that do not fit the operands, for "..." that the result leaves out, for a letter of two
    lengths, and for a diagonal whose length is free.

    >>> lm.einsum("ij,jk->ik", [[1.0, 2.0]], [[3.0], [4.0]])
    array([[11.]])
    """
    if not isinstance(subscripts, str):
        raise TypeError(
            f"[einsum] expected subscripts such as 'ij,jk->ik' first, got {checks.brief(subscripts)}; put the operands behind"
        )
    return _einsum(list(operands), subscripts)


def _build(tensors: Sequence[Tensor], subscripts: str) -> Tensor:
    given, result = _parsed(subscripts, [t.ndim for t in tensors])
    _check_lengths(tensors, given)
    if all(t.dtype not in FLOATS for t in tensors):
        tensors = [cast(t, "float64") for t in tensors]
    terms = [_diagonal(t, letters) for t, letters in zip(tensors, given, strict=True)]
    x, letters = terms[0]
    for i, (y, others) in enumerate(terms[1:], 2):
        wanted = {*result, *(letter for _, more in terms[i:] for letter in more)}
        x, letters = _product(*_summed(x, letters, wanted | {*others}), *_summed(y, others, wanted | {*letters}), wanted)
    x, letters = _summed(x, letters, {*result})
    if letters == result:
        return x
    return transpose(x, [letters.index(letter) for letter in result])


_build.__name__ = _build.__qualname__ = "einsum"
_einsum: Operation[Tensor] = operation(None)(_build)


def _parsed(subscripts: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """The letters of each operand and of the result; letters of their own for the axes of "..."."""
    where = f"[einsum] {checks.brief(subscripts)}"
    left, arrow, right = subscripts.replace(" ", "").partition("->")
    parts = left.split(",")
    if len(parts) != len(ranks):
        raise ValueError(f"{where}: expected {len(parts)} operands, got {len(ranks)}; give letters to each")
    free = [letter for letter in LETTERS if letter not in subscripts]
    hidden = [rank - len(part) + len(ELLIPSIS) for part, rank in zip(parts, ranks, strict=True) if ELLIPSIS in part]
    most = max(hidden, default=0)
    if any(n < 0 for n in hidden) or most > len(free):
        raise ValueError(f"{where}: expected at most as many letters as axes, got operands of {list(ranks)} axes; write fewer")
    dots = "".join(free[:most])
    given = [_letters(where, part, rank, dots) for part, rank in zip(parts, ranks, strict=True)]
    every = "".join(given)
    if not arrow:
        right = ELLIPSIS * bool(dots) + "".join(sorted(c for c in {*every} - {*dots} if every.count(c) == 1))
    result = right.replace(ELLIPSIS, dots, 1)
    if arrow and dots and ELLIPSIS not in right:
        raise ValueError(
            f"{where}: expected ... in the result, as the operands have such axes, got {checks.brief(right)}; write it there"
        )
    if len({*result}) < len(result) or not {*result} <= {*every} or not (result.isalpha() or result == ""):
        raise ValueError(
            f"{where}: expected letters of the operands in the result, each once, got {checks.brief(right)}; leave out the others"
        )
    return given, result


def _letters(where: str, part: str, rank: int, dots: str) -> str:
    """One operand's, with the last of `dots` for its "..."."""
    hidden = rank - len(part) + len(ELLIPSIS)
    letters = part.replace(ELLIPSIS, dots[len(dots) - hidden :], 1) if ELLIPSIS in part else part
    if len(letters) != rank or not (letters.isascii() and letters.isalpha() or letters == ""):
        raise ValueError(
            f"{where}: expected {rank} letters for an operand of {rank} axes, got {checks.brief(part)}; write one for each"
        )
    return letters


def _check_lengths(tensors: Sequence[Tensor], given: Sequence[str]) -> None:
    known: dict[str, Any] = {}
    for tensor, letters in zip(tensors, given, strict=True):
        for letter, n in zip(letters, tensor.shape, strict=True):
            if known.setdefault(letter, n) == 1:
                known[letter] = n  # which broadcasts
            if n not in (1, known[letter]):
                shapes = ", ".join(str(t.shape) for t in tensors)
                raise ValueError(
                    f"[einsum] {shapes}: expected one length for letter {letter!r}, got {known[letter]} and {n}; make them equal"
                )


def _diagonal(x: Tensor, letters: str) -> tuple[Tensor, str]:
    """x with each letter once: where two axes have one, what lies on their diagonal."""
    for letter in dict.fromkeys(letters):
        while letters.count(letter) > 1:
            first, second = (i for i, c in enumerate(letters) if c == letter and letters[:i].count(letter) < 2)
            n = x.shape[first]
            if not isinstance(n, int) or x.shape[second] != n:
                raise ValueError(
                    f"[einsum] {x.shape}: expected a diagonal of one known length, got {n} and {x.shape[second]}; make them equal"
                )
            on = reshape(cast(eye(n), "bool"), [n if i in (first, second) else 1 for i in range(x.ndim)])
            x, letters = sum(where(on, x, 0.0), second), letters[:second] + letters[second + 1 :]  # not x * on: that has NaN * 0
    return x, letters


def _summed(x: Tensor, letters: str, wanted: set[str]) -> tuple[Tensor, str]:
    """x without the letters that nobody wants any more."""
    gone = [i for i, letter in enumerate(letters) if letter not in wanted]
    return (sum(x, gone) if gone else x), "".join(letter for letter in letters if letter in wanted)


def _product(x: Tensor, a: str, y: Tensor, b: str, wanted: set[str]) -> tuple[Tensor, str]:
    """The sum over the letters that both have and nobody wants: a stack of matrix products over those that are wanted."""
    both = [letter for letter in a if letter in b]
    over = [letter for letter in both if letter not in wanted and x.shape[a.index(letter)] == y.shape[b.index(letter)]]
    stack = [letter for letter in both if letter not in over]
    rows, cols = ([letter for letter in own if letter not in both] for own in (a, b))
    if not over or not (rows or cols):
        x, y = _spread(x, a, [*stack, *over, *rows, *cols]), _spread(y, b, [*stack, *over, *rows, *cols])
        return _summed(multiply(x, y), "".join((*stack, *over, *rows, *cols)), {*wanted})
    left = _grouped(x, a, [[c] for c in stack] + [rows, over])
    right = _grouped(y, b, [[c] for c in stack] + [over, cols])
    product = matmul(left, right)
    lengths = [*product.shape[: len(stack)], *(x.shape[a.index(c)] for c in rows), *(y.shape[b.index(c)] for c in cols)]
    letters = "".join((*stack, *rows, *cols))
    return _summed(reshape(product, tuple(lengths)), letters, wanted)


def _spread(x: Tensor, letters: str, order: Sequence[str]) -> Tensor:
    """x with its axes in this order, and axes of length 1 for the letters that it lacks."""
    x = _in_order(x, letters, [letter for letter in order if letter in letters])
    for i, letter in enumerate(order):
        x = x if letter in letters else expand_dims(x, i)
    return x


def _grouped(x: Tensor, letters: str, groups: Sequence[Sequence[str]]) -> Tensor:
    """x with one axis for each group of letters."""
    x = _in_order(x, letters, [letter for group in groups for letter in group])
    shape: list[Any] = []
    at = 0
    for group in groups:
        n: Any = 1
        for size in x.shape[at : at + len(group)]:
            n = n * size
        shape.append(n)
        at += len(group)
    return x if tuple(shape) == tuple(x.shape) else reshape(x, tuple(shape))


def _in_order(x: Tensor, letters: str, order: Sequence[str]) -> Tensor:
    axes = [letters.index(letter) for letter in order]
    return x if axes == list(range(x.ndim)) else transpose(x, axes)
