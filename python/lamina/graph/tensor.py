"""Tensors: symbols of a network's math. They build a graph; a program made from it computes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina import _core
from lamina.base import checks, elsewhere
from lamina.base.calls import explained
from lamina.base.lengths import FREE, listed

if TYPE_CHECKING:
    from lamina._core import Node

FLOATS = ("float32", "float64")
TYPE_NAMES = {np.dtype(name): name for name in ("bool", "int64", *FLOATS)}  # NumPy works a name out anew each time


class Tensor:
    """A value that a program will compute: a node of the graph with a shape and a dtype.

    Operators and methods are those of `lamina.ops`, with NumPy's names and broadcasting.

    >>> import lamina as lm
    >>> x = lm.Input(3)
    >>> (2 * x + 1).shape
    (B, 3)
    """

    __slots__ = ("__weakref__", "node")
    _unlisted: tuple[str, ...] = ("node",)

    def __init__(self, node: Node) -> None:
        self.node = node

    @property
    def shape(self) -> tuple[Any, ...]:
        """The length of each axis; the batch axis is the symbol B."""
        return self.node.shape

    @property
    def dtype(self) -> str:
        """float32, float64, int64 or bool."""
        return self.node.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.node.shape)

    @property
    def name(self) -> str | None:
        """The name that an input was given."""
        name = self.node.attrs.get("name")
        return None if name is None else str(name)

    @property
    def T(self) -> Tensor:
        """The tensor with its axes in reverse order."""
        return ops.transpose(self)

    def __repr__(self) -> str:
        return f"Tensor({self.node.op}, shape={self.shape}, dtype={self.dtype})"

    def __bool__(self) -> bool:
        raise TypeError(
            "[Tensor] expected a truth value, got a tensor, whose numbers are not there yet; use lm.where(condition, a, b) for if"
        )

    def __iter__(self) -> Any:
        if self.ndim == 0 or not isinstance(self.shape[0], int):
            raise TypeError(
                f"[Tensor] expected a first axis of known length to loop over, got shape {self.shape}; pass it in a list"
            )
        return (self[i] for i in range(self.shape[0]))

    def __len__(self) -> int:
        if self.ndim == 0 or not isinstance(self.shape[0], int):
            raise TypeError(f"[Tensor] expected a first axis of known length, got shape {self.shape}; use lm.size(x, axis=0)")
        return self.shape[0]

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError(
            "a tensor holds no numbers; compute it with lm.function(inputs, outputs)(arrays); in math write lm.exp, not math.exp"
        )

    def __float__(self) -> float:
        return float(self.__array__())  # whose error says where the numbers are

    def __int__(self) -> int:
        return int(self.__array__())

    def __copy__(self) -> Tensor:
        return self

    def __reduce_ex__(self, _: Any) -> Any:  # what pickle and copy.deepcopy ask
        raise TypeError(
            f"[{self.name or 'tensor'}] expected a network to copy or pickle, got a tensor or a built layer, a part of one; copy "
            "the network (copy.deepcopy(net), pickle.dumps(net)), or take the numbers: dict(net.parameters)"
        )

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        from lamina.graph import from_numpy

        return from_numpy.operator(ufunc, method, inputs, options)

    def __array_function__(self, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        from lamina.graph import from_numpy

        return from_numpy.call(function, args, kwargs)

    def __add__(self, other: object) -> Tensor:
        return ops.add(self, other)

    def __radd__(self, other: object) -> Tensor:
        return ops.add(other, self)

    def __sub__(self, other: object) -> Tensor:
        return ops.subtract(self, other)

    def __rsub__(self, other: object) -> Tensor:
        return ops.subtract(other, self)

    def __mul__(self, other: object) -> Tensor:
        return ops.multiply(self, other)

    def __rmul__(self, other: object) -> Tensor:
        return ops.multiply(other, self)

    def __truediv__(self, other: object) -> Tensor:
        return ops.divide(self, other)

    def __rtruediv__(self, other: object) -> Tensor:
        return ops.divide(other, self)

    def __floordiv__(self, other: object) -> Tensor:
        return floor_divide(self, other)

    def __rfloordiv__(self, other: object) -> Tensor:
        return floor_divide(other, self)

    def __mod__(self, other: object) -> Tensor:
        return ops.mod(self, other)

    def __rmod__(self, other: object) -> Tensor:
        return ops.mod(other, self)

    def __pow__(self, other: object) -> Tensor:
        return ops.power(self, other)

    def __rpow__(self, other: object) -> Tensor:
        return ops.power(other, self)

    def __matmul__(self, other: object) -> Tensor:
        return ops.matmul(self, other)

    def __rmatmul__(self, other: object) -> Tensor:
        return ops.matmul(other, self)

    def __neg__(self) -> Tensor:
        return ops.negative(self)

    def __pos__(self) -> Tensor:
        return self

    def __abs__(self) -> Tensor:
        return ops.abs(self)

    def __lt__(self, other: object) -> Tensor:
        return ops.less(self, other)

    def __le__(self, other: object) -> Tensor:
        return ops.less_equal(self, other)

    def __gt__(self, other: object) -> Tensor:
        return ops.greater(self, other)

    def __ge__(self, other: object) -> Tensor:
        return ops.greater_equal(self, other)

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        return ops.equal(self, other)

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        return ops.not_equal(self, other)

    def __and__(self, other: object) -> Tensor:
        return _logical("&", "logical_and", self, other)

    def __or__(self, other: object) -> Tensor:
        return _logical("|", "logical_or", self, other)

    __rand__, __ror__ = __and__, __or__

    def __invert__(self) -> Tensor:
        return _logical("~", "logical_not", self)

    __hash__ = object.__hash__

    def __getitem__(self, index: object) -> Tensor:
        return ops.getitem(self, index)  # type: ignore[no-any-return]

    @explained
    def sum(self, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Tensor:
        """See `lamina.sum`."""
        return ops.sum(self, axis, keepdims)

    @explained
    def mean(self, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Tensor:
        """See `lamina.mean`."""
        return ops.mean(self, axis, keepdims)

    @explained
    def max(self, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Tensor:
        """See `lamina.max`."""
        return ops.max(self, axis, keepdims)

    @explained
    def min(self, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Tensor:
        """See `lamina.min`."""
        return ops.min(self, axis, keepdims)

    @explained
    def reshape(self, *shape: Any) -> Tensor:
        """See `lamina.reshape`; takes the lengths one by one or as a tuple."""
        return ops.reshape(self, shape[0] if len(shape) == 1 else shape)

    @explained
    def transpose(self, *axes: Any) -> Tensor:
        """See `lamina.transpose`; takes the axes one by one or as a tuple."""
        return ops.transpose(self, axes[0] if len(axes) == 1 else axes or None)

    @explained
    def astype(self, dtype: object) -> Tensor:
        """See `lamina.cast`."""
        return ops.cast(self, dtype)

    def __dir__(self) -> list[str]:
        return elsewhere.left_out(self, super().__dir__())


elsewhere.put(Tensor, elsewhere.OF_TENSORS)


def dtype_name(dtype: Any, where: str = "dtype", remedy: str = "cast the data first") -> str:
    """The name of a dtype given as a name, a NumPy dtype or a Python type; TypeError for one that tensors do not have."""
    try:
        known = None if dtype is None else np.dtype(dtype)  # NumPy reads None as float64
    except (TypeError, ValueError):
        known = None
    if known in TYPE_NAMES:
        return TYPE_NAMES[known]
    name = str(dtype) if known is None else str(known.name)  # that of the other byte order is the same
    if name not in TYPE_NAMES.values():
        raise TypeError(f"[{where}] expected bool, int64, float32 or float64 as dtype, got {name:.60}; {remedy}")
    return name


@explained
def placeholder(shape: Sequence[int | str | None], dtype: Any = "float32", name: str | None = None) -> Tensor:
    """A value that is given when a program runs.

    shape: the length of each axis; None is the batch axis B, a word such as "T" names another length that is free.
    dtype: float32, float64, int64 or bool.
    Errors: ValueError for a negative length or a name that is no word, TypeError for another shape or dtype.

    >>> import lamina as lm
    >>> a = lm.placeholder((3, 3))
    >>> a.T.shape
    (3, 3)
    """
    sizes = listed(shape, "placeholder")
    for size in sizes:
        if not isinstance(size, (int, str, type(None), _core.Dim)):
            raise TypeError(
                f"[placeholder] expected whole numbers, None or names as lengths, got {checks.brief(size)} in "
                f"{checks.brief(sizes)}; pass None for a free one"
            )
        if isinstance(size, int) and size < 0:
            raise ValueError(
                f"[placeholder] expected lengths of 0 or more, None or a name, got {checks.brief(size)} in {checks.brief(sizes)}; "
                "pass None for a free one"
            )
        if isinstance(size, str) and not re.fullmatch(FREE, size):
            raise ValueError(
                f"[placeholder] expected a word as the name of a free length, got {checks.brief(size)}; call it 'T', or 'length_2'"
            )
    attrs: dict[str, Any] = {"shape": sizes, "dtype": dtype_name(dtype, "placeholder")}
    if name is not None:
        attrs["name"] = word("placeholder", name)
    return Tensor(_core.make("input", [], attrs))


@explained
def Input(*shape: int | Sequence[int], dtype: Any = None, name: str | None = None) -> Tensor:
    """The input of a network: samples of the given shape, as many as there are in a batch.

    shape: the lengths without the batch axis, e.g. Input(8) or Input(28, 28).
    dtype: float32 unless said otherwise; int64 for indices (Embedding).
    name: under which a model takes it, where several inputs come as a dict; by default input_1, input_2, ...
    Errors: ValueError for a length that is no positive whole number, TypeError for another dtype.

    >>> import lamina as lm
    >>> lm.Input(8).shape
    (B, 8)
    """
    sizes = listed(shape[0] if len(shape) == 1 else shape, "Input", alone=True)
    for size in sizes:
        if not isinstance(size, int) or size < 1:
            raise ValueError(
                f"[Input] expected positive whole numbers, got {checks.brief(size)}; give the shape of one sample, without the "
                "batch axis"
            )
    dtype = "float32" if dtype is None else dtype_name(dtype, "Input")
    return placeholder((None, *sizes), dtype, None if name is None else word("Input", name))


def word(where: str, name: Any) -> str:
    """A tensor's name; TypeError for what is no text."""
    if not checks.is_text(name):
        raise TypeError(f"[{where}] expected a text as name, got {checks.brief(name)}; pass one such as 'x', or leave it out")
    return str(name)


