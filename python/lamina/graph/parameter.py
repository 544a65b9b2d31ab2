"""Parameters: tensors with memory. Their values are variables of the core; what else is known of one stands here."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina import _core
from lamina.base import checks
from lamina.base.calls import explained
from lamina.base.lengths import listed
from lamina.base.turns import building
from lamina.graph.tensor import FLOATS, TYPE_NAMES, Tensor, dtype_name, word

if TYPE_CHECKING:
    from lamina._core import Node


class _Note:
    """What Python knows of a variable of the core, and all parameters that stand for it share."""

    __slots__ = ("init", "initialized", "is_weight", "models")

    def __init__(self, init: Any, initialized: bool, is_weight: bool) -> None:
        self.init, self.initialized, self.is_weight = init, initialized, is_weight
        self.models: tuple[weakref.ref[Any], ...] = ()  # those that hold it; no WeakSet, which takes longer to ask than to freeze


class Parameter(Tensor):
    """A tensor with memory: a weight that training changes, or (trainable=False) a statistic that it keeps.

    value_or_shape: an array with the values, or a shape; a shape is filled by `init` when the network is built.
    init: the name of one of `lm.initializers`, or called as init(shape, rng, dtype) -> array.
    dtype: of an array its own, of a Python float float64, of a shape float32, unless given. What a float64 one meets becomes
    float64, also in a float32 network, which then takes twice as long behind it: lm.Parameter(0.5, dtype="float32") there.
    Errors: ValueError where a value assigned later has another shape; TypeError for whole numbers that are to be trained.

    >>> import lamina as lm, numpy as np
    >>> w = lm.Parameter(np.ones((2, 3), "float32"))
    >>> w.value.shape
    (2, 3)
    """

    __slots__ = ("variable",)
    _unlisted = ("adopted_by", "initialize", "initialized", "is_weight", "models", "of", "variable")

    @explained
    def __init__(
        self, value_or_shape: Any, *, init: Any = None, name: str | None = None, trainable: bool = True, dtype: Any = None
    ) -> None:
        name = None if name is None else word("Parameter", name)
        given, trainable = init is None, checks.flag("Parameter", "trainable", trainable)
        if not given and not callable(init):
            from lamina import initializers

            init = initializers.get(init)
        if given:
            value = numbers(value_or_shape, name or "Parameter")
            dtype = dtype_name(dtype or TYPE_NAMES.get(value.dtype.newbyteorder("="), "float32"), "Parameter")
            shape: tuple[int, ...] = value.shape
        else:
            shape, dtype = _known_shape(value_or_shape, name), dtype_name(dtype or "float32", "Parameter")
        if trainable and dtype not in FLOATS:
            raise TypeError(
                f"[Parameter] expected float32 or float64 for what is trained, got {dtype}; pass floats or dtype='float32', init= "
                "where the numbers are a shape, or trainable=False"
            )
        self.variable = _core.Variable(name or "", dtype, list(shape), trainable)
        self.variable.note = _Note(init, given, trainable)
        if given:
            self.variable.write(value)
        super().__init__(_core.make("variable", [], {"variable": self.variable}))

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError(
            f"[{self.name or 'Parameter'}] expected an array, got a parameter as a tensor of the graph; its numbers are its .value"
        )

    @classmethod
    def of(cls, node: Node) -> Parameter:
        """The parameter that a node of the graph reads."""
        parameter = cls.__new__(cls)
        Tensor.__init__(parameter, node)
        parameter.variable = node.attrs["variable"]
        return parameter

    @property
    def _note(self) -> _Note:
        note: _Note = self.variable.note
        return note

    @property
    def init(self) -> Any:
        """Called as init(shape, rng, dtype) -> array when the network is built; None where values were given."""
        return self._note.init

    @property
    def initialized(self) -> bool:
        """Whether it has values already."""
        return self._note.initialized

    @initialized.setter
    def initialized(self, value: bool) -> None:
        self._note.initialized = value

    @property
    def name(self) -> str | None:
        """The name within its network, such as dense_1.weight."""
        return self.variable.name or None

    @name.setter
    def name(self, name: str) -> None:
        self.variable.name = word("Parameter", name)

    @property
    def trainable(self) -> bool:
        """Whether training changes it by its gradient. A weight is frozen by assigning False, from the next step on; a statistic
        (trainable=False from the first) stays one.
        """
        return self.variable.trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        value = checks.flag(self.name or "Parameter", "trainable", value)
        if value and not self.is_weight:
            raise ValueError(
                f"[{self.name or 'Parameter'}] expected a weight to train, got one made with trainable=False; make a new one"
            )
        set_trainable([self], value)

    @property
    def is_weight(self) -> bool:
        """Whether it was made to be trained, frozen or not."""
        return self._note.is_weight

    @property
    def models(self) -> list[Any]:
        """The models that hold it and are alive."""
        return [model for held in self._note.models if (model := held()) is not None]

    def adopted_by(self, model: Any) -> None:
        """`model` is one more of `models`."""
        others = [other for other in self.models if other is not model]
        self._note.models = tuple(map(weakref.ref, [*others, model]))

    @property
    def value(self) -> np.ndarray[Any, Any]:
        """A copy of the values; assigning checks the shape and writes."""
        return self.variable.read()

    @value.setter
    def value(self, value: Any) -> None:
        self.variable.write(numbers(value, self.name or "Parameter", self.variable.shape))
        self.initialized = True

    def initialize(self, rng: np.random.Generator) -> None:
        """Fills the parameter by its initializer, unless it has values already."""
        if self.initialized:
            return
        shape = tuple(self.variable.shape)
        try:
            self.value = self.init(shape, rng, self.dtype)
        except MemoryError as error:
            raise MemoryError(
                f"[{self.name or 'Parameter'}] expected {8 * math.prod(shape)} bytes of memory for the first values of "
                f"{self.dtype} {shape}, in float64, got none; use fewer units"
            ) from error

    def __repr__(self) -> str:
        return f"Parameter({self.name or 'unnamed'}, shape={self.shape}, dtype={self.dtype}, trainable={self.trainable})"


def set_trainable(parameters: Iterable[Parameter], value: bool) -> None:
    """Freezes or thaws weights; the models that hold one of them are told once."""
    with building:  # a program is planned for what is trained from its first node to its last
        changed = [p for p in parameters if p.variable.trainable != value]
        for model in {model for p in changed for model in p.models}:  # first: Ctrl-C may come between any two lines
            model.train_others()
        for p in changed:
            p.variable.trainable = value


class RandomState(Parameter):
    """The state of a stream of random numbers, (seed, step): the seed from the network's, a step more after each training step."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__((2,), init=lambda shape, rng, dtype: [rng.integers(2**52), 0], trainable=False, dtype="int64")


