"""Between what a user passes and what a program takes: tensors by name, data checked by inputs, targets checked by losses."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina.base import checks
from lamina.graph.tensor import FLOATS, Tensor, check_once, shown
from lamina.inputs import data
from lamina.inputs.arrays import as_array, check_finite, check_for, check_shape, column_names
from lamina.inputs.data import Batches, Data, Parts, Spec
from lamina.layers import Embedding, Layer
from lamina.models.programs import Target

if TYPE_CHECKING:
    from lamina.models.model import Model

Array = np.ndarray[Any, Any]

INPUT, OUTPUT = "input", "output"  # how the one input and output of a Sequential are called


def named_tensors(given: Any, what: str) -> dict[str, Tensor]:
    """Tensors under names: a dict's keys, the tensors' own names, or `what` (one) and `what_1`, `what_2`, ... (several)."""
    if isinstance(given, Mapping):
        named = {str(name): tensor for name, tensor in given.items()}
        if len(named) < len(given):
            raise ValueError(f"[Model] expected {what}s of different names, got {list(given)}, some the same as text; rename one")
    else:
        several = list(given) if isinstance(given, (list, tuple)) else [given]
        named = {}
        for i, tensor in enumerate(several, 1):
            name = getattr(tensor, "name", None) or (what if len(several) == 1 else f"{what}_{i}")
            if name in named:
                raise ValueError(
                    f"[Model] expected {what}s of different names, got two named {checks.brief(name)}; pass a dict of {what}s"
                )
            named[name] = tensor
    for name, tensor in named.items():
        if not isinstance(tensor, Tensor):
            remedy = "make one with lm.Input(8)" if what == "input" else "call the layer on a tensor: lm.Dense(3)(x)"
            raise TypeError(f"[Model] expected a tensor as {name}, got {checks.brief(tensor)}; {remedy}")
        if what == "input" and tensor.node.op != "input":
            raise ValueError(
                f"[Model] expected lm.Input or lm.placeholder as {name}, got the result of {tensor.node.op!r}; begin at its input"
            )
    if what == "input":
        check_once("Model", named.values())
    if not named:
        raise ValueError(f"[Model] expected at least one {what}, got none; pass a tensor")
    return named


def type_name(dtype: Any) -> Any:
    """The name of a NumPy type; what is none stays, for others to refuse.

    >>> type_name(np.float64), type_name(np.dtype("float32")), type_name("float16")
    ('float64', 'float32', 'float16')
    """
    return getattr(dtype, "__name__", getattr(dtype, "name", dtype))


def float_type(inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor], asked: str | None) -> str:
    """The type that a network computes in: the wider one of its inputs; of its outputs where all inputs are whole numbers.

    Errors: ValueError where another one was asked for, as the layers have theirs already.
    """
    remedy = "make it by lm.Input(..., dtype={!r})"
    floats = {name: t.dtype for name, t in inputs.items() if t.dtype in FLOATS}
    if not floats:
        remedy = "pass dtype={!r} to the Embedding that it comes from, or cast it"
        floats = {name: t.dtype for name, t in outputs.items() if t.dtype in FLOATS}
    for name, dtype in floats.items():
        if asked not in (None, dtype):
            raise ValueError(f"[Model] expected {asked}, got {name!r} of {dtype}; {remedy.format(asked)}, or leave out dtype")
    return asked or max(floats.values(), key=FLOATS.index, default=FLOATS[0])


def flat(values: Iterable[Any]) -> list[Any]:
    """The arguments of a call, where one list or tuple of tensors stands for several."""
    out: list[Any] = []
    for value in values:
        if isinstance(value, (list, tuple)) and any(isinstance(v, Tensor) for v in value):
            out += value
        else:
            out.append(value)
    return out


def in_order(given: Any, tensors: Mapping[str, Tensor]) -> Any:
    """A dict of what the tensors get, by their names, as what it stands for, a list where they are several; all else as it is."""
    if type(given) is not dict or given.keys() != tensors.keys():
        return given
    found = [given[name] for name in tensors]
    return found if len(found) > 1 else found[0]


def specs(model: Model) -> list[Spec]:
    """What the model's inputs expect; of one that is not built yet, what it will whatever its shape."""
    if not model.built:
        return [Spec(INPUT, (), element_type(model.layers, model.dtype))]
    return [Spec(name, tuple(t.shape), t.dtype) for name, t in model.named_inputs.items()]


def shape_for(layers: tuple[Layer, ...], x: Any, dtype: str) -> tuple[tuple[int, ...], str]:
    """(shape without the batch axis, element type) of the Input that a Sequential makes for `x`."""
    ((given, where),) = data.by_name(x, ["x"], [INPUT], "x")
    array = as_array(given, where, may_be_empty=True, half=True)
    return array.shape[1:], element_type(layers, dtype)


def element_type(layers: tuple[Layer, ...], dtype: str) -> str:
    """That of the Input which a Sequential of these layers makes."""
    return "int64" if layers and isinstance(layers[0], Embedding) else dtype


