"""What every loss shares: sample weights, what is left out, and the checks of a target before anything runs."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lamina import _core as core
from lamina import ops
from lamina.base import calls, checks, elsewhere, names
from lamina.base.config import Configured, same
from lamina.graph.lift import as_array
from lamina.graph.tensor import Tensor, shown
from lamina.losses.averages import reduce

Array = np.ndarray[Any, Any]
Shape = tuple[Any, ...]  # of ints; symbolic dimensions such as the batch compare by nothing but their place

LIKELY = ("sigmoid", "softmax")  # operations that give probabilities
ROWS = 1 << 16  # rows that a check of values looks at at once, so that a target larger than memory is only streamed


def _explained(call: Callable[..., Any]) -> Callable[..., Any]:
    """As `calls.explained`: losses.huber is a loss, and not its class, so that huber(delta=2) calls it."""

    @functools.wraps(call)
    def wrapper(self: Loss, *args: Any, **kwargs: Any) -> Any:
        try:
            return call(self, *args, **kwargs)
        except TypeError:
            if not args and not kwargs:
                raise TypeError(
                    f"[{self!r}] expected predictions and targets, got a call of nothing; {self!r} is the loss already"
                ) from None
            made = f"a loss with options is made by its class: lm.losses.{type(self).__name__}"
            options = {name: f"{made}({name}=...)" for name in inspect.signature(type(self)).parameters}
            calls.check_call(repr(self), call, (self, *args), kwargs, options)
            raise

    return wrapper


class Loss(Configured):
    """Base class. A subclass gives `elements(pred, target)`, and, where not all elements count, `keep(pred, target)`.

    loss(pred, target) is the mean of the elements that are kept. loss(pred, target, weight), weight of shape (batch,), is
    sum(w_i l_i) / sum(w_i), where l_i is the mean of sample i; 0 where all w_i are 0. Tensors build, arrays and lists compute at
    once. The arguments of its constructor stay once a network is compiled with it.

    Errors: ValueError or TypeError for a target whose shape does not fit, and for one of arrays whose numbers do not; nothing is
    broadcast.

    >>> import lamina as lm
    >>> class Cubic(lm.losses.Loss):
    ...     def elements(self, pred, target):
    ...         return abs(pred - target) ** 3
    >>> float(Cubic()(np.array([[1.0], [2.0]]), np.array([[1.0], [4.0]])))
    4.0
    """

    # "int64": an integer target that `check_target` returns is classes; None: it is of the prediction's type
    target_dtype: str | None = None

    _unlisted = ("by_elements", "dtype_of", "is_classes", "kept_elements", "misfit")

    yes_no: bool = False  # whether whole numbers in a target of the prediction's type are 0 or 1
    applies: tuple[str, ...] = ()  # activations that are in the loss, and must not be in the network as well

    mask_nan: bool = False  # whether it leaves out elements whose target is NaN
    ignore_index: int | None = None  # the class whose samples it leaves out

    def __setattr__(self, name: str, value: Any) -> None:
        """An option of a loss of ours stays, and it gets no other; one of the user's own stays once it is compiled."""
        if self._is_made and name in self.__dict__.get("_arguments", ()) and not same(value, getattr(self, name, self)):
            raise AttributeError(
                f"[{self!r}] expected {name} to stay, as networks may be compiled with this loss, got {checks.brief(value)}; make "
                "another one, and compile with that"
            )
        own = name == "name" or name.startswith("_")  # a label
        if self._is_made and self._built_in and name not in self.__dict__ and not own:
            guess = names.nearest(name, self.__dict__.get("_arguments", ()), names.SLIP)
            remedy = elsewhere.ARGUMENTS.get(name) or (f"did you mean {guess!r}?" if guess else "another loss takes it")
            if guess or name in elsewhere.ARGUMENTS or hasattr(type(self), name):
                raise AttributeError(f"[{self!r}] expected one of its options, got {name!r}; {remedy}")
        object.__setattr__(self, name, value)

    def elements(self, pred: Any, target: Any) -> Any:
        """The losses of shape (batch,) or (batch, ...), not yet reduced."""
        raise TypeError(f"[{type(self).__name__}] expected a method elements(pred, target), got none; write one")

    def keep(self, pred: Any, target: Any) -> Any | None:
        """Which targets count: a bool tensor of the shape of `elements`, or None for all of them."""
        return None

    @property
    def by_elements(self) -> bool:
        """Whether it is the mean of what `elements` gives, and no function of pred and target as a whole."""
        return type(self).__call__ is Loss.__call__

    def amounts(self, y: Array, pred_shape: Sequence[Any], weight: Array | None) -> Array | None:
        """How much each sample of a checked target counts in the mean, (n,): its weight, times how many of its elements count; None
        where all count alike.
        """
        sizes = tuple(n if isinstance(n, int) else 1 for n in pred_shape[1:])
        classes = self.is_classes(pred_shape, y.shape)

        def kept(block: Array) -> Array | None:
            keep = self.keep(np.zeros((len(block), *sizes)), block if classes else block.astype(np.float64, copy=False))
            return None if keep is None else np.asarray(keep).reshape(len(block), -1).sum(axis=1)

        if kept(y[:1]) is None:
            return weight
        counts = np.concatenate([np.asarray(kept(y[start : start + ROWS])) for start in range(0, len(y), ROWS)])
        return counts if weight is None else np.asarray(weight * counts)

    def target_shape(self, pred_shape: Shape) -> Shape:
        """The shape that a target must have for predictions of this shape."""
        return pred_shape

    @_explained
    def __call__(self, pred: Any, target: Any, weight: Any | None = None) -> Any:
        pred, target, weight = self._checked(pred, target, weight)
        self._check_shape(tuple(target.shape), tuple(pred.shape))
        losses, keep = self.kept_elements(pred, target)
        return reduce(losses, weight, keep)

    def _checked(self, pred: Any, target: Any, weight: Any | None) -> tuple[Any, Any, Any | None]:
        """What a call is given: arrays and lists as checked arrays, tensors as they are."""
        if not isinstance(pred, Tensor):
            pred = self._predictions(pred)
            weight = self._weights(weight, pred.shape[:1])
        if not isinstance(target, Tensor):
            target = self.check_target(target, tuple(pred.shape))
        return pred, target, weight

    def kept_elements(self, pred: Any, target: Any) -> tuple[Any, Any | None]:
        """`elements` of a target of any type, 0 where it does not count, and what `keep` says."""
        if not self.is_classes(pred.shape, target.shape) and target.dtype != pred.dtype:
            target = ops.cast(target, str(pred.dtype))
        keep = self.keep(pred, target)
        target = target if keep is None else ops.where(keep, target, ops.zeros_like(target))
        losses = self.elements(pred, target)
        if (shape := getattr(losses, "shape", None)) is None or not _has_samples(tuple(shape), tuple(pred.shape[:1])):
            got = checks.brief(losses) if shape is None else tuple(shape)
            raise ValueError(
                f"[{self!r}] expected elements of shape (batch, ...), got {got}; leave the mean to the loss, or pass a function of "
                "(pred, target)"
            )
        if not self._built_in:
            self._warn_of_pairs(losses, pred, target)
        return (losses, None) if keep is None else (ops.where(keep, losses, ops.zeros_like(losses)), keep)

    def _warn_of_pairs(self, losses: Any, pred: Any, target: Any) -> None:
        """Where a graph of the user's takes each prediction with all targets."""
        built = all(isinstance(one, Tensor) for one in (losses, pred, target))
        if built and (apart := _meet_apart(losses, pred, target)):
            checks.warn(
                f"[{self!r}] expected predictions and targets that meet in one shape, got {shown(apart[0])} and {shown(apart[1])}, "
                "of which each sample meets all; take the same shape of both, as in p[:, 0] - t[:, 0], or write lm.transpose(p) - t"
                " for all pairs"
            )

    def is_classes(self, pred_shape: Sequence[Any], target_shape: Sequence[Any]) -> bool:
        """Whether a target is class numbers: only for losses that know them, and then it has one axis less than the prediction."""
        return self.target_dtype == "int64" and len(target_shape) == len(pred_shape) - 1

    def check_target(self, y: Any, pred_shape: Sequence[Any]) -> Array:
        """Checks a whole target array against the prediction's shape, before anything runs; returns the array to feed.

        (n,) becomes (n, 1) where the prediction is (batch, 1). The array is not copied. Its numbers are for an int64 input where
        `target_dtype` is "int64" and they are integers, else for an input of the prediction's type (see `dtype_of`).
        """
        array, pred_shape = self._numbers(y), tuple(pred_shape)
        if array.ndim == 1 and self.target_shape(pred_shape)[1:] == (1,):
            array = array.reshape(-1, 1)
        self._check_shape(array.shape, pred_shape)
        self.check_values(array, pred_shape)
        return array

    def misfit(self, op: str) -> str | None:
        """What to say of predictions that come from the operation `op`, if the loss takes others: expected, got; remedy."""
        if not self.applies or op not in (*LIKELY, "relu", "tanh"):
            return None
        own = op if op in self.applies else self.applies[-1]
        return (
            f"expected logits, got the result of a {op}, to which the loss applies its {own}; let the network end without it, and "
            f"take lm.{own}(net.predict(x)) for probabilities"
        )

    def _predictions(self, pred: Any) -> Array:
        array = as_array(pred, repr(self))
        if "softmax" in self.applies and array.ndim > 1 and array.min(initial=0) >= 0 and np.allclose(array.sum(axis=-1), 1):
            checks.warn(f"[{self!r}] expected logits, got rows of probabilities; pass what softmax was taken of, or their np.log")
        return array if array.dtype.kind == "f" else array.astype(np.float64)

    def _weights(self, weight: Any | None, shape: Shape) -> Any | None:
        """The weights of arrays, checked: one for each sample."""
        if weight is None or isinstance(weight, Tensor):
            return weight
        array = as_array(weight, repr(self))
        if array.shape != shape or not (array >= 0).all():
            raise ValueError(
                f"[{self!r}] expected weights >= 0 of shape {shown(shape)}, got {checks.brief(array)}; pass one for each sample"
            )
        return array

    def _numbers(self, y: Any) -> Array:
        array = y if type(y) is np.ndarray else checks.array(repr(self), y, "y")
        if array.dtype.kind not in "biuf":
            raise TypeError(
                f"[{self!r}] expected a target of numbers, got dtype {array.dtype}; convert it, e.g. y.astype('float32')"
            )
        return array

    def dtype_of(self, y: Array, pred_dtype: str) -> str:
        """The type of the input that takes the array which `check_target` returned."""
        return "int64" if self.target_dtype == "int64" and y.dtype.kind in "iu" else pred_dtype

    def check_values(self, y: Array, pred_shape: Shape) -> None:
        """Checks the numbers of a target whose shape fits; nothing by default."""

    def _check_shape(self, shape: Shape, pred_shape: Shape) -> None:
        expected = self.target_shape(pred_shape)
        if not fits(shape, expected):
            raise ValueError(
                f"[{self!r}] expected a target of shape {shown(expected)} for predictions of shape {shown(pred_shape)}, "
                f"got {shown(shape)}; {remedy(shape, expected)}"
            )


