"""Expressions on names, and how one stands in another: in parentheses, behind a factor, with its sign."""

from __future__ import annotations

from typing import NamedTuple

from lamina import _core as core
from lamina.trace.notation import Equation, number, text

ATOM = 4  # the rank of what needs no parentheses anywhere; sums have 1, products 2, powers 3
ROWS = "rows"  # what a matrix of the rows of all samples is written as: rows(X)
ROWS_SAID = f"{ROWS}(T): the rows of all samples and positions of T, one under the other"


def of_rows(equation: Equation) -> bool:
    """Whether rows(..) stands in it."""
    return any(isinstance(part, str) and f"{ROWS}(" in part for part in equation)


class Term(NamedTuple):
    """An expression, how tightly it binds, and the nodes that it holds."""

    parts: Equation
    rank: int
    nodes: tuple[core.Node, ...] = ()

    def within(self, rank: int) -> Equation:
        """In parentheses where it binds less than `rank`."""
        return self.parts if self.rank >= rank else ("(", *self.parts, ")")


def is_number(term: Term) -> bool:
    """Whether it is a number as it is, which stands for no node."""
    return not term.nodes and all(isinstance(p, str) for p in term.parts)


def negated(term: Term) -> Equation | None:
    """The product or quotient without its minus sign, where it begins with one: a number, as (−2) in (−2) Z, or that of −Z."""
    first, *rest = term.parts
    if term.rank < 2 or not isinstance(first, str):
        return None
    if first == "−":
        return tuple(rest)
    if first == "(−1)" and rest[:1] == [" "]:
        return tuple(rest[1:])
    return (first[2:-1], *rest) if first.startswith("(−") and _is_positive(first[2:-1]) else None


def _is_positive(written: str) -> bool:
    return written.replace(".", "", 1).isdigit()


def behind_a_factor(term: Term, *, of_number: bool = False) -> Equation:
    """.3 (−T), which .3 −T is not; behind a number also .3 (2 T), as .3 2 T reads like one number."""
    parts = term.within(2)
    first = str(parts[0]).strip()
    return ("(", *parts, ")") if first.startswith("−") or of_number and _is_positive(first) else parts


def doubled(term: Term) -> Equation:
    """2 Z, and .002 W for .001 W + .001 W."""
    first, *rest = parts = behind_a_factor(term)
    try:
        twice = 2 * float(first.replace("−", "-") if isinstance(first, str) else "none")
    except ValueError:
        return ("2 ", *parts)
    if twice == 1 and rest[:1] == [" "]:
        return tuple(rest[1:])
    return (number(twice, 6), *rest)


def as_factor(term: Term) -> Equation:
    """A factor of a product element by element: a quotient, and sums of rows, in parentheses."""
    apart = term.parts[-1:] == (" 1",) or any(isinstance(p, str) and "/" in p for p in term.parts)
    return ("(", *term.parts, ")") if term.rank == 2 and apart else term.within(2)


def as_argument(term: Term) -> Equation:
    """An argument: a negative number needs no parentheses there."""
    return (text(term.parts)[1:-1],) if is_number(term) and text(term.parts).startswith("(") else term.parts
