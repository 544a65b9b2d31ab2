"""First values of parameters: objects called as `init(shape, rng, dtype)`, by name ("he_normal") or as
`lm.initializers.he_normal()`.

The classes are written in lower case because they are used as the functions of the same names in other libraries are. The formulas
are PyTorch's; normals are not truncated. A weight's shape is (..., in, out): fan_in = product of all but the last, fan_out =
product of all but the one before.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina.base import calls, checks
from lamina.base import names as _names
from lamina.base.calls import explained
from lamina.base.config import Configured, made

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]

# How much a unit's output must be scaled up to keep its variance through the nonlinearity (PyTorch's `calculate_gain`).
GAINS = {
    "linear": 1.0,
    "sigmoid": 1.0,
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "leaky_relu": math.sqrt(2 / (1 + 0.01**2)),
    "selu": 0.75,
}


def gain(nonlinearity: str | float) -> float:
    """The gain that belongs to a nonlinearity, or the number itself.

    relu sqrt(2), leaky_relu sqrt(2 / (1 + 0.01^2)), tanh 5/3, selu 3/4, sigmoid and linear 1.

    >>> gain("tanh")
    1.6666666666666667
    """
    if isinstance(nonlinearity, str):
        return _names.anycase("initializers.gain", nonlinearity, GAINS)
    return checks.number("initializers", "gain", nonlinearity, 0, open_low=True)


def fans(shape: Shape) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight of shape (..., in, out).

    >>> fans((784, 128))
    (784, 128)
    """
    if len(shape) < 2:
        raise ValueError(
            f"[initializers] expected a weight of shape (in, out) to count its fans, got {shape}; "
            "for a vector pass 'zeros', 'uniform' or 'normal'"
        )
    return math.prod(shape[:-1]), math.prod(shape[:-2]) * shape[-1]


class Initializer(Configured):
    """Base class. A subclass gives `sample(shape, rng)`, float64 values; the call checks the shape and casts.

    Errors: ValueError where the shape has no fans.

    >>> lm.initializers.zeros()((2, 3), np.random.default_rng(0), "float32").dtype
    dtype('float32')
    """

    def __call__(self, shape: Shape, rng: np.random.Generator, dtype: str = "float32") -> Array:
        return self.sample(tuple(shape), rng).astype(dtype)

    def sample(self, shape: Shape, rng: np.random.Generator) -> Array:
        """Values of the given shape in float64."""
        raise TypeError(f"[{type(self).__name__}] expected a method sample(shape, rng), got none; write one")


class constant(Initializer):
    """Every element is `value`.

    >>> lm.initializers.constant(0.5)((2,), np.random.default_rng(0), "float64")
    array([0.5, 0.5])
    """

    def __init__(self, value: float) -> None:
        self.value = checks.number("initializers.constant", "value", value)

    def sample(self, shape: Shape, rng: np.random.Generator) -> Array:
        return np.full(shape, self.value)


class zeros(Initializer):
    """Every element is 0.

    >>> lm.initializers.zeros()((2,), np.random.default_rng(0), "float64")
    array([0., 0.])
    """

    def sample(self, shape: Shape, rng: np.random.Generator) -> Array:
        return np.zeros(shape)


class ones(Initializer):
    """Every element is 1.

    >>> lm.initializers.ones()((2,), np.random.default_rng(0), "float64")
    array([1., 1.])
    """

    def sample(self, shape: Shape, rng: np.random.Generator) -> Array:
        return np.ones(shape)


class uniform(Initializer):
    """Elements from U[low, high).

    >>> bool(abs(lm.initializers.uniform(-0.1, 0.1)((100,), np.random.default_rng(0))).max() <= 0.1)
    True
    """

    def __init__(self, low: float = 0.0, high: float = 1.0) -> None:
        self.low = checks.number("initializers.uniform", "low", low)
        self.high = checks.number("initializers.uniform", "high", high, self.low)

    def sample(self, shape: Shape, rng: np.random.Generator) -> Array:
        return rng.uniform(self.low, self.high, shape)


class normal(Initializer):
    """Elements from N(mean, std^2).

    >>> lm.initializers.normal(0, 0.02)((3, 4), np.random.default_rng(0)).shape
    (3, 4)
    """

    def __init__(self, mean: float = 0.0, std: float = 1.0) -> None:
        self.mean = checks.number("initializers.normal", "mean", mean)
        self.std = checks.number("initializers.normal", "std", std, 0)

    def sample(self, shape: Shape, rng: np.random.Generator) -> Array:
        return rng.normal(self.mean, self.std, shape)


class _FanScaled(Initializer):
    """Zero mean, standard deviation gain / sqrt(fan): as a normal, or as a uniform of the same variance, U(-sqrt(3) std, sqrt(3)
    std).
    """

    distribution = "normal"

    def std(self, shape: Shape) -> float:
        """The standard deviation for a weight of this shape."""
        raise TypeError(f"[{type(self).__name__}] expected a method std(shape), got none; write one")

    def sample(self, shape: Shape, rng: np.random.Generator) -> Array:
        std = self.std(shape)
        if self.distribution == "normal":
            return rng.normal(0.0, std, shape)
        bound = math.sqrt(3) * std
        return rng.uniform(-bound, bound, shape)


class glorot_normal(_FanScaled):
    """Glorot (Xavier) normal: N(0, std^2), std = gain sqrt(2 / (fan_in + fan_out)). Source: Glorot and Bengio 2010.

    `gain`: a number or the name of a nonlinearity.

    >>> round(lm.initializers.glorot_normal().std((4, 4)), 3)
    0.5
    """

    def __init__(self, gain: str | float = 1.0) -> None:
        self.gain = _gain(gain)

    def std(self, shape: Shape) -> float:
        fan_in, fan_out = fans(shape)
        return self.gain * math.sqrt(2 / max(1, fan_in + fan_out))


