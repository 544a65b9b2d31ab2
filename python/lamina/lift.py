"""How an operation treats what it is given: tensors build, arrays compute at once, numbers take the dtype of what they meet."""

from __future__ import annotations

import functools
import inspect
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lamina import _core
from lamina.tensor import Tensor, placeholder

__all__ = ["constant", "lift", "make", "operation"]

_WIDER = {
    "int8": "int64",
    "uint8": "int64",
    "int16": "int64",
    "uint16": "int64",
    "int32": "int64",
    "uint32": "int64",
    "float16": "float32",
}
_EXACT = ("bool", "int64", "float32", "float64")


def make(op: str, inputs: Sequence[Tensor], **attrs: Any) -> Tensor:
    """The node of one primitive operation."""
    return Tensor(_core.make(op, [t.node for t in inputs], attrs))


def as_array(value: Any, where: str) -> np.ndarray[Any, Any]:
    """The value as an array of a dtype that tensors have: integers become int64, half floats float32."""
    array = np.asarray(value)
    name = _WIDER.get(array.dtype.name, array.dtype.name)
    if name not in _EXACT:
        raise TypeError(f"[{where}] expected numbers, got an array of {array.dtype}; convert it with astype")
    return array.astype(name, copy=False)


def constant(value: Any, dtype: str | None = None, where: str = "constant") -> Tensor:
    """A tensor with known values."""
    array = as_array(value, where)
    if dtype is not None:
        array = array.astype(dtype, copy=False)
    if array.ndim == 0:
        return make("fill", [], shape=(), value=float(array), dtype=array.dtype.name)
    return make("constant", [], value=array)


def lift(values: Sequence[Any], where: str) -> list[Tensor]:
    """Tensors from a mixture of tensors, arrays and numbers.

    What is no tensor takes the tensors' float type, so that a number or an array of float64 beside a float32 network does not
    widen it; cast to say otherwise.
    """
    dtypes = [v.dtype for v in values if isinstance(v, Tensor)]
    widest = max(dtypes, key=_EXACT.index)
    lifted = []
    for value in values:
        if isinstance(value, Tensor):
            lifted.append(value)
            continue
        array = as_array(value, where)
        kind = array.dtype.kind
        if kind == "f":
            dtype = widest if widest.startswith("float") else "float32"
        elif kind == "b":
            dtype = "bool"
        else:
            dtype = widest if widest.startswith("float") and array.ndim == 0 else "int64"
        lifted.append(constant(array, dtype, where))
    return lifted


def _weak(values: Sequence[Any], where: str) -> list[np.ndarray[Any, Any]]:
    """Arrays from arrays and numbers; a Python number takes the float type of the arrays it meets."""
    arrays = [as_array(v, where) for v in values]
    floats = [
        a.dtype.name for v, a in zip(values, arrays, strict=True) if not isinstance(v, (bool, int, float)) and a.dtype.kind == "f"
    ]
    if floats:
        widest = max(floats, key=_EXACT.index)
        for i, value in enumerate(values):
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                arrays[i] = arrays[i].astype(widest)
    return arrays


_Build = Callable[..., Tensor]
_programs: OrderedDict[Any, tuple[_core.Program, Any]] = OrderedDict()  # and how it gives several results: a NamedTuple's _make
_MOST_PROGRAMS = 512


def _compute(build: _Build, arrays: Sequence[np.ndarray[Any, Any]], rebuild: Callable[[list[Tensor]], Tensor], key: Any) -> Any:
    key = (build, key, tuple((a.dtype.name, a.shape) for a in arrays))
    found = _programs.get(key)
    if found is None:
        inputs = [placeholder(a.shape, a.dtype) for a in arrays]
        result: Any = rebuild(inputs)
        several, pack = ((result,), None) if isinstance(result, Tensor) else (result, result._make)
        found = _programs[key] = _core.Program([t.node for t in inputs], [t.node for t in several]), pack
        if len(_programs) > _MOST_PROGRAMS:
            _programs.popitem(last=False)
    program, pack = found
    results = program.run(list(arrays))
    return results[0] if pack is None else pack(results)


def _hashable(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(_hashable(v) for v in value)
    if isinstance(value, slice):
        return ("slice", value.start, value.stop, value.step)
    return value


def operation(count: int | None) -> Callable[[_Build], Any]:
    """Makes an operation of a function that builds it; its first `count` arguments are operands (None: one list of them).

    Given arrays alone, the operation computes at once: a small program of the same nodes is made, kept, and run.
    """

    def decorate(build: _Build) -> Any:
        names = list(inspect.signature(build).parameters)
        where = build.__name__

        @functools.wraps(build)
        def call(*args: Any, **kwargs: Any) -> Any:
            if count is not None:
                split = _split(names[:count], args, kwargs, where)
                operands, rest, named = split
                if any(isinstance(v, Tensor) for v in operands):
                    return build(*lift(operands, where), *rest, **named)
                arrays = _weak(operands, where)
                key = (_hashable(rest), tuple(sorted((k, _hashable(v)) for k, v in named.items())))
                return _compute(build, arrays, lambda inputs: build(*inputs, *rest, **named), key)
            operands, rest = list(args[0]), args[1:]
            if any(isinstance(v, Tensor) for v in operands):
                return build(lift(operands, where), *rest, **kwargs)
            if not operands:
                raise ValueError(f"[{where}] expected at least one array, got none")
            arrays = _weak(operands, where)
            key = (_hashable(rest), tuple(sorted((k, _hashable(v)) for k, v in kwargs.items())))
            return _compute(build, arrays, lambda inputs: build(inputs, *rest, **kwargs), key)

        return call

    return decorate


def _split(
    names: Sequence[str], args: tuple[Any, ...], kwargs: dict[str, Any], where: str
) -> tuple[list[Any], tuple[Any, ...], dict[str, Any]]:
    operands = list(args[: len(names)])
    named = dict(kwargs)
    for name in names[len(operands) :]:
        if name not in named:
            raise TypeError(f"[{where}] expected {len(names)} operands ({', '.join(names)}), got {len(operands)}")
        operands.append(named.pop(name))
    return operands, args[len(names) :], named
