"""From tensors to something that runs: functions, gradients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, overload

import numpy as np

from lamina import _core
from lamina.base import checks
from lamina.base.calls import explained
from lamina.graph.lift import lift
from lamina.graph.parameter import Parameter
from lamina.graph.tensor import FLOATS, Tensor, check_once
from lamina.ops import zeros_like


class Function:
    """A program as a Python function: arrays in, arrays out. Made by `lamina.function`; it is not pickled, as networks are.

    Errors: ValueError for too few or too many arrays, and for one of another shape or of numbers that its placeholder cannot hold;
    TypeError for what is no array of numbers, and for one by name.

    >>> import lamina as lm
    >>> x = lm.placeholder((None,)); mean = lm.function([x], lm.mean(x))
    >>> float(mean([1.0, 3.0]))
    2.0
    """

    def __init__(self, program: _core.Program, single: bool, shapes: str) -> None:
        self.program = program
        self._single = single
        self._shapes = shapes

    def __call__(self, *arrays: Any, **named: Any) -> Any:
        if named:
            raise TypeError(
                f"[function] expected arrays in the order of its inputs, got {', '.join(named)} by name; pass them without names"
            )
        results = self.program.run(arrays)
        return results[0] if self._single else results

    def __repr__(self) -> str:
        return f"<Function {self._shapes}>"

    def __copy__(self) -> Function:
        return self

    def __reduce_ex__(self, _: Any) -> Any:  # what pickle and copy.deepcopy ask
        raise TypeError(
            f"[function] expected a network to copy or pickle, got a compiled function, {self!r}; call lm.function again where it "
            "is needed, in each process"
        )


@explained
def function(
    inputs: Tensor | Sequence[Tensor],
    outputs: Tensor | Sequence[Any],
    updates: Mapping[Parameter, Any] | Iterable[tuple[Parameter, Any]] | None = None,
    *,
    training: bool = False,
) -> Function:
    """Compiles outputs = f(inputs) into one program.

    inputs: placeholders, in the order of the arguments.  outputs: a tensor (the function returns an array) or a sequence (a list).
    updates: parameters and their values after each call; all are computed from the values before it.
    training: whether layers behave as in training (dropout, batch statistics).
    Weights that have no values yet, as no network holds them, get their first ones, from seeds that follow the order in which they
    were made; so do streams of random numbers.
    Errors: ValueError where an output needs a placeholder that is not among the inputs, or a parameter is updated twice.

    >>> import lamina as lm, numpy as np
    >>> a = lm.placeholder((2, 2)); f = lm.function([a], [a @ a, lm.sum(a)])
    >>> f(np.ones((2, 2)))[1]
    array(4., dtype=float32)
    """
    training = checks.flag("function", "training", training)
    single = isinstance(outputs, Tensor)
    results = _several(outputs, "outputs")
    effects = [_assignment(parameter, value) for parameter, value in _pairs(updates)]
    sources = [_tensor(t, "inputs") for t in _several(inputs, "inputs")]
    check_once("function", sources)
    nodes = [_tensor(t, "outputs").node for t in results]
    for node in _core.topological([*nodes, *effects]):
        if node.op == "variable":  # of a layer that is in no network yet, or of random numbers
            Parameter.of(node).initialize(np.random.default_rng(node.serial))
    program = _core.Program([t.node for t in sources], nodes, effects, training)
    return Function(program, single, f"{_shapes(sources)} -> {_shapes(results)}")


def _shapes(tensors: Sequence[Tensor]) -> str:
    """Those of several tensors, as a function shows what it takes and gives."""
    return ", ".join(str(t.shape) for t in tensors) or "nothing"


def _assignment(parameter: Any, value: Any) -> _core.Node:
    """The node that writes the value into the parameter."""
    if not isinstance(parameter, Parameter):
        raise TypeError(f"[function] updates: expected lm.Parameter objects as targets, got {type(parameter).__name__}; pass those")
    new = lift([parameter, value], "updates")[1]
    if new.shape != parameter.shape:
        raise ValueError(
            f"[function] updates: expected a value of shape {parameter.shape} for {parameter.name or 'the parameter'}, got one of "
            f"{new.shape}; reduce it, or bring it to that shape with lm.broadcast_to"
        )
    return _core.make("assign", [parameter.node, new.node], {})


def _pairs(updates: Any) -> list[tuple[Any, Any]]:
    several = updates.items() if isinstance(updates, Mapping) else () if updates is None else updates
    pairs = list(several) if isinstance(several, Iterable) and not isinstance(several, Tensor) else [several]
    for pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(
                f"[function] updates: expected pairs of a parameter and its new value, got {checks.brief(pair)}; pass "
                f"{{p: value}}, or [(p, value)]"
            )
    twice = next((p for i, (p, _) in enumerate(pairs) if any(p is q for q, _ in pairs[:i])), None)
    if twice is not None:
        name = getattr(twice, "name", None) or "a parameter"
        raise ValueError(f"[function] updates: expected one new value for each parameter, got two for {name}; make one of both")
    return pairs


def _several(value: Any, name: str, where: str = "function") -> list[Any]:
    if isinstance(value, Mapping):
        tensors = "[net.parameters.tensor(name) for name in net.parameters]" if hasattr(value, "tensor") else "list(d.values())"
        raise TypeError(f"[{where}] {name}: expected tensors, got {type(value).__name__}, which holds names; pass {tensors}")
    return list(value) if isinstance(value, Iterable) and not isinstance(value, Tensor) else [value]


def _tensor(value: Any, name: str, where: str = "function") -> Tensor:
    if not isinstance(value, Tensor):
        remedy = "make one with lm.placeholder(shape); a weight's is layer.weight, or net.parameters.tensor(name)"
        raise TypeError(f"[{where}] {name}: expected tensors, got {type(value).__name__}; {remedy}")
    return value


@overload
def grad(y: Tensor, xs: Tensor, seed: Tensor | None = None) -> Tensor: ...
@overload
def grad(y: Tensor, xs: Sequence[Tensor], seed: Tensor | None = None) -> list[Tensor]: ...
@explained
def grad(y: Tensor, xs: Tensor | Sequence[Tensor], seed: Tensor | None = None) -> Any:
    """dy/dx, as tensors that can be used and differentiated like any other.

    y: a scalar; or of any shape with `seed`, dL/dy in y's shape, giving the product seed . dy/dx.
    xs: one tensor or several, anything that y is computed from. Where y does not depend on x the gradient is zeros.
    Errors: ValueError for a y that is no scalar, without a seed; TypeError for an x of whole numbers; ValueError for an x such as
    z[:, :1] that was made once more, beside the one that y is computed from.

    >>> import lamina as lm
    >>> x = lm.placeholder(())
    >>> float(lm.function([x], lm.grad(x ** 3, x))(2.0))
    12.0
    """
    targets = [_tensor(x, "xs", "grad") for x in _several(xs, "xs", "grad")]
    for x in targets:
        if x.dtype not in FLOATS:
            raise TypeError(f"[grad] expected tensors of floats to differentiate by, got {x.dtype}; cast them before y is computed")
    upper = None if seed is None else _tensor(seed, "seed", "grad").node
    found = _core.grad(_tensor(y, "y", "grad").node, [x.node for x in targets], upper)
    for x in (x for node, x in zip(found, targets, strict=True) if node is None):
        _check_made_once(y, x)
    results = [zeros_like(x) if node is None else Tensor(node) for node, x in zip(found, targets, strict=True)]
    return results[0] if isinstance(xs, Tensor) else results


def _check_made_once(y: Tensor, x: Tensor) -> None:
    """The gradient by a second tensor of the same operation would be zeros, and nobody would know why."""
    made = x.node
    below = [n.serial for n in made.inputs]
    if not below or made.op == "random_uniform":
        return
    for node in _core.topological([y.node]):
        alike = node.op == made.op and [n.serial for n in node.inputs] == below and node.attrs == made.attrs
        if alike and node.serial != made.serial:
            raise ValueError(
                f"[grad] expected a tensor that y is computed from, got the result of a second {made.op} of shape {x.shape} beside "
                "the one in y; make it once, z = x[:, :1] for example, and use z in both places"
            )