def samples(model: Model, x: Any, y: Any, sample_weight: Any = None) -> Data:
    """The data of one call, with all checks that need no loss."""
    if y is None and data.is_batches(x):
        raise TypeError(
            f"[x] expected an array, with its targets as y, got {type(x).__name__}; fit and evaluate take an iterable of batches: "
            "join them into arrays, or go through them one by one"
        )
    if y is None and callable(x):
        raise TypeError(f"[x] expected an array or an iterable of batches, got {checks.brief(x)}; call it, if it makes batches")
    if y is None:
        raise ValueError("[y] expected targets, got None; pass an array with one row a sample, of zeros where the loss takes none")
    given = data.prepare(x, y, sample_weight, inputs=specs(model), targets=model.output_names)
    for where, columns in given.columns.items():
        data.check_order(model.columns, where, columns)
    return given


def unchecked(model: Model, x: Any, y: Any, weight: Any, *, columns: bool = False) -> Data:
    """What is given, in order, a list as an array, all else as it is. `columns`: of the targets, where outputs are one, vectors."""
    ys = _several(y, model.named_outputs)
    if columns:
        pairs = zip(ys, model.outputs, strict=True)
        ys = tuple([a[:, None] if np.ndim(a) == 1 and t.shape[1:] == (1,) else a for a, t in pairs])
    return Data(_several(x, model.named_inputs), ys, as_array(weight, "data") if type(weight) is list else weight)


def _several(given: Any, tensors: Mapping[str, Tensor]) -> tuple[Any, ...]:
    """What each of them gets; nothing where that is another number of them."""
    if type(given) is dict:
        given = in_order(given, tensors)
    if len(tensors) == 1:
        return (as_array(given, "data") if type(given) is list else given,)
    if type(given) not in (list, tuple) or len(given) != len(tensors):
        return ()
    return tuple([as_array(a, "data") if type(a) is list else a for a in given])


def batches(model: Model, source: Any, **options: Any) -> Batches:
    """An iterable of batches for the inputs and outputs of the model; options as of `Batches`."""
    return Batches(source, inputs=specs(model), targets=model.output_names, columns=model.columns, **options)


def each(model: Model, batches: Batches) -> Iterator[Parts]:
    """The batches as they are given, for the model as it is now."""
    batches.inputs, batches.columns = specs(model), dict(model.columns)
    return batches.parts()


def checked(model: Model, batches: Batches, parts: Parts) -> Data:
    """The batch that came last, as the model expects it; the first one builds it, if it is not."""
    given = batches.checked(parts)
    if not model.built:
        model.ensure_built(given.x[0])
        batches.inputs = specs(model)  # which have a shape now
    return given


def check_that_targets_are_there(given: Data) -> None:
    if not given.y:
        raise ValueError("[y] expected targets, got none; a batch is (x, y), and arrays are passed as fit(x, y), evaluate(x, y)")


def with_targets(model: Model, given: Data) -> tuple[Data, tuple[Target, ...]]:
    """The targets checked by their losses, and what the program must know of them."""
    check_that_targets_are_there(given)
    _check_held(given.weight, model.outputs[0].dtype)
    arrays: list[Array] = []
    targets: list[Target] = []
    for name, loss, output, y in zip(model.named_outputs, model.objective.losses, model.outputs, given.y, strict=True):
        with data.within(f"y[{name!r}]") if len(given.y) > 1 else nullcontext():
            checked = loss.check_target(y, tuple(output.shape))
        arrays.append(checked)
        targets.append(Target(loss.dtype_of(checked, output.dtype), _free_lengths(checked, output)))
    return replace(given, y=tuple(arrays)), tuple(targets)


def _free_lengths(y: Array, output: Tensor) -> tuple[Any, ...]:
    """The target's shape without the batch axis; a length that is free in the output is free here, as in the next batch."""
    lengths = zip_longest(y.shape[1:], output.shape[1 : y.ndim], fillvalue=0)
    return tuple(n if isinstance(free, int) else free for n, free in lengths)


def _check_held(weight: Array | None, dtype: str) -> None:
    """ValueError for weights that all vanish in the type that the loss is computed in, or are too large for it."""
    if weight is None or not weight.size:
        return
    # A sum of them, and of them times a loss, has to be held, too.
    most, low, high = float(weight.max()), float(np.finfo(dtype).tiny), math.sqrt(float(np.finfo(dtype).max))
    if most and not low <= most <= high:
        raise ValueError(
            f"[weights] expected weights whose largest is from {low:.3g} to {high:.3g}, as sums are in {dtype}, got {most:g}; "
            "multiply sample_weight or class_weight by a number: only their ratios count"
        )


def inputs(model: Model, x: Any) -> list[Array]:
    """Arrays for a prediction: as `samples`, but the NaN of an array may pass through the network."""
    arrays = []
    given = specs(model)
    known = [spec.name for spec in given]
    for (value, where), spec in zip(data.by_name(x, data.labels(known, "x"), known, "x"), given, strict=True):
        if value is None or (np.isscalar(value) and not isinstance(value, memoryview)):
            raise TypeError(
                f"[{where}] expected an array of shape {shown(spec.shape)}, got {checks.brief(value)}; pass one row for each sample"
            )
        array = as_array(value, where, may_be_empty=True, half=spec.floats)
        columns = column_names(value)
        if model.columns:
            data.check_order(model.columns, where, columns)
        check_shape(array, where, spec.shape)
        if not array.size:
            arrays.append(array)
            continue
        if not isinstance(value, np.ndarray) or value.dtype == object:
            check_finite(array, where, spec.dtype, columns)  # in lists and tables a NaN is something missing
        check_for(spec.dtype, array, where, columns)
        arrays.append(array)
    return arrays
