"""Linear algebra of small matrices, a call from Python for one, or for a stack of 1,000. It is the same array each time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks import peers
from benchmarks.suites import Run
from benchmarks.timing import Case

FUNCTIONS = ("inv", "solve", "det", "slogdet", "cholesky", "pinv", "expm")
SHAPES = ((4, 4), (16, 16), (64, 64), (128, 128), (1000, 4, 4), (1000, 16, 16))
QUICK = {(4, 4), (64, 64)}


def cases(run: Run) -> Iterator[Case]:
    rng = np.random.default_rng(0)
    for shape in SHAPES:
        for dtype in ("float64", "float32"):
            half = rng.standard_normal(shape)
            a = (half @ half.swapaxes(-1, -2) + shape[-1] * np.eye(shape[-1])).astype(dtype)
            for function in FUNCTIONS:
                name = f"{function} {'x'.join(map(str, shape))} {'f32' if dtype == 'float32' else 'f64'}"
                if run.wants(name) and (not run.quick or run.only or (shape in QUICK and dtype == "float64")):
                    arguments = {"solve": (a, a[..., :1].copy()), "expm": (a / (2 * shape[-1]),)}.get(function, (a,))
                    yield Case("systems", name, peers.contenders(run.peers, "system", function, *arguments), dtype=dtype)