def numbers(value: Any, where: str, shape: tuple[int, ...] | None = None) -> np.ndarray[Any, Any]:
    """`value` as an array of real numbers, for a parameter, of its shape where that is known; TypeError for anything else,
    ValueError for rows of several lengths and another shape.
    """
    array = checks.array(where, value, "array")
    if array.dtype.kind not in "biuf":
        raise TypeError(f"[{where}] expected numbers, got {checks.brief(value)} ({array.dtype}); pass an array of floats")
    if shape is not None and array.shape != shape:
        fitting = f"reshape it: array.reshape({shape})" if array.size == math.prod(shape) else "assign an array of that shape"
        remedy = "transpose it" if array.shape == shape[::-1] else fitting
        raise ValueError(f"[{where}] expected shape {shape}, got {array.shape}; {remedy}")
    return array


def _known_shape(shape: Sequence[Any], name: str | None) -> tuple[int, ...]:
    where = name or "Parameter"
    sizes = listed(shape, where)
    for size in sizes:
        if not isinstance(size, int):
            raise ValueError(
                f"[{where}] expected known sizes, got {checks.brief(sizes)}; give the input a fixed size there: none depends on "
                "the batch"
            )
        if not 0 <= size < 2**62:
            raise ValueError(f"[{where}] expected sizes from 0 to 2^62 - 1, got {checks.brief(sizes)}; pass other ones")
    return sizes
