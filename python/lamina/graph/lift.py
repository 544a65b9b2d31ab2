"""Dispatch of operations: tensors build nodes, arrays are computed at once, numbers take the dtype of what they meet."""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Protocol, TypeVar, cast, overload

import numpy as np

from lamina import _core
from lamina.base import checks
from lamina.base.calls import check_call, explained
from lamina.graph.tensor import Tensor, dtype_name

_WIDER = {**dict.fromkeys(("int8", "uint8", "int16", "uint16", "int32", "uint32"), "int64"), "float16": "float32"}
_EXACT = ("bool", "int64", "float32", "float64")
_EXACT_DTYPES = frozenset(np.dtype(name) for name in _EXACT)

Array = np.ndarray[Any, Any]


Result = TypeVar("Result", covariant=True)


class Operation(Protocol[Result]):
    """Given a tensor it builds nodes, given arrays it computes at once; options follow the operands."""

    __name__: str

    @overload
    def __call__(self, first: Tensor | Sequence[Tensor], /, *others: Any, **options: Any) -> Result: ...
    @overload
    def __call__(self, first: object, second: Tensor, /, *others: Any, **options: Any) -> Result: ...
    @overload
    def __call__(self, *operands: Any, **options: Any) -> Any: ...


def make(op: str, inputs: Sequence[Tensor], **attrs: Any) -> Tensor:
    """The node of one primitive operation; TypeError where an input is no tensor."""
    for t in inputs:
        if not isinstance(t, Tensor):
            raise TypeError(
                f"[{op}] expected tensors, got {type(t).__name__}; pass an lm.Input, lm.placeholder or lm.Parameter, or what an "
                "operation gives"
            )
    return Tensor(_core.make(op, [t.node for t in inputs], attrs))


def make_called(name: str, op: str, inputs: Sequence[Tensor], **attrs: Any) -> Tensor:
    """The same; what is wrong is said in the name of the function that was called."""
    try:
        return make(op, inputs, **attrs)
    except (TypeError, ValueError) as error:
        raise type(error)(str(error).replace(f"[{op}]:", f"[{name}]").replace(f"[{op}]", f"[{name}]")) from None


def as_array(value: Any, where: str) -> Array:
    """The value as an array of a dtype that tensors have: integers become int64, half floats float32."""
    array = checks.array(where, value)
    if array.dtype in _EXACT_DTYPES:
        return array
    name = _WIDER.get(array.dtype.name, array.dtype.name)
    if value is None:
        remedy = "where there is no bound pass np.inf" if where == "clip" else "a function without `return` gives None, for example"
        raise TypeError(f"[{where}] expected a number or an array, got None; {remedy}")
    if array.dtype.kind == "c":
        raise TypeError(f"[{where}] expected real numbers, got an array of {array.dtype}; pass its .real and .imag apart")
    if name == "uint64" and (not array.size or array.max() < 2**63):
        name = "int64"
    if name == "object" and any(isinstance(v, int) and not -(2**63) <= v < 2**63 for v in array.flat):
        raise ValueError(f"[{where}] expected whole numbers below 2^63, got {checks.brief(value)}; write a larger one as a float")
    if name not in _EXACT:
        raise TypeError(f"[{where}] expected numbers, got an array of {array.dtype}; convert it with astype")
    return array.astype(name, copy=False)


def constant(value: Any, dtype: str | None = None, where: str = "constant") -> Tensor:
    """A tensor with known values."""
    array = as_array(value, where)
    if dtype is not None:
        array = array.astype(dtype, copy=False)
    if array.ndim == 0:
        return _number(float(array), dtype_name(array.dtype))
    return make("constant", [], value=array)


def _number(value: float, dtype: str) -> Tensor:
    return make("fill", [], shape=(), value=float(np.float32(value)) if dtype == "float32" else value, dtype=dtype)


