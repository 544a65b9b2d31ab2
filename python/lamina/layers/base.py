"""Layer: math with parameters of its own. The call checks, makes the parameters at its first time, and marks the nodes that it
makes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from lamina import _core as core
from lamina import initializers
from lamina.base import calls, checks, elsewhere, names
from lamina.base.calls import explained
from lamina.base.config import Configured, plain, same
from lamina.graph.parameter import Parameter, set_trainable
from lamina.graph.tensor import FLOATS, Tensor
from lamina.initializers import AnyInitializer

L = TypeVar("L", bound="Layer")


@dataclass(eq=False)
class LayerCall:
    """One call of a layer: what a node's `scope` is."""

    layer: Layer
    inputs: tuple[Tensor, ...]
    outputs: tuple[int, ...] = ()  # their nodes' `serial`: a tensor would close a circle through C++, never to be freed
    shapes: tuple[tuple[Any, ...], ...] = ()  # of the outputs
    around: LayerCall | None = None  # the call of another layer that made this one

    def gave(self, outputs: Sequence[Tensor]) -> None:
        """Notes what it has returned."""
        self.outputs, self.shapes = tuple(t.node.serial for t in outputs), tuple(t.shape for t in outputs)


Attributes = list[tuple["Layer", dict[str, Any]]]  # of layers, as they were once


PLAIN = {str, int, float, bool, type(None), FunctionType}  # attributes that hold no layer
OWN = ("_parameters", "_trainable", "original")  # attributes that a layer gets in its life


def can_name(name: str, layer: Layer | type[Layer]) -> bool:
    """Whether a layer can have a parameter of this name beside what it has already."""
    is_word = isinstance(name, str) and name.isidentifier() and not name.startswith("__")
    return is_word and name not in OWN and not hasattr(layer, name)


class _Now(threading.local):
    """State of a thread: the layer call in progress, and the undo list of the layers that are being built."""

    call: LayerCall | None = None
    before: Attributes | None = None


_now = _Now()


@contextmanager
def _during(what: str, value: Any) -> Iterator[None]:
    """In here `_now` has this value."""
    outer = getattr(_now, what)
    try:  # from here on: Ctrl-C may come between any two lines
        setattr(_now, what, value)
        yield
    finally:
        setattr(_now, what, outer)


def remembered(before: Attributes) -> AbstractContextManager[None]:
    """Appends each layer that is built in the block to `before`, with its attributes from before."""
    return _during("before", before)


def unbuild(before: Attributes) -> None:
    """Gives the layers these attributes back, of one that is in the list more than once the first."""
    for layer, attributes in reversed(before):
        vars(layer).clear()
        vars(layer).update(attributes)