class MaskedLoss(Loss):
    """Base of losses element by element that can leave out elements whose target is NaN (`mask_nan=True`)."""

    def __init__(self, *, mask_nan: bool = False) -> None:
        self.mask_nan = checks.flag(f"losses.{type(self).__name__}", "mask_nan", mask_nan)

    def keep(self, pred: Any, target: Any) -> Any | None:
        return ops.logical_not(ops.isnan(target)) if self.mask_nan else None


class FunctionLoss(Loss):
    """A user's function of (pred, target): used as it is where it returns a scalar, else averaged like a built-in loss.

    Integer targets with one axis less than the prediction reach the function as int64, all others as the prediction's type; a
    target (n,) for predictions (batch, 1) as (batch, 1).

    Errors: TypeError where the function returns no tensor; ValueError for sample weights where it returns a scalar, and for values
    of each sample beside each other, as p[:, 0] - t gives them.

    >>> loss = lm.losses.get(lambda pred, target: lm.abs(pred - target) ** 3)
    >>> float(loss(np.array([[1.0], [2.0]]), np.array([[1.0], [4.0]])))
    4.0
    """

    target_dtype = "int64"

    def __init__(self, function: Callable[[Any, Any], Any]) -> None:
        if not callable(function):
            raise TypeError(f"[losses] expected a function of (pred, target), got {checks.brief(function)}; pass e.g. 'mse'")
        if signature := calls.refusing(function, 0, 0):
            raise TypeError(
                f"[losses] expected a function of (pred, target), got {calls.called(function)} of {signature}; give it these "
                "parameters"
            )
        if library := calls.library_of(function):
            raise TypeError(
                f"[losses] expected lamina's math over pred and target, got {calls.called(function)} of {library}, which takes "
                "tensors of its own; pass 'mse', 'cross_entropy' or another name of lm.losses.names()"
            )
        if calls.predicted(function) == [False, True]:
            checks.warn(
                f"[losses] expected a function of (pred, target), got {calls.called(function)}, whose first parameter is called as "
                "if it were the target; where their order matters, turn them"
            )
        self.function = function

    @_explained
    def __call__(self, pred: Any, target: Any, weight: Any | None = None) -> Any:
        pred, target, weight = self._checked(pred, target, weight)
        if not isinstance(target, Tensor):
            target = target.astype(self.dtype_of(target, str(pred.dtype)), copy=False)
        if not len(pred.shape):
            answer = remedy((), ()) if isinstance(pred, Tensor) else "pass arrays, or lists"
            raise ValueError(f"[{self!r}] expected predictions with a row for each sample, got one number; {answer}")
        losses = self.function(pred, target)
        if isinstance(pred, Tensor):
            self.__dict__.setdefault("_read", calls.numbers_of(self.function))
        if not hasattr(losses, "shape"):
            raise TypeError(
                f"[{self!r}] expected a tensor from the loss function, got {checks.brief(losses)}; return math over pred and target"
            )
        if not isinstance(pred.shape[0], int) and pred.shape[0] in losses.shape[1:]:
            raise ValueError(
                f"[{self!r}] expected a scalar or values per sample from the loss function, got {shown(tuple(losses.shape))} from "
                f"pred {shown(tuple(pred.shape))} and target {shown(tuple(target.shape))}: each sample meets all; take both in one "
                "shape"
            )
        if len(losses.shape) > 0:
            if weight is not None and losses.shape[0] != pred.shape[0]:
                raise ValueError(
                    f"[{self!r}] expected losses per sample to weight them, of shape {shown((pred.shape[0],))}, got "
                    f"{shown(tuple(losses.shape))}; return values whose first axis is the batch, or leave the weights out"
                )
            return reduce(losses, weight, None)
        if weight is not None:
            raise ValueError(
                f"[{self!r}] expected losses per sample to weight them, got a scalar; return shape (batch,) from the function, "
                "or leave out sample_weight and class_weight"
            )
        self._warn_of_pairs(losses, pred, target)
        return losses

    def warn_of_changes(self) -> None:
        """Of the numbers around the function, which are in the graph as they were."""
        now, read = calls.numbers_of(self.function), self.__dict__.get("_read", {})
        for name, was in read.items():
            if name in now and now[name] is not was and now[name] != was:
                checks.warn(
                    f"[{self!r}] expected {name} to stay {was!r}, with which the network was compiled, got {now[name]!r}; compile "
                    f"anew, or make it a parameter: {name} = lm.Parameter({was!r}, trainable=False), and then {name}.value = "
                    f"{now[name]!r}"
                )

    def check_target(self, y: Any, pred_shape: Sequence[Any]) -> Array:
        array = self._numbers(y)
        if array.ndim == 1 and tuple(pred_shape)[1:] == (1,):
            array = array.reshape(-1, 1)
        integers = array.dtype.kind in "iu" and not self.is_classes(tuple(pred_shape), array.shape)
        return array.astype(np.float64) if integers else array


