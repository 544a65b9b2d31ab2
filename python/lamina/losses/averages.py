"""How losses average: over elements and samples, as tensors and as numbers, and over parts of the data, of which programs give the
mean of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina import ops

Array = np.ndarray[Any, Any]


def reduce(losses: Any, weight: Any | None, keep: Any | None) -> Any:
    """The one reduction: the mean; with weights sum(w l) / sum(w); over what is kept only.

    losses: (batch,) or (batch, ...). weight: (batch,) or None. keep: bool of the shape of losses (which are 0 where it is False) or
    None.
    """
    rest = tuple(range(1, len(losses.shape)))
    if keep is None:
        if weight is None:
            return ops.mean(losses)
        per_sample = ops.mean(losses, axis=rest) if rest else losses
        return ops.sum(weight * per_sample) / _total(weight)
    counts = ops.cast(keep, str(losses.dtype))
    if weight is not None:
        each = ops.reshape(weight, (-1, *(1 for _ in rest)))
        losses, counts = losses * each, counts * each
    return ops.sum(losses) / _total(counts)


def _total(weight: Any) -> Any:
    """The sum of the weights; 1 where it is 0, as the sum of the losses is then."""
    total = ops.sum(weight)
    return ops.where(total > 0, total, ops.ones_like(total))


def shares(shape: tuple[int, int], weight: Array | None, keep: Any) -> Array:
    """What each of (samples, elements) counts in the mean of `reduce`, as numbers."""
    each = np.ones(shape[0]) if weight is None else np.asarray(weight, np.float64)
    counts = np.repeat(each[:, None], shape[1], axis=1) * (1.0 if keep is None else np.asarray(keep, np.float64))
    return counts / max(float(counts.sum()), 1e-300)


def count(n: int, amounts: Array | None) -> float:
    """What n samples count together; amounts: of each, None where all count alike."""
    return float(n) if amounts is None else float(amounts.sum())


def over_parts(losses: Array, counts: Array, weights: Sequence[float]) -> float:
    """The weighted sum of the outputs' losses, each the mean over what counts in it.

    losses, counts: (parts, outputs); where a count is 0 nothing counts, and the loss there means nothing.
    """
    if len(losses) == 1:  # as in every epoch on few samples, which is short
        each = [loss if n > 0 else float("nan") for loss, n in zip(losses[0].tolist(), counts[0].tolist(), strict=True)]
    else:
        totals = counts.sum(axis=0)
        sums = (np.where(counts > 0, losses, 0.0) * counts).sum(axis=0)
        each = [float(s / total) if total > 0 else float("nan") for s, total in zip(sums, totals, strict=True)]
    return sum(weight * mean for weight, mean in zip(weights, each, strict=True))