class Layer(Configured):
    """Base class of all layers. One of your own is one class: `build` makes parameters, `forward` is the math.

    `build(*tensors)` runs at the first call; `forward(*tensors)` at each one. Every call returns the tensors that forward returns;
    a second call shares the parameters. `name` is None until a model names the layer, `dense_1` and so on, unless you set it. What
    the constructor takes stays from the first call on, but for what the layer itself changes in forward.

    Errors: ValueError and TypeError raised in build or forward start with the layer's name; classes of these pass as they are.

    >>> class Scale(lm.Layer):
    ...     def build(self, x):
    ...         self.weight = self.parameter("weight", (x.shape[-1],), lm.initializers.ones)
    ...     def forward(self, x):
    ...         return x * self.weight
    >>> Scale()(lm.Input(3)).shape
    (B, 3)
    """

    name: str | None = None
    dtype: str | None = None  # of parameters; None: the first floating-point input's, else float32
    built: bool = False
    named_by_user: bool = False
    _unlisted = ("named_by_user", "restore")
    _stays = False

    # `*Any, **Any` lets a subclass write build(self, x) in the eyes of a type checker.
    def build(self, *inputs: Any, **_: Any) -> None:
        """Makes the parameters, by `self.parameter`, for inputs like these. Nothing by default."""

    def forward(self, *inputs: Any, **_: Any) -> Any:
        """The layer's math: tensors -> a tensor, or several."""
        raise TypeError("expected a method forward(x), got none; write one")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        if options:
            training = "net.fit and net.train_step run it as in training, net.predict does not"
            remedy = training if "training" in options else "pass tensors by their place, options to the constructor"
            checks.inputs_alone(self.name or repr(self), options, remedy)
        if len(inputs) == 1 and isinstance(inputs[0], (list, tuple)):
            inputs = tuple(inputs[0])
        try:
            _check_tensors(inputs)
            call = LayerCall(self, inputs, around=_now.call)
            with _during("call", call):
                if not self.built:
                    self._build(inputs)
                with core.scope(call):
                    out = self.forward(*inputs)
            outputs = tuple(out) if isinstance(out, (list, tuple)) else (out,)
            _check_outputs(outputs)
            call.gave(outputs)
        except (TypeError, ValueError, MemoryError) as error:
            if type(error) not in (TypeError, ValueError, MemoryError):  # whoever raised it may want to catch it
                raise
            takes = calls.refusing(self.forward, *inputs) if isinstance(error, TypeError) else None
            if takes is not None and all(isinstance(x, Tensor) for x in inputs):
                raise TypeError(
                    f"[{self.name or repr(self)}] expected tensors for forward({', '.join(takes.parameters)}), got "
                    f"{len(inputs)}; call the layer on as many as it takes"
                ) from None
            raise type(error)(f"[{self.name or repr(self)}] {error}") from error
        return out

    def __setattr__(self, name: str, value: Any) -> None:
        """After the layer is built, what its networks were made from stays: another value would change nothing in them."""
        if name == "name" and value is not None and not (checks.is_text(value) and value):
            raise TypeError(f"[{self!r}] expected a name, got {checks.brief(value)}; pass a string such as 'head'")
        if self._built_in and names.is_no_switch(name, value):
            raise names.no_switch(self.name or repr(self), name)
        option = "bias" if name == "use_bias" else name
        waits = self._is_made and not self.built and _now.call is None
        if waits and option in self._arguments and option != "dtype" and not isinstance(value, Parameter):
            return self._take_option(option, value)
        if self.built and value is not self.__dict__.get(name, self):
            where = self.name or repr(self)
            if isinstance(self.__dict__.get(name), Parameter):
                raise AttributeError(
                    f"[{where}] expected the parameter {name!r} to stay, got another value; write values into it: "
                    f"layer.{name}.value = array, or net.parameters['{where}.{name}'] = array"
                )
            if _now.call is None:  # within a call the layer may change what it likes
                if option not in ("name", "trainable") and option in {*self._takes(), "dtype"}:
                    return self._check_option(where, name, value)
                self._warn_of_a_number(where, name, value)
        object.__setattr__(self, name, value)

    def _take_option(self, name: str, value: Any) -> None:
        """As if the layer, which is not built yet, had been made with it."""
        fresh = self.from_config({**self._current_arguments(), name: value})
        self.__dict__.update(vars(fresh))

    def _check_option(self, where: str, name: str, value: Any) -> None:
        """An option is what the networks were built with."""
        now = getattr(self, name, self)
        if not same(value, now):
            was = self.__dict__.get("_arguments", {}).get(name, now)
            raise AttributeError(
                f"[{where}] expected {name} to stay as the network was built, {checks.brief(plain(was))}, got "
                f"{checks.brief(value)}; make a new network, and give it the weights: new.parameters.update(net.parameters)"
            )

    def _warn_of_a_number(self, where: str, name: str, value: Any) -> None:
        """A number that forward has read is in the graph as it was."""
        was, kinds = self.__dict__.get(name), (int, float, np.ndarray)
        if not isinstance(value, kinds) or not isinstance(was, kinds) or same(value, was):
            return
        if calls.reads_of_self(type(self).forward, name):
            checks.warn(
                f"[{where}] expected {name} to stay {checks.brief(was)}, with which networks were built, got "
                f"{checks.brief(value)}; what changes is a parameter: self.parameter({name!r}, {np.shape(was)}, "
                f"lm.initializers.constant(...), trainable=False) in build, and layer.{name}.value = ..."
            )

    def named(self: L, name: str) -> L:
        """Gives the layer a name, which a model then keeps; returns the layer.

        >>> lm.Dense(3).named("head").name
        'head'
        """
        self.name, self.named_by_user = name, True
        return self

    @explained
    def parameter(
        self, name: str, shape: tuple[int, ...], init: AnyInitializer, *, trainable: bool = True, dtype: str | None = None
    ) -> Parameter:
        """A new parameter of this layer; a model fills it by `init` and calls it `<layer>.<name>`.

        shape: of ints. trainable: False for a statistic, which the layer itself changes. dtype: the layer's unless given.
        Errors: ValueError where a size is not known (a symbolic dimension) or the name is taken.
        """
        table: dict[str, Parameter] = self.__dict__.setdefault("_parameters", {})
        if not can_name(name, Layer):
            got = checks.brief(name)
            raise ValueError(f"expected a parameter name that is a word and no attribute of a Layer, got {got}; choose another")
        if name in table:
            raise ValueError(f"expected a new parameter name, got {name!r} again; choose another")
        fill = initializers.get(init)
        made = Parameter(shape, init=fill, name=name, trainable=trainable, dtype=dtype or self.dtype or "float32")
        made.trainable = trainable and self.trainable
        table[name] = made
        return made

    @property
    def parameters(self) -> dict[str, Parameter]:
        """The layer's own parameters by local name, "weight" and so on, those that are not trained included; {} before the first
        call.

        Parameters that were assigned as attributes count, too; those of layers within this one belong to them.
        """
        table: dict[str, Parameter] = dict(self.__dict__.get("_parameters", {}))
        known = {id(p) for p in table.values()}
        table.update({name: p for name, p in vars(self).items() if isinstance(p, Parameter) and id(p) not in known})
        return table

    @property
    def trainable(self) -> bool:
        """Whether training changes the layer's weights; False freezes them, and those of layers within it, from the next step."""
        return bool(self.__dict__.get("_trainable", True))

    @trainable.setter
    def trainable(self, value: bool) -> None:
        freeze([self], value, self.name or repr(self))

    def restore(self, parameters: Mapping[str, Parameter]) -> None:
        """Makes the layer one that was built with these parameters (by local name), as when a file is read."""
        self.__dict__["_parameters"] = dict(parameters)
        for name, p in parameters.items():
            setattr(self, name, p)
        weights = [p for p in parameters.values() if p.is_weight]
        self.__dict__["_trainable"] = not weights or any(p.trainable for p in weights)
        self.built = True

    def _build(self, inputs: tuple[Tensor, ...]) -> None:
        if _now.before is not None:
            _now.before.append((self, dict(vars(self))))
        given = self.dtype
        if given is None:
            self.dtype = next((t.dtype for t in inputs if t.dtype in FLOATS), "float32")
        try:
            with core.scope(None):  # parameters belong to the layer, not to the call around it
                self.build(*inputs)
        except BaseException:
            self.dtype = given
            self.__dict__.pop("_parameters", None)
            raise
        if not self.trainable:
            self.trainable = False  # of layers that `build` has made, too
        self.built = True