def _meet_apart(losses: Tensor, pred: Tensor, target: Tensor) -> tuple[Shape, Shape] | None:
    """Where something made of predictions alone meets something made of targets alone as (batch,) and (batch, 1), or the other way
    round: their shapes. NumPy's rule makes (batch, batch) of these, and hardly anybody means it.
    """
    made_of = {pred.node.serial: {"p"}, target.node.serial: {"t"}}
    for node in core.topological([losses.node]):
        if node.serial in made_of:
            continue
        below = [made_of[n.serial] for n in node.inputs]
        made_of[node.serial] = set().union(*below)
        if core.op_kind(node.op) == "elementwise" and below in ([{"p"}, {"t"}], [{"t"}, {"p"}]):
            shapes = [tuple(n.shape) for n in node.inputs]
            short, long = sorted(shapes, key=len)
            if short == (pred.shape[0],) and long == (*short, 1):
                return (shapes[0], shapes[1]) if below[0] == {"p"} else (shapes[1], shapes[0])
    return None


def _has_samples(shape: Shape, batch: Shape) -> bool:
    """Whether there are as many elements of each sample."""
    try:
        return shape[:1] == batch or bool(core.split_size(math.prod(shape), math.prod(batch)))
    except ValueError:
        return False


def fits(shape: Shape, expected: Shape) -> bool:
    """Whether two shapes agree in all axes after the batch that are known, and the batch axes where both are."""
    known = ((a, b) for a, b in zip(shape, expected, strict=False) if isinstance(a, int) and isinstance(b, int))
    return len(shape) == len(expected) and all(a == b for a, b in known)


