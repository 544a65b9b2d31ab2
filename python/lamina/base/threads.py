"""How many threads programs may use."""

from __future__ import annotations

from lamina import _core as core
from lamina.base import checks
from lamina.base.calls import explained

MOST = 256  # as the core has it


@explained
def set_num_threads(count: int) -> None:
    """From the next run on, programs use at most this many threads, from 1 to 256; the bits of what they compute stay.

    Errors: TypeError for what is no whole number, ValueError for one out of this range.

    >>> before = lm.get_num_threads()
    >>> lm.set_num_threads(1)
    >>> lm.get_num_threads()
    1
    >>> lm.set_num_threads(before)
    """
    core.set_num_threads(checks.integer("set_num_threads", "count", count, 1, MOST))
