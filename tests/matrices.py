"""Random matrices, for tests of gradients and of lm.linalg: each test begins with the same ones (conftest.py)."""

from __future__ import annotations

import numpy as np

from lamina import linalg as la

rng = np.random.default_rng(11)


def begin(seed: int = 11) -> None:
    """From here on the matrices are those of a seed, whatever was drawn before."""
    rng.bit_generator.state = np.random.default_rng(seed).bit_generator.state


def normal(*shape):
    return rng.normal(size=shape)


def well(*shape):
    """Matrices that invert well: random ones with a heavy diagonal."""
    return normal(*shape) + 3 * np.eye(*shape[-2:])


def spd(*shape):
    a = normal(*shape)
    return a @ np.swapaxes(a, -1, -2) / shape[-1] + np.eye(shape[-1])


def sym(x):
    """A symmetric matrix made from any, as tensors: LAPACK reads one triangle only."""
    return (x + la.transpose(x)) * 0.5