class glorot_uniform(glorot_normal):
    """Glorot (Xavier) uniform: U(-a, a), a = gain sqrt(6 / (fan_in + fan_out)). Source: Glorot and Bengio 2010.

    `gain`: a number or the name of a nonlinearity.

    >>> lm.initializers.glorot_uniform("tanh")((3, 4), np.random.default_rng(0)).shape
    (3, 4)
    """

    distribution = "uniform"


class he_normal(_FanScaled):
    """He (Kaiming) normal: N(0, std^2), std = gain / sqrt(fan). Source: He et al. 2015.

    `gain`: a number or the name of a nonlinearity, sqrt(2) of "relu" by default. `mode`: the fan, "fan_in" or "fan_out".

    >>> lm.initializers.he_normal().std((8, 4))
    0.5
    """

    def __init__(self, gain: str | float = "relu", *, mode: str = "fan_in") -> None:
        self.gain = _gain(gain)
        self.mode = checks.choice(f"initializers.{type(self).__name__}", "mode", mode, ("fan_in", "fan_out"))

    def std(self, shape: Shape) -> float:
        fan_in, fan_out = fans(shape)
        return self.gain / math.sqrt(max(1, fan_in if self.mode == "fan_in" else fan_out))


class he_uniform(he_normal):
    """He (Kaiming) uniform: U(-a, a), a = gain sqrt(3 / fan). Source: He et al. 2015.

    `gain`: a number or the name of a nonlinearity, sqrt(2) of "relu" by default. `mode`: the fan, "fan_in" or "fan_out".

    >>> lm.initializers.he_uniform(mode="fan_out")((3, 4), np.random.default_rng(0)).shape
    (3, 4)
    """

    distribution = "uniform"


class lecun_normal(_FanScaled):
    """LeCun normal: N(0, std^2), std = 1 / sqrt(fan_in). Source: LeCun et al. 1998.

    >>> lm.initializers.lecun_normal().std((4, 8))
    0.5
    """

    def std(self, shape: Shape) -> float:
        return 1 / math.sqrt(max(1, fans(shape)[0]))


class lecun_uniform(lecun_normal):
    """LeCun uniform: U(-a, a), a = sqrt(3 / fan_in). Source: LeCun et al. 1998.

    >>> lm.initializers.lecun_uniform()((3, 4), np.random.default_rng(0)).shape
    (3, 4)
    """

    distribution = "uniform"


class orthogonal(Initializer):
    """A matrix with orthonormal rows or columns (whichever are fewer), times gain. Source: Saxe et al. 2013.

    The Q of a normal matrix's QR, its columns' signs those of R's diagonal, so that every such matrix is equally likely. More axes
    than two count as (..., out) -> rows, columns.

    >>> w = lm.initializers.orthogonal()((4, 3), np.random.default_rng(0), "float64")
    >>> np.allclose(w.T @ w, np.eye(3))
    True
    """

    def __init__(self, gain: str | float = 1.0) -> None:
        self.gain = _gain(gain)

    def sample(self, shape: Shape, rng: np.random.Generator) -> Array:
        fans(shape)  # a vector has no rows
        rows, columns = math.prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(rng.normal(size=(max(rows, columns), min(rows, columns))))
        q *= np.sign(np.diag(r))
        return self.gain * (q if rows >= columns else q.T).reshape(shape)


_gain = gain  # the constructors' argument of the same name hides it

# fmt: off
CLASSES: dict[str, type[Initializer]] = {c.__name__: c for c in (
    constant, zeros, ones, uniform, normal, glorot_uniform, glorot_normal, he_uniform, he_normal, lecun_uniform, lecun_normal,
    orthogonal,
)}
# fmt: on

AnyInitializer = str | Initializer | type[Initializer] | dict[str, Any] | Callable[..., Array]


def names() -> list[str]:
    """The names of all initializers.

    >>> "he_normal" in lm.initializers.names()
    True
    """
    return list(CLASSES)


@explained
def get(init: AnyInitializer) -> Callable[..., Array]:
    """The initializer behind a name, a class, a `plain` dict; an object or function (shape, rng, dtype) -> array stays as it is.

    Errors: ValueError for an unknown name, with the nearest known one; TypeError for something else.

    >>> lm.initializers.get("he_normal")
    he_normal()
    """
    if init is constant or (isinstance(init, str) and init.lower() == "constant"):
        raise TypeError("[initializers] expected a value for 'constant'; pass lm.initializers.constant(value)")
    init = made("initializers", init, CLASSES, Initializer)
    if isinstance(init, Initializer):
        return init
    if callable(init) and not isinstance(init, type):
        if signature := calls.refusing(init, (1,), None, "float32"):
            raise TypeError(
                f"[initializers] expected a function of (shape, rng, dtype), got {calls.called(init)} of {signature}; give it "
                "these parameters"
            )
        return init
    remedy = "pass e.g. 'he_normal' or lm.initializers.he_normal()"
    if isinstance(init, (int, float)):
        remedy = f"pass lm.initializers.constant({checks.brief(init)})"
    elif isinstance(init, (np.ndarray, list, tuple)):
        remedy = "write an array into the built network: net.parameters['dense_1.weight'] = array"
    raise TypeError(f"[initializers] expected a name or an initializer, got {checks.brief(init)}; {remedy}")


if not TYPE_CHECKING:
    __getattr__, __dir__ = _names.attributes(__name__, CLASSES, ["get", "names"])
