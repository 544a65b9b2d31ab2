"""Losses "mse" as one sum of squares: what the targets are and what each square counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina.losses import MSE, Loss
from lamina.losses.averages import shares

Array = np.ndarray[Any, Any]


def mean_squares(
    where: str, losses: Sequence[Loss], factors: Sequence[float], targets: Sequence[Array], weight: Array | None
) -> tuple[Array, Array]:
    """Targets and scales, (n, k), with sum((prediction - target)^2 scale^2) = sum of factor * loss over the outputs.

    Errors: ValueError for a loss that is no MSE.
    """
    for loss in losses:
        if type(loss) is not MSE:
            raise ValueError(f"[{where}] expected the loss 'mse', got {loss!r}; other losses train with LBFGS")
    wanted, scales = [], []
    for loss, factor, y in zip(losses, factors, targets, strict=True):
        target = np.asarray(y, np.float64).reshape(len(y), -1)
        share = shares(target.shape, weight, loss.keep(target, target)) * factor
        wanted.append(np.where(share > 0, target, 0.0))
        scales.append(np.sqrt(share))
    return np.concatenate(wanted, 1), np.concatenate(scales, 1)
