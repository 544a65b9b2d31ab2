"""Gradients that are sums of terms which cancel: that of a bias before a batch norm, which takes every shift away again."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina.trace.record import Step, Trace

Array = np.ndarray[Any, Any]

ROUNDED = 16.0  # units of rounding of all terms together: the terms are rounded, too, where they are differences themselves


def terms_of(trace: Trace, step: Step) -> Array | None:
    """The sizes of what adds up to 1^T dZ or X^T dZ, in the shape of that; None for other lines."""
    if step.kind not in ("bias gradient", "weight gradient") or step.values is None:
        return None
    found = [np.abs(np.asarray(trace[name], np.float64)) for name in step.operands if name in trace]
    rows = [value.reshape(-1, value.shape[-1]) for value in found if value.ndim]
    if step.kind == "bias gradient" and len(rows) == 1:
        return np.asarray(rows[0].sum(axis=0))
    if step.kind == "weight gradient" and len(rows) == 2 and len(rows[0]) == len(rows[1]):
        return np.asarray(rows[0].T @ rows[1])
    return None


def cancels(trace: Trace, step: Step) -> bool:
    """Whether the value is what rounding leaves of terms that cancel."""
    terms = terms_of(trace, step)
    if terms is None or step.values is None or terms.shape != step.values.shape or not step.values.any():
        return False
    return bool((np.abs(step.values) <= ROUNDED * np.finfo(step.values.dtype).eps * terms).all())