def lift(values: Sequence[Any], where: str) -> list[Tensor]:
    """Tensors from a mixture of tensors, arrays and numbers.

    What is no tensor takes the tensors' float type, so that a number or an array of float64 beside a float32 network does not
    widen it; cast to say otherwise. A length that is free, as in lm.sum(x) / x.shape[0], is the number that it has in a run.
    """
    dtypes = [v.dtype for v in values if isinstance(v, Tensor)]
    if not dtypes:
        raise TypeError(f"[{where}] expected a tensor among the operands, got none; pass one")
    widest = max(dtypes, key=_EXACT.index)
    lifted = []
    for value in values:
        if isinstance(value, Tensor):
            lifted.append(value)
            continue
        if type(value) is float:  # as `constant` would make it, in a fraction of the time
            lifted.append(_number(value, "float64" if widest == "float64" else "float32"))
            continue
        if isinstance(value, _core.Dim):  # a free length, such as x.shape[0]
            lifted.append(make("size", [], shape=(value,), dtype=widest if widest.startswith("float") else "int64"))
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


def _weak(values: Sequence[Any], where: str) -> list[Array]:
    """Arrays from arrays and numbers; a Python number takes the float type of the arrays it meets."""
    arrays = [as_array(v, where) for v in values]
    floats = [a.dtype for v, a in zip(values, arrays, strict=True) if not isinstance(v, (bool, int, float)) and a.dtype.kind == "f"]
    if floats:
        widest = max(floats, key=lambda dtype: dtype.itemsize)
        for i, value in enumerate(values):
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                arrays[i] = arrays[i].astype(widest)
    return arrays


class _Computation(NamedTuple):
    program: _core.Program
    pack: Callable[..., Any] | None  # how several results are given: a NamedTuple's _make, or list

    def __call__(self, arrays: Sequence[Array]) -> Any:
        results = self.program.run(arrays)
        return results[0] if self.pack is None else self.pack(results)


_computations: OrderedDict[Any, _Computation] = OrderedDict()
_MOST_PROGRAMS = 512
_LARGE = 64 << 10  # bytes of an array
_MOST_BYTES = 256 << 20  # of memory that they hold for their next runs; that of the newest is not known yet


def _computation(
    build: Callable[..., Any], arrays: Sequence[Array], rebuild: Callable[[list[Tensor]], Any], *options: Any
) -> _Computation:
    """The program of this operation for arrays like these, which `rebuild` builds from their placeholders."""
    key: Any = (build, _hashable(options), tuple((a.dtype, a.shape) for a in arrays))
    try:
        found = _computations.get(key)
    except TypeError:  # an option without a hash, a dict or a set: whether it is one is for the operation to say
        found = key = None
    if found is None:
        inputs = [make("input", [], shape=a.shape, dtype=dtype_name(a.dtype)) for a in arrays]
        result: Any = rebuild(inputs)
        several, pack = ((result,), None) if isinstance(result, Tensor) else (result, getattr(result, "_make", list))
        found = _Computation(_core.Program([t.node for t in inputs], [t.node for t in several]), pack)
        if key is not None:
            _forget_some(arrays)
            _computations[key] = found
    return found


def _forget_some(arrays: Sequence[Array]) -> None:
    """Room for one more program: the oldest go where there are too many, or where all together hold too much. To ask them all takes
    longer than to make one, and so one in 16 does, and each of large arrays.
    """
    count = len(_computations)
    if count < _MOST_PROGRAMS and count % 16 and all(a.nbytes < _LARGE for a in arrays):
        return
    held = sum([c.program.held_bytes for c in list(_computations.values())])
    most = count if count < _MOST_PROGRAMS else _MOST_PROGRAMS - 16
    with suppress(KeyError):  # another thread has forgotten the rest
        while len(_computations) > most or held > _MOST_BYTES:
            held -= _computations.popitem(last=False)[1].program.held_bytes


def _hashable(value: Any) -> Any:
    """An option as a key: 1, True and 1.0 are three, 0.0 and -0.0 two."""
    if value is None or type(value) is bool:
        return value, type(value)
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return tuple([_hashable(v) for v in value])
    if isinstance(value, slice):
        return ("slice", value.start, value.stop, value.step)
    return type(value), float(value).hex() if isinstance(value, (float, np.floating)) else value


def operation(
    count: int | None, *, transposes: bool = False, numbers: Sequence[float] = ()
) -> Callable[[Callable[..., Result]], Operation[Result]]:
    """Makes an operation of a function that builds it; its first `count` arguments are operands (None: one list of them).

    Given arrays alone, the operation computes at once: a small program of the same nodes is made, kept, and run. `transposes`: a
    matrix whose columns are dense goes into the program transposed, and back there; otherwise it would be copied first. `numbers`:
    operands that have programs of their own, as something simpler computes these.
    """
    return _of_a_list if count is None else lambda build: _of_operands(count, transposes, numbers, build)


