"""Times of several contenders that take turns: on a shared machine only figures of one run can be compared."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# After a call threads may spin before they sleep, those of OpenBLAS for 135 ms (seen): the next contender must not pay for that.
SETTLE = 0.25


@dataclass
class Contender:
    """`run(k)` does the work k times; what it returns is the last result (a loss, for the check that all do the same work).

    `block`: k must be a multiple of it.  `check`: whether its loss must agree with ours.  `result`: what one time gives, where
    `run` returns nothing; it is compared, and not timed.
    """

    run: Callable[[int], Any]
    block: int = 1
    check: bool = True
    result: Callable[[], Any] | None = None


@dataclass
class Case:
    """One line of the report: contenders that do the same work. `flops` and `bytes` of one time, 0 where they say nothing."""

    suite: str
    name: str
    contenders: dict[str, Contender]
    flops: float = 0
    bytes: float = 0
    dtype: str = "float32"
    note: str = ""


def per_call(contender: Contender, k: int) -> float:
    """Seconds for one of k times."""
    start = time.perf_counter()
    contender.run(k)
    return (time.perf_counter() - start) / k


def measure(case: Case, *, seconds: float, rounds: int, threads: int) -> dict[str, float]:
    """The best of some rounds for each contender, in seconds; `seconds` is what a contender may take altogether."""
    counts = {name: _count(c, seconds / (rounds + 1)) for name, c in case.contenders.items()}
    best = dict.fromkeys(case.contenders, math.inf)
    for _ in range(rounds):
        for name, contender in case.contenders.items():
            if threads > 1:
                time.sleep(SETTLE)
                contender.run(contender.block)  # wakes its threads
            best[name] = min(best[name], per_call(contender, counts[name]))
    return best


def _count(contender: Contender, seconds: float) -> int:
    """How many times fit into `seconds`, after a warm-up that is not counted."""
    contender.run(contender.block)
    k = contender.block
    while (once := per_call(contender, k)) * k < 0.25 * seconds and k < 1 << 24:
        k *= 4
    return max(1, round(seconds / once / contender.block)) * contender.block
