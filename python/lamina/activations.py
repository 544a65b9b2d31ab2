"""Every activation as a function of tensors (or arrays): `lm.activations.relu(x)`, or by name: `Dense(8, "relu")`.

Value and slope live once, in C++ (`cpp/base/activations.h`); the functions here give them names, parameters, checks, and the
formulas that explain shows. All take a tensor or an array of any shape and return the same shape. The slope at a kink is that of
the flat side, where one side is flat: relu'(0) = 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lamina import ops
from lamina.base import calls, checks
from lamina.base import names as _names
from lamina.base.calls import explained

Activation = Callable[[Any], Any]


@explained
def linear(x: Any) -> Any:
    """The identity: y = x.

    Slope: y' = 1.

    >>> lm.activations.linear(np.array([-1.0, 2.0]))
    array([-1.,  2.])
    """
    return x


@explained
def relu(x: Any) -> Any:
    """Rectified linear unit: y = max(0, x).

    Slope: y' = 1 where x > 0, else 0.

    >>> lm.activations.relu(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    return ops.activation("relu", x)


@explained
def leaky_relu(x: Any, slope: float = 0.01) -> Any:
    """Leaky ReLU: y = x where x > 0, else slope x (slope is 0.01; Keras' layer has 0.3).

    Slope: y' = 1 where x > 0, else slope.

    >>> lm.activations.leaky_relu(np.array([-1.0, 2.0]))
    array([-0.01,  2.  ])
    """
    return ops.activation("leaky_relu", x, checks.number("activations.leaky_relu", "slope", slope))


@explained
def elu(x: Any, alpha: float = 1.0) -> Any:
    """Exponential linear unit: y = x where x > 0, else alpha (e^x - 1). Source: Clevert et al. 2015.

    Slope: y' = 1 where x > 0, else alpha e^x.

    >>> lm.activations.elu(np.array([-1.0, 2.0])).round(4)
    array([-0.6321,  2.    ])
    """
    return ops.activation("elu", x, checks.number("activations.elu", "alpha", alpha, 0, open_low=True))


@explained
def selu(x: Any) -> Any:
    """Scaled ELU: y = 1.0507 (x where x > 0, else 1.6733 (e^x - 1)). Source: Klambauer et al. 2017.

    Slope: y' = 1.0507 where x > 0, else 1.7581 e^x.

    >>> lm.activations.selu(np.array([-1.0, 2.0])).round(4)
    array([-1.1113,  2.1014])
    """
    return ops.activation("selu", x)


@explained
def celu(x: Any, alpha: float = 1.0) -> Any:
    """Continuously differentiable ELU: y = max(0, x) + min(0, alpha (e^(x / alpha) - 1)). Source: Barron 2017.

    Slope: y' = 1 where x > 0, else e^(x / alpha).

    >>> lm.activations.celu(np.array([-1.0, 2.0])).round(4)
    array([-0.6321,  2.    ])
    """
    return ops.activation("celu", x, checks.number("activations.celu", "alpha", alpha, 0, open_low=True))


@explained
def gelu(x: Any) -> Any:
    """Gaussian error linear unit: y = x (1 + erf(x / sqrt 2)) / 2, exact. Source: Hendrycks and Gimpel 2016.

    Slope: y' = (1 + erf(x / sqrt 2)) / 2 + x e^(-x^2 / 2) / sqrt(2 pi).

    >>> lm.activations.gelu(np.array([-1.0, 2.0])).round(4)
    array([-0.1587,  1.9545])
    """
    return ops.activation("gelu", x)


@explained
def gelu_tanh(x: Any) -> Any:
    """GELU by its usual approximation: y = x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.

    Slope: y' = (1 + t) / 2 + x (1 - t^2) sqrt(2 / pi) (1 + 0.134145 x^2) / 2, t = tanh(sqrt(2 / pi) (x + 0.044715 x^3)).

    >>> lm.activations.gelu_tanh(np.array([-1.0, 2.0])).round(4)
    array([-0.1588,  1.9546])
    """
    return ops.activation("gelu_tanh", x)


@explained
def silu(x: Any) -> Any:
    """Sigmoid linear unit, also called swish: y = x sigmoid(x). Source: Elfwing et al. 2017.

    Slope: y' = s (1 + x (1 - s)), s = sigmoid(x).

    >>> lm.activations.silu(np.array([-1.0, 2.0])).round(4)
    array([-0.2689,  1.7616])
    """
    return ops.activation("silu", x)


@explained
def swish(x: Any) -> Any:
    """The other name of `silu`: y = x sigmoid(x). Source: Ramachandran et al. 2017.

    Slope: y' = s (1 + x (1 - s)), s = sigmoid(x).

    >>> lm.activations.swish(np.array([-1.0, 2.0])).round(4)
    array([-0.2689,  1.7616])
    """
    return silu(x)


@explained
def mish(x: Any) -> Any:
    """Mish: y = x tanh(softplus(x)). Source: Misra 2019.

    Slope: y' = t + x (1 - t^2) sigmoid(x), t = tanh(softplus(x)).

    >>> lm.activations.mish(np.array([-1.0, 2.0])).round(4)
    array([-0.3034,  1.944 ])
    """
    return ops.activation("mish", x)


@explained
def softplus(x: Any, beta: float = 1.0) -> Any:
    """Softplus: y = ln(1 + e^(beta x)) / beta; y = x where beta x > 20.

    Slope: y' = sigmoid(beta x).

    >>> lm.activations.softplus(np.array([-1.0, 2.0])).round(4)
    array([0.3133, 2.1269])
    """
    return ops.activation("softplus", x, checks.number("activations.softplus", "beta", beta, 0, open_low=True))


@explained
def softsign(x: Any) -> Any:
    """Softsign: y = x / (1 + |x|).

    Slope: y' = 1 / (1 + |x|)^2.

    >>> lm.activations.softsign(np.array([-1.0, 3.0]))
    array([-0.5 ,  0.75])
    """
    return ops.activation("softsign", x)


@explained
def sigmoid(x: Any) -> Any:
    """Logistic function: y = 1 / (1 + e^-x).

    Slope: y' = y (1 - y).

    >>> lm.activations.sigmoid(np.array([-1.0, 2.0])).round(4)
    array([0.2689, 0.8808])
    """
    return ops.activation("sigmoid", x)


@explained
def hard_sigmoid(x: Any) -> Any:
    """Piecewise linear sigmoid: y = x / 6 + 1/2, kept within [0, 1].

    Slope: y' = 1/6 where |x| < 3, else 0.

    >>> lm.activations.hard_sigmoid(np.array([-4.0, 1.5]))
    array([0.  , 0.75])
    """
    return ops.activation("hard_sigmoid", x)


@explained
def hard_swish(x: Any) -> Any:
    """Piecewise swish: y = x hard_sigmoid(x). Source: Howard et al. 2019.

    Slope: y' = 0 where x <= -3, 1 where x >= 3, else x / 3 + 1/2.

    >>> lm.activations.hard_swish(np.array([-4.0, 1.5])).round(4) + 0.0
    array([0.   , 1.125])
    """
    return ops.activation("hard_swish", x)


@explained
def tanh(x: Any) -> Any:
    """Hyperbolic tangent: y = (e^x - e^-x) / (e^x + e^-x).

    Slope: y' = 1 - y^2.

    >>> lm.activations.tanh(np.array([-1.0, 2.0])).round(4)
    array([-0.7616,  0.964 ])
    """
    return ops.activation("tanh", x)


@explained
def hard_tanh(x: Any) -> Any:
    """Piecewise linear tanh: y = x, kept within [-1, 1].

    Slope: y' = 1 where |x| < 1, else 0.

    >>> lm.activations.hard_tanh(np.array([-4.0, 0.5]))
    array([-1. ,  0.5])
    """
    return ops.activation("hard_tanh", x)


@explained
def relu6(x: Any) -> Any:
    """ReLU with a ceiling: y = x, kept within [0, 6].

    Slope: y' = 1 where 0 < x < 6, else 0.

    >>> lm.activations.relu6(np.array([-1.0, 8.0]))
    array([0., 6.])
    """
    return ops.activation("relu6", x)


@explained
def log_sigmoid(x: Any) -> Any:
    """Logarithm of the logistic function: y = -ln(1 + e^-x).

    Slope: y' = sigmoid(-x).

    >>> lm.activations.log_sigmoid(np.array([-1.0, 2.0])).round(4)
    array([-1.3133, -0.1269])
    """
    return ops.activation("log_sigmoid", x)


@explained
def exponential(x: Any) -> Any:
    """y = e^x.

    Slope: y' = y.

    >>> lm.activations.exponential(np.array([0.0, 1.0])).round(4)
    array([1.    , 2.7183])
    """
    return ops.exp(x)


@explained
def softmax(x: Any, axis: int = -1) -> Any:
    """Softmax along an axis: y_j = e^(x_j) / sum_k e^(x_k).

    >>> lm.activations.softmax(np.array([0.0, np.log(3.0)])).round(4)
    array([0.25, 0.75])
    """
    return ops.softmax(x, axis=axis)


@explained
def log_softmax(x: Any, axis: int = -1) -> Any:
    """Logarithm of the softmax along an axis: y_j = x_j - ln sum_k e^(x_k).

    >>> lm.activations.log_softmax(np.array([0.0, np.log(3.0)])).round(4)
    array([-1.3863, -0.2877])
    """
    return ops.log_softmax(x, axis=axis)


# fmt: off
FUNCTIONS: dict[str, Activation] = {f.__name__: f for f in (
    linear, relu, leaky_relu, elu, selu, celu, gelu, gelu_tanh, silu, swish, mish, softplus, softsign, sigmoid, hard_sigmoid,
    hard_swish, tanh, hard_tanh, relu6, log_sigmoid, exponential, softmax, log_softmax,
)}
# fmt: on


def names() -> list[str]:
    """The names of all activations.

    >>> "relu" in lm.activations.names()
    True
    """
    return list(FUNCTIONS)


@explained
def get(activation: str | Activation | None) -> Activation:
    """The function behind a name; a function stays as it is, None is `linear`.

    Errors: ValueError for an unknown name, with the nearest known one; TypeError for something else, such as a function that takes
    other arguments, or one of another library.

    >>> lm.activations.get("relu") is lm.activations.relu
    True
    """
    if activation is None:
        return linear
    if isinstance(activation, str):
        return _names.anycase("activations", activation, FUNCTIONS)
    if getattr(activation, "__module__", None) == __name__:
        return activation
    if callable(activation) and not isinstance(activation, type):
        if signature := calls.refusing(activation, 0):
            raise TypeError(
                f"[activations] expected a function of a tensor, got {calls.called(activation)} of {signature}; give it one "
                "parameter"
            )
        if library := calls.library_of(activation):
            raise TypeError(
                f"[activations] expected lamina's math over a tensor, got {calls.called(activation)} of {library}, which takes "
                "tensors of its own; pass 'relu' or another name of lm.activations.names()"
            )
        return activation
    raise TypeError(
        f"[activations] expected a name or a function of a tensor, got {checks.brief(activation)}; pass e.g. 'relu' or "
        "lm.activations.relu"
    )


if not TYPE_CHECKING:
    __getattr__, __dir__ = _names.attributes(__name__, FUNCTIONS, ["get", "names"])
