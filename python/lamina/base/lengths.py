"""Symbolic lengths such as 2*B*T + 1: the free sizes in them, and their values once those are known."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from lamina._core import Dim, dim
from lamina.base import checks

FREE = r"[^\W\d]\w{0,63}"  # the name of a free size
_PLAIN = {int, Dim, type(None)}
_NAMES = rf"{FREE}(?:\*{FREE}){{0,7}}"
# 2*B*T+1: a factor, sizes, an offset; as the core writes it, and as a file may have it
_WRITTEN = re.compile(r"(?:(-?\d+)\*)?(.+?)([+-]\d+)?")
_FOREIGN = re.compile(rf"(?:(-?\d{{1,18}})\*)?({_NAMES})([+-]\d{{1,18}})?")


def listed(shape: Any, where: str, *, alone: bool = False, named: bool = False) -> tuple[Any, ...]:
    """The lengths of a shape, those of NumPy as Python's; what each may be is for the operation to say. alone: whether one length
    may stand for itself. named: whether free ones may be among them, by their names.

    >>> listed(np.array([2, 3]), "full"), listed(np.int32(4), "full", alone=True)
    ((2, 3), (4,))
    """
    if type(shape) is tuple and _PLAIN.issuperset(map(type, shape)):
        return shape
    shape = shape.tolist() if isinstance(shape, (np.ndarray, np.generic)) else shape
    several = isinstance(shape, Iterable) and not isinstance(shape, (str, bytes, Mapping))
    sizes = tuple(n.item() if isinstance(n, np.generic) else n for n in shape) if several else (shape,)
    if not (several or alone) or any(isinstance(n, bool) for n in sizes):
        raise TypeError(f"[{where}] expected the length of each axis, got {checks.brief(shape)}; pass a tuple such as (2, 3)")
    for size in sizes if named else ():
        if isinstance(size, str) and not re.fullmatch(_NAMES, size):
            raise ValueError(f"[{where}] expected names between * as a free length, got {checks.brief(size)}; write 'T', or 'B*T'")
    return sizes


def known(length: Any, size: Callable[[str], Any]) -> Any:
    """A length with `size(name)` for each free size in it.

    >>> from lamina._core import dim
    >>> known(dim("B") * dim("T") * 2 + 1, {"B": 3, "T": 5}.get)
    31
    >>> known(8 - dim("T"), {"T": 5}.get)
    3
    """
    if not isinstance(length, Dim):
        return length
    product, names, offset = _read(length)
    for name in names:
        product = size(name) * product
    return product + offset


def free(length: Any) -> set[str]:
    """The names of the free sizes in a length.

    >>> from lamina._core import dim
    >>> sorted(free(dim("B") * dim("T") * 2 + 1)), free(3)
    (['B', 'T'], set())
    """
    return set(_read(length)[1]) if isinstance(length, Dim) else set()


def parsed(text: str) -> Dim:
    """The length that a file has as text; ValueError for another text.

    >>> parsed("2*B*T+1"), parsed("B")
    (2*B*T+1, B)
    """
    if not _FOREIGN.fullmatch(text):
        raise ValueError(f"expected a size such as 2*B+1, got {checks.brief(text)}")
    factor, names, offset = _read(text)
    length: Dim = dim("*".join(names)) * factor + offset
    return length


def _read(length: Dim | str) -> tuple[Any, list[str], int]:
    """Its factor, names and offset."""
    found = _WRITTEN.fullmatch(str(length))
    assert found is not None
    factor, names, offset = found.groups()
    return int(factor or 1), names.split("*"), int(offset or 0)


def between(old: Sequence[Any], new: Sequence[Any]) -> dict[str, Any]:
    """The free sizes of one shape, by name, as another one has them; those that stay are not among them."""
    pairs = ((str(i), j) for i, j in zip(old, new, strict=False) if isinstance(i, Dim))
    return {name: j for name, j in pairs if name.isidentifier() and str(j) != name}


def replaced(attrs: Mapping[str, Any], sizes: Mapping[str, Any]) -> dict[str, Any]:
    """A node's attributes with other sizes for free ones of these names; those without free sizes are the same objects."""

    def size(name: str) -> Any:
        return sizes[name] if name in sizes else dim(name)

    def at(value: Any) -> Any:
        several = isinstance(value, (tuple, list)) and any(isinstance(n, Dim) for n in value)
        return tuple(known(n, size) for n in value) if several else known(value, size)

    return {key: at(value) for key, value in attrs.items()}
