"""Losses: by name (`fit(loss="huber")`), as objects with options (`lm.losses.Huber(2.0)`), as functions of tensors
(`lm.losses.huber(p, y)`).

The formulas and defaults are PyTorch's, where it has the loss; `kl_div` is its "batchmean". A loss of one's own is a function of
(pred, target), or a subclass of `Loss`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lamina.base import calls, checks
from lamina.base import names as _names
from lamina.base.calls import explained
from lamina.base.config import made
from lamina.losses.base import FunctionLoss, Loss
from lamina.losses.classification import BinaryCrossEntropy, CrossEntropy, Focal
from lamina.losses.regression import MAE, MSE, GaussianNLL, Hinge, Huber, KLDiv, LogCosh, PoissonNLL, Quantile, SmoothL1

__all__ = [
    "CLASSES",
    "LOSSES",
    "MAE",
    "MSE",
    "BinaryCrossEntropy",
    "CrossEntropy",
    "Focal",
    "FunctionLoss",
    "GaussianNLL",
    "Hinge",
    "Huber",
    "KLDiv",
    "LogCosh",
    "Loss",
    "PoissonNLL",
    "Quantile",
    "SmoothL1",
    "binary_cross_entropy",
    "cross_entropy",
    "focal",
    "gaussian_nll",
    "get",
    "hinge",
    "huber",
    "kl_div",
    "log_cosh",
    "mae",
    "mse",
    "names",
    "poisson_nll",
    "quantile",
    "smooth_l1",
]

mse, mae, huber, smooth_l1, log_cosh, quantile, hinge = MSE(), MAE(), Huber(), SmoothL1(), LogCosh(), Quantile(), Hinge()
poisson_nll, gaussian_nll, kl_div = PoissonNLL(), GaussianNLL(), KLDiv()
cross_entropy, binary_cross_entropy, focal = CrossEntropy(), BinaryCrossEntropy(), Focal()

# fmt: off
LOSSES: dict[str, Loss] = {_names.snake(type(loss).__name__): loss for loss in (
    mse, mae, huber, smooth_l1, log_cosh, quantile, hinge, poisson_nll, gaussian_nll, kl_div, cross_entropy, binary_cross_entropy,
    focal,
)}
# fmt: on
CLASSES: dict[str, type[Loss]] = {type(loss).__name__: type(loss) for loss in LOSSES.values()}

AnyLoss = str | Loss | type[Loss] | dict[str, Any] | Callable[[Any, Any], Any]


def names() -> list[str]:
    """The names of all losses.

    >>> "huber" in lm.losses.names()
    True
    """
    return list(LOSSES)


@explained
def get(loss: AnyLoss) -> Loss:
    """The loss behind a name, a class, a function of (pred, target), a `plain` dict; a loss stays as it is.

    Errors: ValueError for an unknown name, with the nearest known one; TypeError for something else, such as a function that takes
    other arguments, or one of another library.

    >>> lm.losses.get("mse")
    MSE()
    """
    loss = made("losses", loss, LOSSES, Loss)
    if isinstance(loss, Loss):
        if signature := calls.refusing(loss.elements, 0, 0):
            raise TypeError(f"[{loss!r}] expected elements(self, pred, target), got {signature}; give it these parameters")
        if not loss.by_elements and (signature := calls.refusing(loss, 0, 0, 0)):
            raise TypeError(f"[{loss!r}] expected __call__(pred, target, weight), got {signature}; write elements(pred, target)")
        return loss
    if callable(loss):
        return FunctionLoss(loss)
    raise TypeError(f"[losses] expected a name, a loss or a function of (pred, target), got {checks.brief(loss)}; pass e.g. 'mse'")


if not TYPE_CHECKING:
    __getattr__, __dir__ = _names.attributes(__name__, __all__)