def remedy(shape: Shape, expected: Shape) -> str:
    """What to do about a target of the wrong shape."""
    if not expected:
        return "let the output be one number for each sample, as lm.sum(.., axis=1) gives it: the loss takes the mean of them"
    if len(shape) == len(expected) + 1 and shape[-1] == 1:
        return "drop the last axis: y[..., 0]"
    if len(shape) == len(expected) - 1 and fits((*shape, 1), expected):
        return "add an axis: y[..., None]"
    if len(shape) == len(expected):
        turned = "samples are rows: pass x.T and y.T; else " if fits(shape[::-1], (None, *expected[1:])) else ""
        return f"{turned}the last layer must have as many units as the target has columns"
    if len(shape) == 1 and len(expected) == 2:
        return "cross_entropy takes classes; one number a sample is the result of one unit, classes as rows are np.eye(n)[y]"
    return "reshape the target, or the predictions: Flatten() makes one row of each sample"


def first_outside(y: Array, low: float, high: float, also: int | None = None) -> tuple[int, Any] | None:
    """(sample, value) of the first element that is outside [low, high] and is not `also`; NaN counts as inside."""
    y = np.atleast_1d(y)
    for start in range(0, len(y), ROWS):
        block = y[start : start + ROWS]
        bad = (block < low) | (block > high)
        if also is not None:
            bad &= block != also
        if bad.any():
            index = tuple(int(i) for i in np.argwhere(bad)[0])
            return start + index[0], block[index]
    return None