def _logical(sign: str, name: str, *operands: Any) -> Tensor:
    """NumPy's &, | and ~ of truth values; TypeError for numbers, on which they are bitwise."""
    for v in operands:
        dtype = v.dtype if isinstance(v, Tensor) else np.asarray(v).dtype.name
        if dtype != "bool":
            raise TypeError(
                f"[{sign}] expected tensors of bool, got {dtype}, on which it is bitwise; for truth values write lm.{name}(..)"
            )
    return getattr(ops, name)(*operands)  # type: ignore[no-any-return]


def floor_divide(a: object, b: object) -> Tensor:
    """floor(a / b); of whole numbers a whole one, by a quotient in float64, which is not rounded up before it is rounded down."""
    if all(map(_is_whole, (a, b))):
        a, b = (ops.cast(v, "float64") for v in (a, b))
        return ops.cast(ops.floor(ops.divide(a, b)), "int64")  # type: ignore[no-any-return]
    return ops.floor(ops.divide(a, b))  # type: ignore[no-any-return]


def _is_whole(value: object) -> bool:
    return value.dtype not in FLOATS if isinstance(value, Tensor) else np.asarray(value).dtype.kind in "biu"


def check_once(where: str, inputs: Iterable[Tensor]) -> None:
    """ValueError where a tensor is among the inputs twice: only one of the arrays for it could count."""
    seen: set[int] = set()
    for position, tensor in enumerate(inputs, 1):
        if tensor.node.serial in seen:
            raise ValueError(
                f"[{where}] expected each input once, got input {position} a second time; make a tensor for each array"
            )
        seen.add(tensor.node.serial)


def shown(shape: Sequence[Any]) -> str:
    """A shape as it is written in errors: (B, 3)."""
    return f"({', '.join(str(n) for n in shape)}{',' if len(shape) == 1 else ''})"


from lamina import ops  # noqa: E402 - operations are made of tensors, and a tensor's methods are operations