elsewhere.put(Layer, elsewhere.OF_LAYERS)


def freeze(layers: Sequence[Layer], value: Any, where: str) -> None:
    """Freezes (False) or thaws layers with all that is within them, as a whole: Ctrl-C between two of them waits for the rest."""
    value = checks.flag(where, "trainable", value)
    found, parameters = _within(layers)

    def write() -> None:
        for layer in found:
            layer.__dict__["_trainable"] = value
        set_trainable([p for p in parameters if p.is_weight], value)

    try:
        write()
    except BaseException:
        write()
        raise


def _within(layers: Sequence[Layer]) -> tuple[list[Layer], list[Parameter]]:
    """The layers, and the layers and parameters that one of them has as attributes, also in lists, dicts and models."""
    found: list[Layer] = []
    parameters: list[Parameter] = []
    waiting: list[Any] = [*layers]
    seen: set[int] = set()  # a list may hold itself
    for value in waiting:
        if id(value) in seen:
            continue
        seen.add(id(value))
        several: Iterable[Any] = ()
        if isinstance(value, Parameter):
            parameters.append(value)
        elif isinstance(value, Layer):
            found.append(value)
            several = vars(value).values()
        elif isinstance(value, (list, tuple)):
            several = value
        elif isinstance(value, Mapping):
            several = value.values()
        elif hasattr(value, "layers"):  # a model
            several = value.layers
        waiting += [v for v in several if type(v) not in PLAIN]
    return found, parameters


class TensorLayer(Layer):
    """Base of the layers that give one tensor, for the eyes of a type checker."""

    if TYPE_CHECKING:

        def __call__(self, *inputs: Any, **options: Any) -> Tensor: ...


def features(x: Tensor) -> int:
    """The size of the last axis, which must be known."""
    n = x.shape[-1] if x.ndim >= 2 else None
    if not isinstance(n, int):
        one = "one sample is a row: np.asarray(x)[None]; one feature is a column: x.reshape(-1, 1), Input(1)"
        remedy = one if x.ndim == 1 else "pass Input(features)"
        raise ValueError(f"expected an input of shape (batch, ..., features) with known features, got {x.shape}; {remedy}")
    return n


def same_features(x: Tensor, expected: int) -> None:
    """A layer that was built for so many features gets as many again."""
    if features(x) != expected:
        raise ValueError(
            f"expected {expected} inputs, got {features(x)} (shape {x.shape}); pass Input({expected}) or use another layer"
        )


def floating(x: Tensor) -> None:
    """A layer of real-valued math gets floating-point numbers."""
    if x.dtype not in FLOATS:
        raise TypeError(
            f"expected floating-point inputs, got {x.dtype}; cast them (lm.cast(x, 'float32')), or use Embedding for classes"
        )


def _check_tensors(inputs: tuple[Any, ...]) -> None:
    for x in inputs:
        if not isinstance(x, Tensor):
            raise TypeError(
                f"expected tensors, got {type(x).__name__}; call the layer on lm.Input(...), and a model of it on arrays: "
                "lm.Sequential(layer).predict(x)"
            )


def _check_outputs(outputs: tuple[Any, ...]) -> None:
    for y in outputs:
        if not isinstance(y, Tensor):
            raise TypeError(f"expected tensors from forward, got {type(y).__name__}; return math over its inputs")