def _is_column_major(array: Array) -> bool:
    return array.ndim == 2 and array.flags.f_contiguous and not array.flags.c_contiguous


def _transposed(values: Iterable[Any], which: Sequence[bool]) -> list[Any]:
    return [v.T if flips else v for v, flips in zip(values, which, strict=True)]


def _of_operands(count: int, transposes: bool, numbers: Sequence[float], build: Callable[..., Result]) -> Operation[Result]:
    names = build.__code__.co_varnames[:count]
    where = build.__name__.lstrip("_")
    recall = _core.Recall(count, transposes)
    find = recall.find

    @functools.wraps(build)
    def call(*args: Any, **kwargs: Any) -> Any:
        found = find(*args, **kwargs)
        if found is not None:
            return found
        try:
            if len(args) >= count and not [v for v in args[:count] if not isinstance(v, Tensor)]:
                return build(*args, **kwargs)
            return computed(args, kwargs)
        except TypeError:
            check_call(where, build, args, kwargs)
            raise

    def computed(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        operands, rest, named = _split(names, args, kwargs)
        if any(isinstance(v, Tensor) for v in operands):
            return build(*lift(operands, where), *rest, **named)
        given = _weak(operands, where)
        sizes = [n for option in (*rest, *named.values()) if isinstance(option, (tuple, list)) for n in option]
        if any(isinstance(n, _core.Dim) for n in sizes):  # as x.shape[0], which a run of the tensor has
            return build(*map(constant, given), *rest, **named)
        which = [transposes and _is_column_major(a) for a in given]
        arrays = _transposed(given, which)
        known = [
            v if type(v) in (int, float) and v in numbers and a.dtype.kind == "f" else None
            for v, a in zip(operands, given, strict=True)
        ]

        def rebuild(inputs: list[Tensor]) -> Any:
            tensors = zip(_transposed(inputs, which), given, known, strict=True)
            return build(*(t if number is None else constant(a) for t, a, number in tensors), *rest, **named)

        compute = _computation(build, arrays, rebuild, rest, sorted(named.items()), which, known)
        result = compute(arrays)
        recall.keep(*compute, args, kwargs, given)
        return result

    return call


def _of_a_list(build: Callable[..., Result]) -> Operation[Result]:
    where = build.__name__
    recalls = {n: _core.Recall(n, False) for n in range(1, 9)}  # of so many arrays

    @explained
    @functools.wraps(build)
    def call(tensors: Iterable[Any], *rest: Any, **named: Any) -> Any:
        if not isinstance(tensors, Iterable):
            raise TypeError(f"[{where}] expected several tensors or arrays, got {checks.brief(tensors)}; pass a list of them")
        if any(isinstance(option, (Tensor, np.ndarray, list)) for option in rest):
            raise TypeError(f"[{where}] expected all tensors in one list, got them one by one; write {where}([a, b])")
        operands = list(tensors)
        recall = recalls.get(len(operands))
        if recall is not None and (found := recall.find(*operands, *rest, **named)) is not None:
            return found
        if any(isinstance(v, Tensor) for v in operands):
            return build(lift(operands, where), *rest, **named)
        if not operands:
            raise ValueError(f"[{where}] expected at least one array, got none; pass a list of them")
        arrays = _weak(operands, where)
        compute = _computation(build, arrays, lambda inputs: build(inputs, *rest, **named), rest, sorted(named.items()))
        result = compute(arrays)
        if recall is not None:
            recall.keep(*compute, (*operands, *rest), named, arrays)
        return result

    return cast(Operation[Result], call)


def _split(
    names: Sequence[str], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[list[Any], tuple[Any, ...], dict[str, Any]]:
    operands = list(args[: len(names)])
    named = dict(kwargs)
    for name in names[len(operands) :]:
        if name not in named:
            raise TypeError(f"missing {name}")  # as `check_call` finds, too, which says what was expected
        operands.append(named.pop(name))
    return operands, args[len(names) :], named
