"""Products with second derivatives, and Jacobians: none of them forms a Hessian."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from functools import reduce
from typing import Any

from lamina import ops
from lamina._core import topological
from lamina.base.calls import explained
from lamina.graph.function import grad
from lamina.graph.inference import in_inference, resolved
from lamina.graph.lift import lift
from lamina.graph.samplewise import is_samplewise, mixing
from lamina.graph.tensor import Tensor


def _several(xs: Any, vs: Any, where: str) -> tuple[list[Tensor], list[Tensor], bool]:
    single = isinstance(xs, Tensor) or not isinstance(xs, Iterable)
    targets = [xs] if single else list(xs)
    for x in targets:
        _check_single(where, xs=x)
    if not targets:
        raise ValueError(f"[{where}] expected one tensor or several as xs, got none; pass what y is computed from")
    given = [vs] if single or not isinstance(vs, Iterable) else list(vs)
    if len(targets) != len(given):
        raise ValueError(f"[{where}] expected a direction for each of {len(targets)} tensors, got {len(given)}; pass as many")
    directions = [lift([x, v], where)[1] for x, v in zip(targets, given, strict=True)]
    for x, v in zip(targets, directions, strict=True):
        if tuple(x.shape) != tuple(v.shape):
            raise ValueError(f"[{where}] expected a direction of shape {x.shape}, got {v.shape}; reshape it")
    return targets, directions, single


def _check_single(where: str, **tensors: Any) -> None:
    for name, given in tensors.items():
        if not isinstance(given, Tensor):
            several = isinstance(given, (list, tuple))
            remedy = "call it for each" if several else "make one with lm.placeholder(shape); a weight's is layer.weight"
            raise TypeError(f"[{where}] expected one tensor as {name}, got {type(given).__name__}; {remedy}")


def _inner(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    return reduce(operator.add, (ops.sum(x * y) for x, y in zip(a, b, strict=True)))


@explained
def hessian_vector_product(y: Tensor, xs: Tensor | Sequence[Tensor], vs: Any) -> Any:
    """H v = d/dx (dy/dx . v), H the second derivatives of a scalar y by x, at the cost of a few gradients.

    xs: one tensor or several; vs: a direction (tensor or array) of the shape of each. Returns a tensor, or a list.
    Source: Pearlmutter 1994.

    >>> import lamina as lm, numpy as np
    >>> x = lm.placeholder((2,))
    >>> lm.function([x], lm.hessian_vector_product(lm.sum(x**3), x, np.array([1.0, 0.0])))(np.array([2.0, 5.0]))
    array([12.,  0.], dtype=float32)
    """
    _check_single("hessian_vector_product", y=y)
    if y.ndim:
        raise ValueError(
            f"[hessian_vector_product] expected a scalar y, got one of shape {y.shape}; take one element, or the sum of them"
        )
    targets, directions, single = _several(xs, vs, "hessian_vector_product")
    results = grad(_inner(grad(y, targets), directions), targets)
    return results[0] if single else results


@explained
def jacobian_vector_product(y: Tensor, xs: Tensor | Sequence[Tensor], vs: Any) -> Tensor:
    """J v = dy/dx v, of y's shape: the derivative of y along a direction, by the gradient of a gradient's product with a free seed.

    xs, vs: as for `hessian_vector_product`.

    >>> import lamina as lm, numpy as np
    >>> x = lm.placeholder((2,))
    >>> lm.function([x], lm.jacobian_vector_product(x**2, x, np.array([1.0, 0.0])))(np.array([2.0, 5.0]))
    array([4., 0.], dtype=float32)
    """
    _check_single("jacobian_vector_product", y=y)
    targets, directions, _ = _several(xs, vs, "jacobian_vector_product")
    seed = y * 0.0  # u of u^T J, in which all of it is linear: its value does not matter
    return grad(_inner(grad(y, targets, seed), directions), seed)


@explained
def gauss_newton_product(loss: Tensor, output: Tensor, xs: Tensor | Sequence[Tensor], vs: Any) -> Any:
    """G v = J^T (d2 loss / d output2) J v, J = d output / dx: the Hessian without the network's own curvature.

    For a loss convex in `output` (mse, cross-entropy on logits) G is positive semidefinite. loss: a scalar computed from `output`.
    xs, vs: as for `hessian_vector_product`. Source: Schraudolph 2002. Errors: ValueError where `loss` is not computed
    from this very `output`.

    >>> import lamina as lm, numpy as np
    >>> w = lm.placeholder((1,)); output = w**2; loss = lm.sum((output - 1) ** 2)
    >>> lm.function([w], lm.gauss_newton_product(loss, output, w, np.array([1.0])))(np.array([3.0]))  # (2 w) 2 (2 w)
    array([72.], dtype=float32)
    """
    _check_single("gauss_newton_product", loss=loss, output=output)
    targets, directions, single = _several(xs, vs, "gauss_newton_product")
    if all(node.serial != output.node.serial for node in topological([loss.node])):
        raise ValueError(
            "[gauss_newton_product] expected a loss that is computed from `output`, got one that is not, so that all would be 0; "
            "call the network once, output = net(x), and use it in both places"
        )
    moved = ops.stop_gradient(jacobian_vector_product(output, targets, directions))
    curved = grad(ops.sum(grad(loss, output) * moved), output)
    results = grad(output, targets, curved)
    return results[0] if single else results


@explained
def jacobian(y: Tensor, x: Tensor) -> Tensor:
    """J[i.., j..] = dy[i..] / dx[j..], of shape y.shape + x.shape.

    Where y and x share a batch axis and no samples mix, J has it once: J[b, i.., j..] = dy[b, i..] / dx[b, j..], of shape
    (B, *y.shape[1:], *x.shape[1:]), by one backward pass for each element of a sample's y. Where they mix in training alone
    (BatchNorm), J is that of prediction, with the running statistics, in any program. A Hessian of many numbers, the Jacobian of a
    gradient, is had sooner by `hessian_vector_product` of as many samples, a direction in each (docs/science_and_control.md).
    Errors: ValueError where y has an axis of free length otherwise; TypeError for several y or x.

    >>> import lamina as lm, numpy as np
    >>> x = lm.placeholder((2,))
    >>> lm.function([x], lm.jacobian(x * x, x))(np.array([1.0, 2.0], "float32"))
    array([[2., 0.],
           [0., 4.]], dtype=float32)
    >>> x = lm.Input(2)
    >>> lm.jacobian(lm.Dense(3)(x), x).shape
    (B, 3, 2)
    """
    _check_single("jacobian", y=y, x=x)
    sizes = list(y.shape)
    batch = bool(sizes) and not isinstance(sizes[0], int)
    mixed = mixing(resolved([y])) if batch else None
    if batch and (not x.shape or x.shape[0] != sizes[0] or mixed):
        why = (
            f" from {mixed.op} of shape {Tensor(mixed).shape}, which could not be shown to treat each sample apart" if mixed else ""
        )
        raise ValueError(
            f"[jacobian] expected y of a known shape, or y and x with a batch axis of samples that do not mix, got {y.shape} and "
            f"{x.shape}{why}; sum over the batch, or use grad with a seed"
        )
    if batch and not is_samplewise(topological([y.node])):
        (y,), x = in_inference([y], x)
    own = sizes[1:] if batch else sizes
    total = 1
    for length in own:
        if not isinstance(length, int):
            raise ValueError(f"[jacobian] expected y of a known shape, got {y.shape}; sum over the batch, or use grad with a seed")
        total *= length
    if total == 0:
        raise ValueError(f"[jacobian] expected y with elements, got shape {y.shape}; its Jacobian is np.zeros of that shape + x's")
    if not batch:
        flat = ops.reshape(y, (total,))
        return ops.reshape(ops.stack([grad(flat[i], x) for i in range(total)]), (*sizes, *x.shape))
    flat = ops.reshape(y, (sizes[0], total))
    rows = [grad(ops.sum(flat[:, i]), x) for i in range(total)]
    return ops.reshape(ops.stack(rows, 1), (*sizes, *x.shape[1:]))
