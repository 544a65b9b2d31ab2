"""Optimizers: by name (`fit(optimizer="adam")`) or as objects (`lm.optim.Adam(1e-3, clip_norm=1.0)`).

A learning rate may be a schedule (`lamina.schedules`). An optimizer of one's own is a subclass of `Optimizer` with an `update` in
math.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina.base import checks
from lamina.base import names as _names
from lamina.base.calls import explained
from lamina.base.config import made
from lamina.optim.base import Optimizer
from lamina.optim.lbfgs import LBFGS
from lamina.optim.levenberg_marquardt import LevenbergMarquardt
from lamina.optim.muon import Muon
from lamina.optim.rules import SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, Lion, NAdam, RAdam, RMSProp, Rprop

__all__ = [
    "LBFGS",
    "OPTIMIZERS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "LevenbergMarquardt",
    "Lion",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSProp",
    "Rprop",
    "get",
    "names",
]

OPTIMIZERS: dict[str, type[Optimizer]] = {
    c.__name__.lower(): c
    for c in (SGD, Adagrad, RMSProp, Adadelta, Rprop, Lion, Adam, AdamW, Adamax, NAdam, RAdam, Muon, LBFGS, LevenbergMarquardt)
}


def names() -> list[str]:
    """The names of all optimizers.

    >>> lm.optim.names()[:2], lm.optim.names()[-2:]
    (['sgd', 'adagrad'], ['lbfgs', 'levenbergmarquardt'])
    """
    return list(OPTIMIZERS)


@explained
def get(optimizer: str | Optimizer | type[Optimizer] | dict[str, Any]) -> Optimizer:
    """A new optimizer behind a name, a class, a `plain` dict; an optimizer stays as it is.

    Errors: ValueError for an unknown name, with the nearest known one; TypeError for something else.

    >>> lm.optim.get("adam")
    Adam()
    """
    optimizer = made("optim", optimizer, OPTIMIZERS, Optimizer)
    if isinstance(optimizer, Optimizer):
        return optimizer
    raise TypeError(
        f"[optim] expected a name or an optimizer, got {checks.brief(optimizer)}; pass e.g. 'adam' or lm.optim.Adam(1e-3)"
    )


if not TYPE_CHECKING:
    __getattr__, __dir__ = _names.attributes(__name__, __all__)
