"""Functions of each element, 100,000 of them (in L2) unless named otherwise; softmax over rows of 100."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks import peers
from benchmarks.suites import Run
from benchmarks.timing import Case

FUNCTIONS = ("exp", "log", "tanh", "sigmoid", "erf", "gelu", "softmax", "sqrt")
QUICK = {"exp", "tanh", "gelu", "softmax"}
COUNTS = (100_000, 1_000, 4_000_000)


def cases(run: Run) -> Iterator[Case]:
    rng = np.random.default_rng(0)
    for count in COUNTS[:1] if run.quick else COUNTS:
        for dtype in ("float32",) if run.quick else ("float32", "float64"):
            x = np.abs(rng.standard_normal((count // 100, 100))).astype(dtype) + np.asarray(0.01, dtype)
            for function in FUNCTIONS:
                name = f"{function} {count} {'f32' if dtype == 'float32' else 'f64'}"
                if run.wants(name) and (not run.quick or run.only or function in QUICK):
                    who = peers.contenders(run.peers, "elementwise", function, x)
                    yield Case("elementwise", name, who, dtype=dtype, note=f"{count} elements")
