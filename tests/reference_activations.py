"""Value and slope of every elementwise activation in float64, from the formulas in PyTorch's documentation of torch.nn, apart from
the C++ functors.

An entry says y(x), dy/dx as a function of x and, where the output determines the slope, dy/dx as a function of y. Kinks take the
slope of the flat side, where one side is flat: relu'(0) = 0, and so for its kin.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SELU_SCALE = 1.0507009873554804934193349852946  # Klambauer et al. 2017, equation 14
SELU_ALPHA = 1.6732632423543772848170429916717
_erf = np.vectorize(math.erf, otypes=[np.float64])


def erf(x):
    x = np.asarray(x, np.float64)
    return _erf(x) if x.size else x.copy()  # vectorize refuses empty arrays


def sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def normal_cdf(x):
    return 0.5 * (1 + erf(x / math.sqrt(2)))


def normal_density(x):
    return np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


def _gelu_tanh_inner(x):
    return math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)


def _gelu_tanh_slope(x):
    t = np.tanh(_gelu_tanh_inner(x))
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)


def _mish_slope(x):
    t = np.tanh(softplus(x))
    return t + x * (1 - t * t) * sigmoid(x)


def _exp_of_negative(x):
    return np.exp(np.minimum(x, 0))


def _expm1_of_negative(x):
    return np.expm1(np.minimum(x, 0))


@dataclass(frozen=True)
class Activation:
    value: Callable
    slope: Callable
    slope_of_output: Callable | None = None
    params: tuple[float, ...] = ()  # defaults
    kinks: tuple[float, ...] = ()  # where the slope jumps: a finite difference must stay away


ACTIVATIONS: dict[str, Activation] = {
    "tanh": Activation(np.tanh, lambda x: 1 / np.cosh(x) ** 2, lambda y: 1 - y * y),
    "sigmoid": Activation(sigmoid, lambda x: sigmoid(x) * sigmoid(-x), lambda y: y * (1 - y)),
    "relu": Activation(
        lambda x: np.maximum(x, 0), lambda x: np.where(x > 0, 1.0, 0.0), lambda y: np.where(y > 0, 1.0, 0.0), kinks=(0,)
    ),
    "leaky_relu": Activation(
        lambda x, a: np.where(x > 0, x, a * x),
        lambda x, a: np.where(x > 0, 1.0, a),
        lambda y, a: np.where(y > 0, 1.0, a),
        (0.01,),
        (0,),
    ),
    "elu": Activation(
        lambda x, a: np.where(x > 0, x, a * _expm1_of_negative(x)),
        lambda x, a: np.where(x > 0, 1.0, a * _exp_of_negative(x)),
        lambda y, a: np.where(y > 0, 1.0, y + a),
        (1.0,),
        (0,),
    ),
    "selu": Activation(
        lambda x: SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * _expm1_of_negative(x)),
        lambda x: SELU_SCALE * np.where(x > 0, 1.0, SELU_ALPHA * _exp_of_negative(x)),
        lambda y: np.where(y > 0, SELU_SCALE, y + SELU_SCALE * SELU_ALPHA),
        kinks=(0,),
    ),
    "celu": Activation(
        lambda x, a: np.where(x > 0, x, a * _expm1_of_negative(x / a)),
        lambda x, a: np.where(x > 0, 1.0, _exp_of_negative(x / a)),
        lambda y, a: np.where(y > 0, 1.0, y / a + 1),
        (1.0,),
        (0,),
    ),
    "gelu": Activation(lambda x: x * normal_cdf(x), lambda x: normal_cdf(x) + x * normal_density(x)),
    "gelu_tanh": Activation(lambda x: 0.5 * x * (1 + np.tanh(_gelu_tanh_inner(x))), _gelu_tanh_slope),
    "silu": Activation(lambda x: x * sigmoid(x), lambda x: sigmoid(x) * (1 + x * sigmoid(-x))),
    "mish": Activation(lambda x: x * np.tanh(softplus(x)), _mish_slope),
    "softplus": Activation(
        lambda x, b: np.where(b * x > 20, x, softplus(b * x) / b),
        lambda x, b: np.where(b * x > 20, 1.0, sigmoid(b * x)),
        lambda y, b: np.where(b * y > 20, 1.0, -np.expm1(-b * y)),
        (1.0,),
        (20.0,),
    ),
    "softsign": Activation(
        lambda x: x / (1 + np.abs(x)), lambda x: (1 + np.abs(x)) ** -2.0, lambda y: (1 - np.abs(y)) ** 2, kinks=(0,)
    ),
    "hard_sigmoid": Activation(
        lambda x: np.clip(x / 6 + 0.5, 0, 1),
        lambda x: np.where((x > -3) & (x < 3), 1 / 6, 0.0),
        lambda y: np.where((y > 0) & (y < 1), 1 / 6, 0.0),
        kinks=(-3, 3),
    ),
    "hard_swish": Activation(
        lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
        lambda x: np.where(x <= -3, 0.0, np.where(x >= 3, 1.0, x / 3 + 0.5)),
        kinks=(-3, 3),
    ),
    "hard_tanh": Activation(
        lambda x: np.clip(x, -1, 1),
        lambda x: np.where((x > -1) & (x < 1), 1.0, 0.0),
        lambda y: np.where((y > -1) & (y < 1), 1.0, 0.0),
        kinks=(-1, 1),
    ),
    "relu6": Activation(
        lambda x: np.clip(x, 0, 6),
        lambda x: np.where((x > 0) & (x < 6), 1.0, 0.0),
        lambda y: np.where((y > 0) & (y < 6), 1.0, 0.0),
        kinks=(0, 6),
    ),
    "log_sigmoid": Activation(lambda x: -softplus(-x), lambda x: sigmoid(-x), lambda y: -np.expm1(y)),
}
