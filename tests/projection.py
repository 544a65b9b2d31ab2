"""Gradients by random projection in float64: u . vjp(v) == numeric_jvp(u) . v, at a cost independent of the sizes.

check_gradient(lambda x, y: lm.sum(x * y), [x, y])   # first derivatives of a function of tensors
check_second(lambda x: lm.tanh(x), [x])              # the derivative of the derivative: Hessian-vector products, too
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

import lamina as lm

STEP = 1e-3  # of a five-point stencil: its error is step^4 f''''' / 30 ~ 1e-13, rounding eps / step ~ 1e-13
TOLERANCE = 1e-8  # the stencil's two errors, times a curvature of up to 1e4


def as_list(value) -> list:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def directional(f: Callable, points: Sequence[np.ndarray], directions: Sequence[np.ndarray]) -> float:
    """d/dh f(points + h directions) at h = 0 by the five-point stencil."""

    def at(k: int) -> float:
        return f(*(p + k * STEP * d for p, d in zip(points, directions, strict=True)))

    return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * STEP)


def check_gradient(build: Callable, points: Sequence, *, seed: int = 0, tolerance: float = TOLERANCE) -> None:
    """grad of u . build(points) along a random direction against finite differences; points: float64 arrays."""
    rng = np.random.default_rng(seed)
    points = [np.asarray(p, np.float64) for p in points]
    inputs = [lm.placeholder(p.shape, "float64", name=f"x{i}") for i, p in enumerate(points)]
    outputs = as_list(build(*inputs))
    weights = [rng.uniform(0.5, 1.5, [int(d) for d in y.shape]) * rng.choice([-1.0, 1.0]) for y in outputs]
    projected = weights[0] * outputs[0] if not outputs[0].shape else lm.sum(weights[0] * outputs[0])
    for w, y in zip(weights[1:], outputs[1:], strict=True):
        projected = projected + lm.sum(w * y)
    gradients = lm.grad(projected, inputs)
    run = lm.function(inputs, [projected, *gradients])

    directions = [rng.uniform(-1, 1, p.shape) for p in points]
    _, *vjp = run(*points)
    for g, p in zip(vjp, points, strict=True):
        assert g.shape == p.shape, f"the gradient has shape {g.shape}, its tensor {p.shape}"
    got = sum(float(np.sum(g * d)) for g, d in zip(vjp, directions, strict=True))
    want = directional(lambda *xs: float(run(*xs)[0]), points, directions)
    scale = 1 + abs(want) + sum(float(np.abs(g * d).sum()) for g, d in zip(vjp, directions, strict=True))
    assert abs(got - want) <= tolerance * scale, f"gradient . direction = {got!r}, finite difference {want!r}"


def check_second(build: Callable, points: Sequence, *, seed: int = 1, tolerance: float = TOLERANCE) -> None:
    """check_gradient of build's own gradient (along random output weights)."""
    rng = np.random.default_rng(seed)

    def first(*inputs):
        outputs = as_list(build(*inputs))
        total = None
        for y in outputs:
            term = lm.sum(rng_weights(rng, y) * y)
            total = term if total is None else total + term
        return lm.grad(total, list(inputs))

    check_gradient(first, points, seed=seed, tolerance=tolerance)


def rng_weights(rng: np.random.Generator, tensor) -> np.ndarray:
    return rng.uniform(0.5, 1.5, [int(d) for d in tensor.shape])
