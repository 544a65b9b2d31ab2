"""Sequential: the model that is a list of layers, built when it sees data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from lamina.base import checks
from lamina.base.calls import explained
from lamina.base.lengths import listed
from lamina.base.turns import building
from lamina.graph.samplewise import batched
from lamina.graph.tensor import FLOATS, Input, Tensor
from lamina.layers import Layer
from lamina.layers.base import Attributes, remembered, unbuild
from lamina.models import feed
from lamina.models.feed import INPUT, OUTPUT
from lamina.models.model import Model
from lamina.models.programs import Programs
from lamina.models.wiring import Wiring

S = TypeVar("S", bound="Sequential")


class Sequential(Model):
    """Layers one after the other: the output of each is the input of the next. Without layers it is the identity.

    It is untouched until it sees data: the first `fit`, `predict` or `train_step` builds it for the shape of x without the batch
    axis; `build` does so explicitly. Floating-point data become `dtype`: float32 (None, too) or float64, or that of a first
    argument `lm.Input(..., dtype="float64")`; ValueError where both are given and differ.

    >>> net = lm.Sequential(lm.Dense(16, "relu"), lm.Dense(1), seed=0)
    >>> net.predict(np.ones((2, 3))).shape
    (2, 1)
    """

    _before: Attributes  # the layers' attributes from before the network was built
    _called_on: Tensor | None = None  # the first tensor that it was called on before that

    @explained
    def __init__(self, *layers: Any, seed: int | None = None, dtype: str | None = None):
        dtype = feed.type_name(dtype)
        if layers and isinstance(layers[0], Tensor):
            dtype = feed.float_type({layers[0].name or INPUT: layers[0]}, {}, dtype)
        self._start(seed, FLOATS[0] if dtype is None else dtype)
        self._stacked = list(layers)
        for i, layer in enumerate(layers):
            if not isinstance(layer, (Layer, Model)) and not (i == 0 and isinstance(layer, Tensor)):
                raise TypeError(f"[Sequential] expected layers, got {checks.brief(layer)} at position {i}; {_layer_remedy(layer)}")
        if layers and isinstance(layers[0], Tensor):
            self._stack(self._stacked.pop(0))

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that were given, in order, with those of models among them.

        Where these are stacks, too, lm.Sequential(*net.layers) is the same network.
        """
        return tuple(_flat(self._stacked))

    @explained
    def build(self: S, input_shape: int | Sequence[int] | None = None, *, dtype: str | None = None) -> S:
        """Makes the parameters for inputs of this shape, which leaves the batch axis out: (4,), (28, 28), an int for (n,).

        Building again for the same shape changes nothing; for another one it raises ValueError.

        >>> lm.Sequential(lm.Dense(2), seed=0).build(3).inputs[0].shape
        (B, 3)
        """
        if input_shape is None:
            raise ValueError(
                "[Sequential] expected the shape of the inputs without the batch axis, got none; call build((8,)), for example"
            )
        shape = listed(input_shape, "Sequential", alone=True)
        if not all(isinstance(n, int) for n in shape):
            raise TypeError(
                f"[Sequential] expected the shape of the inputs without the batch axis, got {checks.brief(input_shape)}; "
                "call build((8,)), for example, or predict on data"
            )
        if not self.built:
            self._stack(Input(*shape, dtype=dtype or feed.element_type(self.layers, self.dtype)))
            self._called_on = None
        elif tuple(self.inputs[0].shape[1:]) != shape:
            raise ValueError(
                f"[Sequential] expected inputs of shape {self.inputs[0].shape}, got {shape}; make a new network for another shape"
            )
        return self

    def _stack(self, x: Tensor) -> None:
        layers = self.layers
        self._before = [(layer, dict(vars(layer))) for layer in layers]
        try:
            names = Wiring()
            for layer in layers:
                names.name_layer(layer)
            out = x
            for layer in self._stacked:
                if isinstance(layer, Layer) and layer.dtype is None and out.dtype not in FLOATS:
                    layer.dtype = self.dtype  # an Embedding cannot take it from its input
                with remembered(self._before):
                    out = _alone(layer, layer(out))
            for layer in layers:
                self._wiring.add_layer(layer)
            self._assemble({x.name or INPUT: x}, {OUTPUT: out})
        except BaseException:
            self._unbuild()  # nothing is built by halves: another shape can still be tried
            raise

    def _unbuild(self) -> None:
        unbuild(self._before)
        self._forget()
        self._inputs, self._outputs, self._programs = {}, {}, None
        self._quick_predict = self._quick_step = None

    @contextmanager
    def unless_refused(self, *, loss_too: bool) -> Iterator[None]:
        built = self.built
        with super().unless_refused(loss_too=loss_too):
            try:
                yield
            except BaseException:
                with building:
                    if self.built and not built:
                        self._unbuild()
                raise

    def ensure_built(self, x: Any) -> None:
        if not self.built:
            with building:  # by the first of several threads; the others then find it built
                if not self.built:
                    shape, dtype = feed.shape_for(self.layers, x, self.dtype)
                    self.build(shape, dtype=dtype)

    def build_as_called(self) -> None:
        if not self.built and self._called_on is not None:
            with building:
                if not self.built and self._called_on is not None:
                    given = self._called_on
                    self.build(given.shape[1:], dtype=None if given.dtype in FLOATS else given.dtype)

    @property
    def programs(self) -> Programs:
        """The programs of the built network; one that was called on tensors is built for samples like theirs."""
        self.build_as_called()
        return super().programs

    def _apply(self, inputs: list[Tensor]) -> list[Tensor]:
        if self.built:
            return super()._apply(inputs)
        out: Any = inputs
        for layer in self._stacked:
            out = [layer(*out)]
        first = inputs[0]
        samples = first.ndim > 1 or batched(first.node)  # a vector is none
        if self._called_on is None and samples and all(isinstance(n, int) for n in first.shape[1:]):
            self._called_on = first
            if first.dtype == FLOATS[-1]:
                self.dtype = first.dtype  # that of the weights, which float32 samples would not do justice
        return list(out)


def _alone(layer: Layer | Model, out: Any) -> Tensor:
    """What a layer gives, if that is one tensor for the next."""
    if not isinstance(out, Tensor):
        name = getattr(layer, "name", None) or repr(layer)
        got = f"{len(out)} in a {type(out).__name__}"
        raise TypeError(f"[Sequential] expected one tensor from {name}, got {got}; call it in a Model, which may have several")
    return out


def _layer_remedy(given: Any) -> str:
    if isinstance(given, (list, tuple)):
        return "write Sequential(*layers), with a star"
    if isinstance(given, type):
        return f"write {given.__name__}(...), with its arguments"
    if isinstance(given, str):
        return f"write Activation({checks.brief(given)})"
    if getattr(given, "__module__", None) == "lamina.activations":
        return f"write Activation({given.__name__!r})"
    return "write Lambda(function)" if callable(given) else "write Sequential(Dense(8), Dense(1))"


def _flat(layers: Iterable[Any]) -> Iterator[Layer]:
    """The layers, and those within models among them."""
    for layer in layers:
        if isinstance(layer, Model):
            yield from _flat(layer.layers)
        else:
            yield layer
