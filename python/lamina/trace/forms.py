"""The built-in losses as math: what each is of an element, and its slope."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from lamina.trace.notation import number

# Of strings and of places: 0 prediction Z, 1 target Y, 2 softmax's P, 3 the target as a matrix, 4 a sample's class.
Pattern = tuple[Any, ...]


class Form(NamedTuple):
    """l, the loss of an element (or of a sample, summed over its classes), and its slope dl/dZ, which is `factor` times `slope`.

    `where`: what letters mean.
    """

    element: Pattern
    slope: Pattern
    where: Pattern = ()
    by_sample: bool = False
    factor: float = 1.0


def _mse(loss: Any, classes: bool) -> Form:
    return Form(("(", 0, " − ", 1, ")²"), ("(", 0, " − ", 1, ")"), factor=2.0)


def _mae(loss: Any, classes: bool) -> Form:
    return Form(("|", 0, " − ", 1, "|"), ("sign(", 0, " − ", 1, ")"))


def _huber(loss: Any, classes: bool) -> Form:
    d = number(loss.delta)
    far = f"|e| − {number(loss.delta / 2)}" if loss.delta == 1 else f"{d} (|e| − {number(loss.delta / 2)})"
    where = (f"h(e) = e² / 2 where |e| < {d}, else {far}",)
    return Form(("h(", 0, " − ", 1, ")"), ("clip(", 0, " − ", 1, f", −{d}, {d})"), where)


def _smooth_l1(loss: Any, classes: bool) -> Form:
    if loss.beta == 0:
        return _mae(loss, classes)
    b, half = number(loss.beta), number(loss.beta / 2)
    near = "e²" if loss.beta == 0.5 else f"e² / {number(2 * loss.beta)}"
    over = "" if loss.beta == 1 else f" / {b}"
    where = (f"h(e) = {near} where |e| < {b}, else |e| − {half}",)
    inner: Pattern = ("clip(", 0, " − ", 1) if loss.beta == 1 else ("clip((", 0, " − ", 1, f"){over}")
    return Form(("h(", 0, " − ", 1, ")"), (*inner, ", −1, 1)"), where)


def _log_cosh(loss: Any, classes: bool) -> Form:
    return Form(("ln cosh(", 0, " − ", 1, ")"), ("tanh(", 0, " − ", 1, ")"))


def _quantile(loss: Any, classes: bool) -> Form:
    q, rest = number(loss.q), number(1 - loss.q)
    element = (f"({q} max(0, ", 1, " − ", 0, f") + {rest} max(0, ", 0, " − ", 1, "))")
    return Form(element, (f"({rest} [", 0, " > ", 1, f"] − {q} [", 0, " < ", 1, "])"))


def _hinge(loss: Any, classes: bool) -> Form:
    return Form(("max(0, 1 − ", 1, " ⊙ ", 0, ")"), ("−", 1, " ⊙ [", 1, " ⊙ ", 0, " < 1]"))


def _poisson(loss: Any, classes: bool) -> Form:
    full: Pattern = (" + stirling(", 1, ")") if loss.full else ()
    if loss.log_input:
        return Form(("(exp(", 0, ") − ", 1, " ⊙ ", 0, *full, ")"), ("(exp(", 0, ") − ", 1, ")"))
    eps = number(loss.eps)
    return Form(("(", 0, " − ", 1, " ⊙ ln(", 0, f" + {eps})", *full, ")"), ("(1 − ", 1, " / (", 0, f" + {eps}))"))


def _gaussian(loss: Any, classes: bool) -> Form:
    where = ("[m, v] = ", 0, f", v at least {number(loss.eps)}")
    full = f" + {number(np.log(2 * np.pi) / 2)}" if loss.full else ""
    head, tail = ("(", ")") if full else ("", "")
    element = (f"{head}(ln v + (", 1, f" − m)² / v) / 2{full}{tail}")
    return Form(element, ("[(m − ", 1, ") / v, (1 − (", 1, " − m)² / v) / (2 v)]"), where)


def _kl_div(loss: Any, classes: bool) -> Form:
    if loss.log_target:
        return Form(("Σ exp(", 1, ") ⊙ (", 1, " − ", 0, ")"), ("−exp(", 1, ")"), by_sample=True)
    return Form(("Σ ", 1, " ⊙ (ln ", 1, " − ", 0, ")"), ("−", 1), by_sample=True)


def _cross_entropy(loss: Any, classes: bool) -> Form:
    smooth = loss.label_smoothing
    if smooth == 0:
        return Form(("−ln ", 2, "[i, ", 4, "]") if classes else ("−Σ ", 1, " ⊙ ln ", 2), ("(", 2, " − ", 3, ")"), by_sample=True)
    where = ("Q = ", number(1 - smooth), " ", 3, f" + {number(smooth)} / C")
    return Form(("−Σ Q ⊙ ln ", 2), ("(", 2, " − Q)"), where, by_sample=True)


def _binary(loss: Any, classes: bool) -> Form:
    if loss.pos_weight is None:
        return Form(("(ln(1 + exp(", 0, ")) − ", 0, " ⊙ ", 1, ")"), ("(σ(", 0, ") − ", 1, ")"))
    where = ("w = ", ", ".join(number(w) for w in np.atleast_1d(loss.pos_weight)))
    element = ("((1 − ", 1, ") ⊙ ", 0, " + (1 + (w − 1) ⊙ ", 1, ") ⊙ ln(1 + exp(−", 0, ")))")
    return Form(element, ("(1 − ", 1, " − (1 + (w − 1) ⊙ ", 1, ") ⊙ σ(−", 0, "))"), where)


def _focal(loss: Any, classes: bool) -> Form:
    g = number(loss.gamma)
    if classes:
        slope: Pattern = (f"((1 − p)^{g} − {g} p (1 − p)^{number(loss.gamma - 1)} ln p) ⊙ (", 2, " − ", 3, ")")
        return Form((f"−(1 − p)^{g} ln p",), slope, ("p = ", 2, "[i, ", 4, "]"), by_sample=True)
    alpha = "" if loss.alpha is None else "a "
    where: Pattern = ("p = σ(", 0, ") where ", 1, " = 1, else 1 − σ(", 0, ")")
    where = where if loss.alpha is None else (*where, f"; a = {number(loss.alpha)}, else {number(1 - loss.alpha)}")
    slope = (f"{alpha}(1 − p)^{g} ⊙ ({g} p ln p + p − 1) ⊙ (2 ", 1, " − 1)")
    return Form((f"−{alpha}(1 − p)^{g} ln p",), slope, where)


FORMS: dict[str, Callable[[Any, bool], Form]] = {
    "MSE": _mse, "MAE": _mae, "Huber": _huber, "SmoothL1": _smooth_l1, "LogCosh": _log_cosh, "Quantile": _quantile, "Hinge": _hinge,
    "PoissonNLL": _poisson, "GaussianNLL": _gaussian, "KLDiv": _kl_div, "CrossEntropy": _cross_entropy,
    "BinaryCrossEntropy": _binary, "Focal": _focal,
}  # fmt: skip
